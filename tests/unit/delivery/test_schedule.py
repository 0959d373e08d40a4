"""Due times on ordinary days and on the two odd nights of the year."""

from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from delivery.local_time import FALLBACK_ZONE, local_moment, next_local_time, zone_of
from delivery.planning.schedule import Due, due_times, is_drawn, plan_times, trigger_moment
from experiments.treatments import Variant
from experiments.triggers import EventTrigger, InactivityTrigger, OnceTrigger, RecurringTrigger, RuleTrigger

AMSTERDAM = ZoneInfo("Europe/Amsterdam")
NEW_YORK = ZoneInfo("America/New_York")
START = datetime(2026, 12, 1, 10, tzinfo=UTC)


def variant(**changes: Any) -> Variant:
    return Variant.model_validate({"key": "v", "message": {"template": "t", "language": "en"}, **changes})


def written(moments: tuple[datetime, ...]) -> list[str]:
    assert all(moment.tzinfo is UTC for moment in moments)
    return [moment.strftime("%m-%d %H:%M") for moment in moments]


def test_a_silent_arm_is_never_due() -> None:
    assert due_times(Variant(key="silence"), start=START, zone=AMSTERDAM) == ()


def test_without_a_send_time_it_is_due_at_once() -> None:
    assert due_times(variant(), start=START, zone=AMSTERDAM) == (START,)


def test_steps_without_a_send_time_are_apart_by_the_interval() -> None:
    series = variant(frequency={"steps": 3, "min_interval": "36h"})
    assert written(due_times(series, start=START, zone=AMSTERDAM)) == [
        "12-01 10:00",
        "12-02 22:00",
        "12-04 10:00",
    ]


@pytest.mark.parametrize(
    ("zone", "local", "due"),
    [
        ("Europe/Amsterdam", "18:30", "12-01 17:30"),
        ("Europe/Amsterdam", "11:00", "12-01 10:00"),  # exactly now is not too late
        ("Europe/Amsterdam", "10:59", "12-02 09:59"),
        ("America/New_York", "18:30", "12-01 23:30"),
        ("Asia/Kolkata", "18:30", "12-01 13:00"),
        ("Pacific/Kiritimati", "00:30", "12-01 10:30"),  # UTC+14: the next day there
        ("UTC", "09:00", "12-02 09:00"),
    ],
)
def test_send_time_is_the_next_such_time_on_the_users_clock(zone: str, local: str, due: str) -> None:
    timed = variant(send_time={"local_time": local})
    assert written(due_times(timed, start=START, zone=ZoneInfo(zone))) == [due]


def test_steps_keep_the_time_of_day() -> None:
    series = variant(send_time={"local_time": "18:30"}, frequency={"steps": 3, "min_interval": "36h"})
    assert written(due_times(series, start=START, zone=AMSTERDAM)) == [
        "12-01 17:30",
        "12-03 17:30",
        "12-05 17:30",
    ]


def test_a_daily_series_skips_a_day_where_an_hour_is_lost() -> None:
    # 2026-03-29 in Amsterdam has 23 hours, so 18:30 comes too early on it.
    series = variant(send_time={"local_time": "18:30"}, frequency={"steps": 3, "min_interval": "24h"})
    start = datetime(2026, 3, 28, 12, tzinfo=UTC)
    assert written(due_times(series, start=start, zone=AMSTERDAM)) == [
        "03-28 17:30",
        "03-30 16:30",
        "03-31 16:30",
    ]


def test_a_time_that_is_skipped_becomes_the_next_minute_that_exists() -> None:
    assert local_moment(date(2026, 3, 29), time(2, 0), AMSTERDAM) == datetime(2026, 3, 29, 1, tzinfo=UTC)
    assert local_moment(date(2026, 3, 29), time(2, 59), AMSTERDAM) == datetime(2026, 3, 29, 1, tzinfo=UTC)
    assert local_moment(date(2026, 3, 29), time(3, 0), AMSTERDAM) == datetime(2026, 3, 29, 1, tzinfo=UTC)
    assert local_moment(date(2026, 3, 8), time(2, 30), NEW_YORK) == datetime(2026, 3, 8, 7, tzinfo=UTC)
    # Lord Howe Island moves by half an hour.
    howe = ZoneInfo("Australia/Lord_Howe")
    assert local_moment(date(2026, 10, 4), time(2, 15), howe).astimezone(howe).time() == time(2, 30)


