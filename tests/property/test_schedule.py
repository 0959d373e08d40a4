"""Due times in any zone, at any time of any day of any year: rested, at the local time, and not later than designed."""

from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import ValidationError

from delivery.local_time import local_moment, next_local_time
from delivery.planning.best_hour import Hours
from delivery.planning.schedule import Due, plan_times, trigger_moment
from experiments.send_times import WINDOWS
from experiments.timing import last_send_offset
from experiments.treatments import Variant
from experiments.triggers import EventTrigger, OnceTrigger, RecurringTrigger, Trigger

ZONES = [
    "UTC",
    "Europe/Amsterdam",
    "America/New_York",
    "America/Sao_Paulo",
    "America/Nuuk",
    "Asia/Gaza",
    "Asia/Kolkata",
    "Asia/Kathmandu",
    "Australia/Lord_Howe",
    "Africa/Casablanca",
    "America/St_Johns",
    "Pacific/Apia",
    "Pacific/Chatham",
    "Pacific/Kiritimati",
    "Antarctica/Troll",
]
EVERY_ZONE = sorted(available_timezones())

moments = st.integers(0, 13 * 366 * 86_400_000_000).map(
    lambda micros: datetime(2024, 1, 1, tzinfo=UTC) + timedelta(microseconds=micros)
)
days = st.dates(date(2024, 1, 1), date(2036, 12, 31))
local_times = st.builds(time, st.integers(0, 23), st.integers(0, 59))
# Whole days and weeks, since those are what a lost hour makes fall short.
intervals = st.one_of(
    st.integers(1, 14 * 24 * 60).map(lambda minutes: f"{minutes}m"),
    st.integers(1, 14).map(lambda number: f"{number}d"),
    st.integers(1, 14).map(lambda number: f"{24 * number - 1}h"),
)
weekdays = st.lists(st.sampled_from(["mon", "tue", "wed", "thu", "fri", "sat", "sun"]), unique=True)
caps = st.none() | st.integers(1, 6)


@st.composite
def best_hours(draw: st.DrawFn) -> dict[str, Any]:
    first = draw(st.integers(0, 23))
    last = draw(st.integers(first, 23))
    fallback = time(draw(st.integers(first, last)), draw(st.integers(0, 59)))
    return {"fallback": fallback.isoformat(), "hours": [first, last], "explore": draw(st.floats(0, 1))}


@st.composite
def send_times(draw: st.DrawFn) -> dict[str, Any] | None:
    kind = draw(st.sampled_from(["none", "after", "local_time", "best_hour"]))
    if kind == "none":
        return None
    after = draw(st.none() | st.integers(0, 20 * 24).map(lambda hours: f"{hours}h"))
    if kind == "after":
        return {"after": after or "1h"}
    when = (
        {"local_time": draw(local_times).isoformat()}
        if kind == "local_time"
        else {"best_hour": draw(best_hours())}
    )
    return {**when, "after": after, "days": draw(st.just([]) | weekdays)}


def made(**parts: Any) -> Variant | None:
    """A variant, or None where its parts contradict each other."""
    message = {"template": "t", "language": "en"}
    try:
        return Variant.model_validate({"key": "v", "message": message, **parts})
    except ValidationError:
        return None


frequencies = st.none() | st.fixed_dictionaries(
    {"steps": st.integers(1, 8), "min_interval": st.none() | intervals},
    optional=dict.fromkeys(WINDOWS, caps),
)
variants = st.builds(made, send_time=send_times(), frequency=frequencies).filter(bool)
draws = st.lists(st.floats(0, 1, exclude_max=True), min_size=8, max_size=8)
histories = st.none() | st.builds(
    Hours,
    scores=st.lists(st.floats(0, 3), min_size=24, max_size=24).map(tuple),
    messages=st.just(9),
    reads=st.integers(0, 9),
    clicks=st.just(0),
)


def planned(
    variant: Variant, start: datetime, zone: ZoneInfo, learned: Hours | None, drawn: list[float]
) -> list[Due]:
    return plan_times(variant, trigger_at=start, zone=zone, learned=learned, draw=drawn.__getitem__)


def check_series(variant: Variant, start: datetime, zone: ZoneInfo, series: list[Due]) -> None:
    """Complete, rested, within its windows, at its times of day, on its days, and not a day later than it must be."""
    due = [each.at for each in series]
    assert len(due) == variant.steps
    frequency, send_time = variant.frequency, variant.send_time
    assert due[0] >= start + ((send_time.after if send_time else None) or timedelta(0))
    if frequency:
        assert all(later - sooner >= frequency.min_interval for sooner, later in pairwise(due))
        for name, length in WINDOWS.items():
            cap = getattr(frequency, name)
            assert cap is None or all(sum(at - length < other <= at for other in due) <= cap for at in due)
    for step, (at, choice) in enumerate(series):
        earliest = start + ((send_time.after if send_time else None) or timedelta(0))
        if step and frequency:
            earliest = max(due[step - n] + wait for n, wait in frequency.waits if n <= step)
        if not send_time or not send_time.times:
            assert at == earliest
            continue
        clock = send_time.local_time
        if send_time.best_hour and choice:
            clock = send_time.best_hour.fallback.replace(hour=choice["hour"])
        day = earliest.astimezone(zone).date()
        fits = (day + timedelta(days=n) for n in range(-2, 17))
        assert clock
        assert at == min(
            moment
            for each in fits
            if each.weekday() in send_time.weekdays
            and (moment := local_moment(each, clock, zone)) >= earliest
        )


