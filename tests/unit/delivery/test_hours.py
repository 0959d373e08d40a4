"""Quiet and allowed hours where clocks do odd things; each moment checked against what the wall shows."""

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest

from delivery.limits.hours import ALWAYS, Week, country_of, during, outside

NIGHT = outside(time(21), time(8))
TICK = timedelta(microseconds=1)


def opens(week: Week, moment: str, zone: str) -> str | None:
    found = week.opens_at(datetime.fromisoformat(moment).astimezone(UTC), ZoneInfo(zone))
    return None if found is None else found.astimezone(ZoneInfo(zone)).isoformat()


@pytest.mark.parametrize(
    ("moment", "expected"),
    [
        ("2026-12-01T20:59:59.999999+01:00", "2026-12-01T20:59:59.999999+01:00"),
        ("2026-12-01T21:00:00+01:00", "2026-12-02T08:00:00+01:00"),
        ("2026-12-02T07:59:59.999999+01:00", "2026-12-02T08:00:00+01:00"),
        ("2026-12-02T08:00:00+01:00", "2026-12-02T08:00:00+01:00"),
    ],
)
def test_quiet_hours_are_half_open_and_pass_midnight(moment: str, expected: str) -> None:
    assert opens(NIGHT, moment, "Europe/Amsterdam") == expected


def test_a_gap_that_swallows_the_end_of_the_quiet_hours_ends_them() -> None:
    # At 02:00 clocks in Amsterdam show 03:00: what is quiet until 02:30 ends with the gap.
    quiet = outside(time(22), time(2, 30))
    assert opens(quiet, "2026-03-29T01:00:00+01:00", "Europe/Amsterdam") == "2026-03-29T03:00:00+02:00"


def test_a_gap_that_swallows_a_whole_open_stretch_leaves_that_day_out() -> None:
    only = during(time(2), time(2, 30))
    assert opens(only, "2026-03-28T03:00:00+01:00", "Europe/Amsterdam") == "2026-03-30T02:00:00+02:00"


def test_both_passes_of_a_fold_are_judged_by_the_clock_on_the_wall() -> None:
    quiet = outside(time(2, 15), time(2, 45))
    first, second = "2026-10-25T02:20:00+02:00", "2026-10-25T02:20:00+01:00"
    assert opens(quiet, first, "Europe/Amsterdam") == "2026-10-25T02:45:00+02:00"
    assert opens(quiet, second, "Europe/Amsterdam") == "2026-10-25T02:45:00+01:00"
    # Back at 02:00 in the second pass, quiet from 02:30 on begins anew; until then it is open once more.
    late = outside(time(2, 30), time(8))
    assert opens(late, "2026-10-25T02:40:00+02:00", "Europe/Amsterdam") == "2026-10-25T02:00:00+01:00"


def test_half_an_hour_of_daylight_saving() -> None:
    # On Lord Howe 02:00 becomes 02:30 in October, and 02:00 becomes 01:30 in April.
    quiet = outside(time(22), time(2, 10))
    zone = "Australia/Lord_Howe"
    assert opens(quiet, "2026-10-04T01:59:00+10:30", zone) == "2026-10-04T02:30:00+11:00"
    early = outside(time(1, 40), time(5))
    assert opens(early, "2026-04-05T01:50:00+11:00", zone) == "2026-04-05T01:30:00+10:30"


def test_a_day_that_never_was() -> None:
    # Samoa went from Thursday, 29 December 2011 to Saturday the 31st.
    fridays = during(time(9), time(17), [4])
    assert opens(fridays, "2011-12-29T12:00:00-10:00", "Pacific/Apia") == "2012-01-06T09:00:00+14:00"


def test_no_hours_at_all() -> None:
    never = during(time(8), time(9)) & during(time(9), time(10))
    assert never.is_never
    assert opens(never, "2026-12-01T08:30:00+00:00", "UTC") is None
    assert opens(ALWAYS, "2026-12-01T08:30:00+00:00", "UTC") == "2026-12-01T08:30:00+00:00"


def test_the_whole_day_and_the_days_of_the_week() -> None:
    assert during(time(0), time(0)) == ALWAYS
    weekdays = during(time(0), time(0), range(5))
    assert opens(weekdays, "2026-12-05T00:00:00+00:00", "UTC") == "2026-12-07T00:00:00+00:00"
    late = during(time(20), time(2), [4])  # while it is Friday, at both of its ends
    assert opens(late, "2026-12-04T02:00:00+00:00", "UTC") == "2026-12-04T20:00:00+00:00"
    assert opens(late, "2026-12-05T00:00:00+00:00", "UTC") == "2026-12-11T00:00:00+00:00"


@pytest.mark.parametrize(
    ("phone", "country"),
    [
        ("+12025550123", "US"),
        ("+16135550123", "CA"),
        ("+447700900123", "GB"),
        ("+99900000001", None),
        ("+999", None),
        ("nonsense", None),
    ],
)
def test_the_country_of_a_number(phone: str, country: str | None) -> None:
    assert country_of(phone) == country