def test_a_day_that_a_country_skipped_gives_the_first_minute_of_the_next() -> None:
    # Samoa crossed the date line: 2011-12-30 did not happen there.
    apia = ZoneInfo("Pacific/Apia")
    moment = local_moment(date(2011, 12, 30), time(18, 30), apia)
    assert moment.astimezone(apia).isoformat() == "2011-12-31T00:00:00+14:00"


def test_a_time_skipped_before_midnight_is_due_as_the_next_day_begins() -> None:
    # Ittoqqortoormiit goes from 23:00 straight to midnight.
    place = ZoneInfo("America/Scoresbysund")
    midnight = datetime(2026, 3, 29, tzinfo=place)
    assert midnight.astimezone(UTC) == datetime(2026, 3, 29, 1, tzinfo=UTC)
    assert local_moment(date(2026, 3, 28), time(23, 30), place) == midnight
    assert next_local_time(time(23, 30), not_before=midnight, zone=place) == midnight


def test_a_time_that_comes_twice_is_the_first() -> None:
    assert local_moment(date(2026, 10, 25), time(2, 30), AMSTERDAM) == datetime(
        2026, 10, 25, 0, 30, tzinfo=UTC
    )
    assert local_moment(date(2026, 11, 1), time(1, 30, fold=1), NEW_YORK) == datetime(
        2026, 11, 1, 5, 30, tzinfo=UTC
    )


def test_between_the_two_the_next_one_is_tomorrow() -> None:
    between = datetime(2026, 10, 25, 1, 0, tzinfo=UTC)  # 02:00 the second time
    assert next_local_time(time(2, 30), not_before=between, zone=AMSTERDAM) == datetime(
        2026, 10, 26, 1, 30, tzinfo=UTC
    )


@pytest.mark.parametrize(
    "name", [None, "", "Nowhere/At_All", "../../etc/passwd", "Europe", "x" * 500, "a\0b"]
)
def test_an_unusable_zone_is_utc(name: str | None) -> None:
    assert zone_of(name) is FALLBACK_ZONE


def test_start_may_be_in_any_zone() -> None:
    start = datetime(2026, 12, 1, 11, tzinfo=AMSTERDAM)
    assert due_times(variant(), start=start, zone=NEW_YORK) == (START,)
    assert due_times(variant(), start=start, zone=NEW_YORK)[0].utcoffset() == timedelta(0)


def plan(series: Variant, *, draws: list[float], zone: ZoneInfo = AMSTERDAM) -> list[Due]:
    return plan_times(series, trigger_at=START, zone=zone, learned=None, draw=draws.__getitem__)


def test_an_offset_is_waited_once_and_then_the_time_of_day() -> None:
    series = variant(send_time={"after": "9h", "local_time": "18:30"}, frequency={"steps": 3})
    assert written(due_times(series, start=START, zone=AMSTERDAM)) == [
        "12-02 17:30",
        "12-03 17:30",
        "12-04 17:30",
    ]
    plain = variant(send_time={"after": "9h"}, frequency={"steps": 2})
    assert written(due_times(plain, start=START, zone=AMSTERDAM)) == ["12-01 19:00", "12-02 19:00"]


def test_only_days_of_the_week_that_are_named() -> None:
    # 2026-12-01 is a Tuesday.
    series = variant(send_time={"local_time": "18:30", "days": ["sat", "mon"]}, frequency={"steps": 4})
    assert written(due_times(series, start=START, zone=AMSTERDAM)) == [
        "12-05 17:30",
        "12-07 17:30",
        "12-12 17:30",
        "12-14 17:30",
    ]