@given(variant=variants, start=moments, zone=st.sampled_from(ZONES), learned=histories, drawn=draws)
def test_a_series_is_complete_rested_and_on_time(
    variant: Variant, start: datetime, zone: str, learned: Hours | None, drawn: list[float]
) -> None:
    place = ZoneInfo(zone)
    check_series(variant, start, place, planned(variant, start, place, learned, drawn))


@given(
    variant=variants,
    odd=st.sampled_from(
        [
            ("Pacific/Apia", datetime(2011, 12, 29, tzinfo=UTC)),  # a day that did not happen
            ("Pacific/Kwajalein", datetime(1993, 8, 20, tzinfo=UTC)),  # another one
            ("Africa/Casablanca", datetime(2017, 5, 21, tzinfo=UTC)),  # four changes in half a year
            ("Australia/Lord_Howe", datetime(2026, 4, 4, tzinfo=UTC)),  # half an hour
            ("Antarctica/Casey", datetime(2019, 10, 3, tzinfo=UTC)),  # three hours
            ("America/Caracas", datetime(2016, 4, 30, tzinfo=UTC)),
            ("Asia/Pyongyang", datetime(2018, 5, 3, tzinfo=UTC)),
        ]
    ),
    before=st.integers(-72, 24 * 60),
    learned=histories,
    drawn=draws,
)
def test_it_is_so_too_where_clocks_did_stranger_things(
    variant: Variant, odd: tuple[str, datetime], before: int, learned: Hours | None, drawn: list[float]
) -> None:
    zone, near = ZoneInfo(odd[0]), odd[1]
    start = near - timedelta(hours=before)
    check_series(variant, start, zone, planned(variant, start, zone, learned, drawn))


triggers = st.one_of(
    st.none(),
    local_times.map(lambda at: OnceTrigger(local_time=at)),
    st.integers(0, 90).map(lambda hours: EventTrigger(type="event", event="Signed Up", delay=f"{hours}h")),
    st.just(RecurringTrigger(type="recurring", cron="0 9 * * *")),
)


@given(
    variant=variants,
    trigger=triggers,
    start=moments,
    zone=st.sampled_from(EVERY_ZONE),
    learned=histories,
    drawn=draws,
)
def test_the_last_send_is_not_later_than_the_design_says(
    variant: Variant,
    trigger: Trigger | None,
    start: datetime,
    zone: str,
    learned: Hours | None,
    drawn: list[float],
) -> None:
    place = ZoneInfo(zone)
    at = trigger_moment(trigger or OnceTrigger(), assigned_at=start, zone=place)
    assert planned(variant, at, place, learned, drawn)[-1].at - start <= last_send_offset(variant, trigger)


WEEKLY = made(
    send_time={"local_time": "18:30", "days": ["sun"]}, frequency={"steps": 3, "min_interval": "7d"}
)
DAILY = made(send_time={"local_time": "18:30"}, frequency={"steps": 2, "min_interval": "24h"})


@given(variant=variants, zone=st.sampled_from(ZONES), day=days, early=st.integers(0, 16), drawn=draws)
@example(variant=WEEKLY, zone="Europe/Amsterdam", day=date(2026, 1, 1), early=14, drawn=[0.0] * 8)
@example(variant=DAILY, zone="Europe/Amsterdam", day=date(2026, 1, 1), early=2, drawn=[0.0] * 8)
@example(variant=DAILY, zone="Antarctica/Troll", day=date(2026, 6, 1), early=2, drawn=[0.0] * 8)
def test_nor_where_a_clock_changes_on_the_way(
    variant: Variant, zone: str, day: date, early: int, drawn: list[float]
) -> None:
    # Begins some days before the zone's next change, an instant after a time of day: the first message has just been missed.
    place = ZoneInfo(zone)
    start = next_change(place, day) - timedelta(days=early)
    if variant.send_time and variant.send_time.times:
        start = local_moment(start.date(), variant.send_time.times[-1], place)
    start += timedelta(microseconds=1)
    series = planned(variant, start, place, None, drawn)
    assert series[-1].at - start <= last_send_offset(variant)


def next_change(zone: ZoneInfo, day: date) -> datetime:
    """Noon (UTC) of the first day from `day` on that differs from the day before; of `day` where clocks are never set."""
    noon = datetime.combine(day, time(12), tzinfo=UTC)
    offsets = [(noon + timedelta(days=n)).astimezone(zone).utcoffset() for n in range(-1, 370)]
    changed = (n for n in range(370) if offsets[n] != offsets[n + 1])
    return noon + timedelta(days=next(changed, 0))


@given(day=days, at=local_times, zone=st.sampled_from(EVERY_ZONE), late=st.integers(0, 40))
def test_a_named_local_moment_comes_to_all_within_the_time_that_zones_are_apart(
    day: date, at: time, zone: str, late: int
) -> None:
    trigger, place = OnceTrigger(local_time=datetime.combine(day, at)), ZoneInfo(zone)
    opened = datetime.combine(day, at, tzinfo=UTC) - timedelta(hours=14) + timedelta(hours=late)
    moment = trigger_moment(trigger, assigned_at=opened, zone=place)
    assert opened <= moment <= opened + timedelta(hours=26)
    assert moment == max(opened, local_moment(day, at, place))


@given(at=local_times, start=moments, zone=st.sampled_from(EVERY_ZONE))
def test_a_named_time_of_day_comes_to_all_within_a_day_and_a_change(
    at: time, start: datetime, zone: str
) -> None:
    moment = trigger_moment(OnceTrigger(local_time=at), assigned_at=start, zone=ZoneInfo(zone))
    assert timedelta(0) <= moment - start <= timedelta(hours=26)


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
