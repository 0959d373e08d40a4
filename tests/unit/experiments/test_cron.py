"""Five fields of cron mean what cron means by them, in the zone of their author."""

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

import experiments.cron
from experiments.cron import check_cron, last_time, next_time

AMSTERDAM = "Europe/Amsterdam"
TUESDAY = datetime(2026, 12, 1, 10, tzinfo=UTC)


def times(cron: str, *, after: datetime = TUESDAY, zone: str = "UTC", count: int = 3) -> list[str]:
    found = []
    moment: datetime | None = after
    for _ in range(count):
        assert moment is not None
        moment = next_time(cron, time_zone=zone, after=moment)
        assert moment is not None
        found.append(moment.strftime("%a %d %H:%M"))
    return found


@pytest.mark.parametrize(
    ("cron", "expected"),
    [
        # Cron counts the days of the week from Sunday; 7 is Sunday too.
        ("0 9 * * 1", ["Mon 07 09:00", "Mon 14 09:00", "Mon 21 09:00"]),
        ("0 9 * * 0", ["Sun 06 09:00", "Sun 13 09:00", "Sun 20 09:00"]),
        ("0 9 * * 7", ["Sun 06 09:00", "Sun 13 09:00", "Sun 20 09:00"]),
        ("0 9 * * 1-5", ["Wed 02 09:00", "Thu 03 09:00", "Fri 04 09:00"]),
        ("0 9 * * 5-7", ["Fri 04 09:00", "Sat 05 09:00", "Sun 06 09:00"]),
        ("0 9 * * fri-MON", ["Fri 04 09:00", "Sat 05 09:00", "Sun 06 09:00"]),
        ("0 9 * * 1,3", ["Wed 02 09:00", "Mon 07 09:00", "Wed 09 09:00"]),
        ("0 9 * * */2", ["Thu 03 09:00", "Sat 05 09:00", "Sun 06 09:00"]),
        ("0 9 * * 1-5/2", ["Wed 02 09:00", "Fri 04 09:00", "Mon 07 09:00"]),
        ("*/20 10 * * *", ["Tue 01 10:20", "Tue 01 10:40", "Wed 02 10:00"]),
        ("0 0 13 * *", ["Sun 13 00:00", "Wed 13 00:00", "Sat 13 00:00"]),
    ],
)
def test_fields_mean_what_cron_means(cron: str, expected: list[str]) -> None:
    check_cron(cron)
    assert times(cron) == expected


def test_the_moment_itself_has_passed() -> None:
    assert next_time("0 10 * * *", time_zone="UTC", after=TUESDAY) == datetime(2026, 12, 2, 10, tzinfo=UTC)


def test_clocks_that_change() -> None:
    # 29 March 2026: 02:30 does not exist and becomes 03:30 (01:30 UTC). 25 October: it comes twice, and counts once.
    spring = datetime(2026, 3, 28, 12, tzinfo=UTC)
    assert times("30 2 * * *", after=spring, zone=AMSTERDAM, count=2) == ["Sun 29 01:30", "Mon 30 00:30"]
    autumn = datetime(2026, 10, 24, 12, tzinfo=UTC)
    assert times("30 2 * * *", after=autumn, zone=AMSTERDAM, count=2) == ["Sun 25 00:30", "Mon 26 01:30"]


@pytest.mark.parametrize("cron", ["*/7 * * * *", "0 9 * * 1", "30 2 * * *", "0 0 1 * *", "0 0 29 2 *"])
@pytest.mark.parametrize("zone", ["UTC", AMSTERDAM])
def test_the_last_time_is_the_one_with_none_after_it(cron: str, zone: str) -> None:
    rng = np.random.default_rng(7)
    for _ in range(30):
        upto = TUESDAY + timedelta(minutes=int(rng.integers(0, 3 * 365 * 24 * 60)))
        last = last_time(cron, time_zone=zone, after=TUESDAY - timedelta(days=4 * 366), upto=upto)
        assert last is not None
        assert last <= upto
        following = next_time(cron, time_zone=zone, after=last)
        assert following is None or following > upto
        assert last_time(cron, time_zone=zone, after=last, upto=upto) is None
        assert last_time(cron, time_zone=zone, after=last - timedelta(microseconds=1), upto=last) == last


def test_a_long_look_back_is_short_work(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = []

    def counted(*arguments: Any, **options: Any) -> datetime | None:
        looks.append(1)
        return next_time(*arguments, **options)

    monkeypatch.setattr(experiments.cron, "next_time", counted)
    years_ago = TUESDAY - timedelta(days=3650)
    assert last_time("* * * * *", time_zone="UTC", after=years_ago, upto=TUESDAY) == TUESDAY
    assert last_time("0 0 1 1 *", time_zone="UTC", after=years_ago, upto=TUESDAY) == datetime(
        2026, 1, 1, tzinfo=UTC
    )
    assert len(looks) < 100


@pytest.mark.parametrize(
    ("cron", "why"),
    [
        ("0 9 * *", "4 fields"),
        ("@daily", "1 fields"),
        ("60 9 * * *", "60"),
        ("0 24 * * *", "24"),
        ("0 9 32 * *", "32"),
        ("0 9 30 2 *", "never comes"),
        ("0 9 1 * 1", "both"),
        ("0 9 * * 8", "no day of the week"),
        ("0 9 * * mon-", "no day of the week"),
        ("0 9 * * 1/0", "step"),
        ("a b * d e", "no day of the week"),
        ("a b c d e", "both"),
        ("x 9 * * *", "x"),
    ],
)
def test_what_is_no_schedule_is_refused(cron: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        check_cron(cron)