def test_a_day_is_that_of_the_users_clock() -> None:
    series = variant(send_time={"local_time": "00:30", "days": ["wed"]})
    assert written(due_times(series, start=START, zone=ZoneInfo("Pacific/Kiritimati"))) == ["12-01 10:30"]


def test_windows_stretch_a_series() -> None:
    series = variant(frequency={"steps": 5, "min_interval": "1h", "per_day": 2, "per_week": 3})
    assert written(due_times(series, start=START, zone=AMSTERDAM)) == [
        "12-01 10:00",
        "12-01 11:00",
        "12-02 10:00",
        "12-08 10:00",
        "12-08 11:00",
    ]


def test_fixed_times_are_planned_as_they_are_due_and_nothing_is_drawn() -> None:
    series = variant(send_time={"local_time": "18:30"}, frequency={"steps": 2})
    assert plan(series, draws=[]) == [Due(at, None) for at in due_times(series, start=START, zone=AMSTERDAM)]
    assert plan(Variant(key="silence"), draws=[]) == []
    assert not is_drawn(series)
    assert not is_drawn(Variant(key="silence"))


def test_each_step_draws_its_own_hour_and_keeps_the_minute_of_the_fallback() -> None:
    series = variant(send_time={"best_hour": {"fallback": "18:30"}}, frequency={"steps": 3})
    planned = plan(series, draws=[0.0, 0.5, 0.0999])
    assert is_drawn(series)
    assert written(tuple(due.at for due in planned)) == ["12-02 07:30", "12-03 17:30", "12-04 20:30"]
    assert [due.choice and due.choice["rule"] for due in planned] == ["explored", "fallback", "explored"]
    assert written(due_times(series, start=START, zone=AMSTERDAM))[0] == "12-01 17:30"


@pytest.mark.parametrize(
    ("trigger", "moment"),
    [
        (OnceTrigger(), "12-01 10:00"),
        (OnceTrigger(at=START), "12-01 10:00"),
        (OnceTrigger(local_time="18:00"), "12-01 17:00"),
        (OnceTrigger(local_time="10:30"), "12-02 09:30"),
        (OnceTrigger(local_time="2026-12-24T18:00"), "12-24 17:00"),
        (OnceTrigger(local_time="2026-12-01T10:30"), "12-01 10:00"),  # past in Amsterdam: now
        (EventTrigger(type="event", event="Signed Up"), "12-01 10:00"),
        (EventTrigger(type="event", event="Signed Up", delay="90m"), "12-01 11:30"),
        (RecurringTrigger(type="recurring", cron="0 9 * * *"), "12-01 10:00"),
        (InactivityTrigger(type="inactivity", after="30d"), "12-01 10:00"),
        (RuleTrigger(type="rule"), "12-01 10:00"),
    ],
)
def test_steps_count_from_the_moment_that_the_trigger_means(trigger: Any, moment: str) -> None:
    assert written((trigger_moment(trigger, assigned_at=START, zone=AMSTERDAM),)) == [moment]


def test_an_occasion_that_comes_later_counts_and_one_before_the_assignment_does_not() -> None:
    weekly = RecurringTrigger(type="recurring", cron="0 9 * * 1")
    later = START + timedelta(days=7)
    assert trigger_moment(weekly, assigned_at=START, zone=AMSTERDAM, occasion_at=later) == later
    earlier = START - timedelta(minutes=5)
    assert trigger_moment(weekly, assigned_at=START, zone=AMSTERDAM, occasion_at=earlier) == START
    # An event that was reported late: its delay has passed already.
    delayed = EventTrigger(type="event", event="Signed Up", delay="1h")
    assert trigger_moment(
        delayed, assigned_at=START, zone=AMSTERDAM, occasion_at=START - timedelta(minutes=50)
    ) == START + timedelta(minutes=10)
