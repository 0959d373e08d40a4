"""The next allowed moment against a walk through all minutes, in zones whose clocks do everything that clocks do."""

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

from hypothesis import example, given
from hypothesis import strategies as st

from delivery.limits.hours import Week, during, outside

ZONES = [
    "UTC",
    "America/New_York",
    "America/St_Johns",
    "America/Sao_Paulo",  # clocks changed at midnight until 2019
    "Europe/Dublin",  # winter is the one that is set back
    "Africa/Casablanca",  # set back for Ramadan
    "Africa/Cairo",
    "Asia/Kathmandu",
    "Asia/Tehran",
    "Australia/Lord_Howe",  # half an hour
    "Pacific/Apia",  # left out 30 December 2011
    "Pacific/Chatham",
    "Pacific/Kiritimati",
    "Antarctica/Troll",  # two hours
]
TICK = timedelta(microseconds=1)
MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)

# Hours around changes of clocks, beside any moment of 28 years.
CHANGES = [
    datetime(2011, 12, 30, 10, tzinfo=UTC),
    datetime(2018, 11, 4, 3, tzinfo=UTC),
    datetime(2026, 3, 29, 1, tzinfo=UTC),
    datetime(2026, 10, 25, 1, tzinfo=UTC),
    datetime(2026, 2, 15, 2, tzinfo=UTC),
    datetime(2026, 3, 22, 2, tzinfo=UTC),
    datetime(2026, 4, 4, 15, tzinfo=UTC),
    datetime(2026, 10, 3, 15, tzinfo=UTC),
    datetime(2027, 3, 14, 7, tzinfo=UTC),
]
micros = st.integers(-3 * 86_400_000_000, 3 * 86_400_000_000).map(lambda n: timedelta(microseconds=n))
moments = st.one_of(
    st.builds(lambda change, shift: change + shift, st.sampled_from(CHANGES), micros),
    st.integers(0, 28 * 366 * 86_400_000_000).map(
        lambda n: datetime(2009, 1, 1, tzinfo=UTC) + timedelta(microseconds=n)
    ),
)
times = st.builds(time, st.integers(0, 23), st.sampled_from([0, 1, 15, 29, 30, 45, 59]))
spans = st.tuples(times, times).filter(lambda span: span[0] != span[1])
days = st.sets(st.integers(0, 6), min_size=1)


def is_open(moment: datetime, zone: ZoneInfo, quiet: tuple, allowed: tuple) -> bool:
    """What the definition says, in its own words."""
    shown = moment.astimezone(zone)

    def within(start: time, end: time) -> bool:
        now = shown.time()
        return start <= now < end if start < end else now >= start or now < end

    start, end, on = allowed
    return not within(*quiet) and shown.weekday() in on and (start == end or within(start, end))


def weeks(quiet: tuple, allowed: tuple) -> Week:
    return outside(*quiet) & during(*allowed)


@given(
    moment=moments,
    zone=st.sampled_from(ZONES).map(ZoneInfo),
    quiet=spans,
    allowed=st.tuples(times, times, days),
)
@example(  # a gap that covers the only stretch of the week
    moment=datetime(2026, 3, 29, 0, 30, tzinfo=UTC),
    zone=ZoneInfo("Europe/Dublin"),
    quiet=(time(3), time(1)),
    allowed=(time(1), time(2), {6}),
)
def test_it_is_the_first_open_moment(moment: datetime, zone: ZoneInfo, quiet: tuple, allowed: tuple) -> None:
    week = weeks(quiet, allowed)
    found = week.opens_at(moment, zone)
    if found is None:
        assert week.is_never
        every_minute = (datetime(2026, 12, 7, tzinfo=UTC) + n * MINUTE for n in range(7 * 1440))
        assert not any(is_open(minute, ZoneInfo("UTC"), quiet, allowed) for minute in every_minute)
        return
    assert moment <= found <= moment + 15 * DAY
    assert is_open(found, zone, quiet, allowed)
    assert found == moment or not is_open(found - TICK, zone, quiet, allowed)
    # What is open begins on whole minutes, since these times do and clocks change on them.
    minute = moment.replace(second=0, microsecond=0) + MINUTE
    assert found == moment or not is_open(moment, zone, quiet, allowed)
    while minute < found:
        assert not is_open(minute, zone, quiet, allowed)
        minute += MINUTE


@given(moment=moments, zone=st.sampled_from(ZONES).map(ZoneInfo), quiet=spans)
def test_what_is_open_stays_where_it_is(moment: datetime, zone: ZoneInfo, quiet: tuple) -> None:
    found = outside(*quiet).opens_at(moment, zone)
    assert found is not None
    assert outside(*quiet).opens_at(found, zone) == found
