"""Due times in any zone, at any time of any day of any year: rested, at the local time, and not later than designed."""

from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from delivery.local_time import local_moment, next_local_time
from delivery.schedule import due_times
from experiments.timing import last_send_offset
from experiments.treatments import Frequency, MessageContent, SendTime, Variant

ZONES = [
    "UTC",
    "Europe/Amsterdam",
    "America/New_York",
    "America/Sao_Paulo",
    "Asia/Kolkata",
    "Asia/Kathmandu",
    "Australia/Lord_Howe",
    "Africa/Casablanca",
    "America/St_Johns",
    "Pacific/Chatham",
    "Pacific/Kiritimati",
    "Antarctica/Troll",
]
STEADY = ["UTC", "Asia/Kolkata", "Asia/Kathmandu", "Pacific/Kiritimati"]

MESSAGE = MessageContent(template="t", language="en")
moments = st.integers(0, 13 * 366 * 86_400_000_000).map(
    lambda micros: datetime(2024, 1, 1, tzinfo=UTC) + timedelta(microseconds=micros)
)
days = st.dates(date(2024, 1, 1), date(2036, 12, 31))
local_times = st.builds(time, st.integers(0, 23), st.integers(0, 59))
intervals = st.integers(min_value=1, max_value=14 * 24 * 60).map(lambda minutes: timedelta(minutes=minutes))
frequencies = st.none() | st.builds(Frequency, steps=st.integers(1, 8), min_interval=intervals)
variants = st.builds(
    Variant,
    key=st.just("v"),
    message=st.just(MESSAGE),
    send_time=st.none() | st.builds(SendTime, local_time=local_times),
    frequency=frequencies,
)


@given(variant=variants, start=moments, zone=st.sampled_from(ZONES))
def test_a_series_is_complete_rested_and_on_time(variant: Variant, start: datetime, zone: str) -> None:
    due = due_times(variant, start=start, zone=ZoneInfo(zone))
    frequency = variant.frequency or Frequency()
    assert len(due) == frequency.steps
    assert due[0] >= start
    assert all(later - sooner >= frequency.min_interval for sooner, later in pairwise(due))
    if variant.send_time:
        place, at = ZoneInfo(zone), variant.send_time.local_time
        for moment in due:
            # A time skipped just before midnight comes out on the day after its own.
            day = moment.astimezone(place).date()
            assert moment in {local_moment(day - timedelta(days=n), at, place) for n in range(2)}


@given(variant=variants, start=moments, zone=st.sampled_from(STEADY))
def test_the_last_send_is_not_later_than_the_design_says(
    variant: Variant, start: datetime, zone: str
) -> None:
    assert due_times(variant, start=start, zone=ZoneInfo(zone))[-1] - start <= last_send_offset(variant)


@given(variant=variants, start=moments, zone=st.sampled_from(ZONES))
def test_clock_changes_cost_at_most_a_day_each(variant: Variant, start: datetime, zone: str) -> None:
    # Two hours for clocks set back on the way, a day for each loss of an hour that a step would fall short by.
    due = due_times(variant, start=start, zone=ZoneInfo(zone))
    losses = _losses(start, due[-1], ZoneInfo(zone)) if variant.send_time else 0
    allowed = timedelta(days=losses, hours=2) if variant.send_time else timedelta(0)
    assert due[-1] - start <= last_send_offset(variant) + allowed


def _losses(start: datetime, end: datetime, zone: ZoneInfo) -> int:
    """How often clocks are set forward around the stretch from `start` to `end`."""
    half_day = timedelta(hours=12)
    looks = [start + n * half_day for n in range(-2, (end - start) // half_day + 4)]
    offsets = [look.astimezone(zone).utcoffset() or timedelta(0) for look in looks]
    return sum(later > sooner for sooner, later in pairwise(offsets))


@given(at=local_times, start=moments, zone=st.sampled_from(ZONES))
def test_the_next_local_time_is_the_first_one(at: time, start: datetime, zone: str) -> None:
    place = ZoneInfo(zone)
    found = next_local_time(at, not_before=start, zone=place)
    assert start <= found <= start + timedelta(hours=26)
    days = (start.astimezone(place).date() + timedelta(days=n) for n in range(-1, 3))
    assert found == min(moment for day in days if (moment := local_moment(day, at, place)) >= start)


@given(at=local_times, day=days, zone=st.sampled_from(ZONES))
def test_a_local_moment_shows_its_time_or_the_next_that_exists(at: time, day: date, zone: str) -> None:
    place = ZoneInfo(zone)
    moment = local_moment(day, at, place)
    local, minute_before = moment.astimezone(place), (moment - timedelta(minutes=1)).astimezone(place)
    wanted = datetime.combine(day, at)
    if local.replace(tzinfo=None) == wanted:
        assert local.fold == 0
    else:
        assert minute_before.replace(tzinfo=None) < wanted < local.replace(tzinfo=None)
