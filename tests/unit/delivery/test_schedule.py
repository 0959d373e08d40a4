"""Due times on ordinary days and on the two odd nights of the year."""

from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from delivery.local_time import FALLBACK_ZONE, local_moment, next_local_time, zone_of
from delivery.schedule import due_times
from experiments.treatments import Variant

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
