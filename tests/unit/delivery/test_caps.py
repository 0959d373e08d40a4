"""The cap and the minimum interval at their edges."""

from datetime import UTC, datetime, timedelta

import pytest

from delivery.limits.caps import (
    DAY,
    MONTH,
    WEEK,
    Limit,
    adapted,
    all_free_at,
    free_at,
    rested_at,
    room,
    windows,
    windows_of,
)
from delivery.limits.policy import CategoryCaps
from experiments.send_times import Frequency

NOW = datetime(2026, 12, 8, 12, tzinfo=UTC)
TICK = timedelta(microseconds=1)


def test_room_is_now() -> None:
    assert free_at([], cap=1, window=WEEK, now=NOW) == NOW
    assert free_at([NOW], cap=2, window=WEEK, now=NOW) == NOW


def test_full_waits_for_the_oldest_slot_that_counts() -> None:
    slots = [NOW - timedelta(days=2), NOW - timedelta(days=6), NOW - timedelta(days=9)]
    assert free_at(slots, cap=2, window=WEEK, now=NOW) == NOW + timedelta(days=1)


def test_a_slot_stops_counting_exactly_one_window_later() -> None:
    assert free_at([NOW - WEEK], cap=1, window=WEEK, now=NOW) == NOW
    assert free_at([NOW - WEEK + TICK], cap=1, window=WEEK, now=NOW) == NOW + TICK


def test_more_slots_than_the_cap_wait_until_enough_have_left() -> None:
    slots = [NOW - timedelta(days=day) for day in (1, 2, 3, 4)]
    assert free_at(slots, cap=2, window=WEEK, now=NOW) == NOW + timedelta(days=5)


def test_order_of_the_slots_does_not_matter() -> None:
    slots = [NOW - timedelta(days=day) for day in (6, 1, 3)]
    assert free_at(slots, cap=3, window=WEEK, now=NOW) == free_at(sorted(slots), cap=3, window=WEEK, now=NOW)


def test_a_cap_of_nothing_is_never_free() -> None:
    assert free_at([], cap=0, window=WEEK, now=NOW) is None


def test_no_bound_is_no_limit_and_nothing_is_a_limit() -> None:
    assert windows(CategoryCaps()) == ()
    assert windows(CategoryCaps(day=1, week=0, month=9)) == (Limit(1, DAY), Limit(0, WEEK), Limit(9, MONTH))


@pytest.mark.parametrize(
    ("cap", "factor", "result"),
    [(3, 1.0, 3), (3, 0.5, 1), (1, 0.0, 1), (0, 9.0, 0), (3, 1.34, 4), (3, 1.33, 3), (10, 0.3, 3)],
)
def test_an_adapted_cap_is_rounded_down_and_never_becomes_nothing(cap, factor, result) -> None:
    assert adapted(cap, factor) == result


def test_every_limit_has_its_say() -> None:
    limits = windows(CategoryCaps(day=1, week=2))
    slots = [NOW - timedelta(hours=30), NOW - timedelta(hours=50)]
    assert all_free_at(slots, limits, NOW) == NOW + timedelta(days=7, hours=-50)
    assert all_free_at(slots[:1], limits, NOW) == NOW
    assert all_free_at([], windows(CategoryCaps(day=0, week=2)), NOW) is None
    assert room(slots[:1], limits, NOW) == 1
    assert room(slots, limits, NOW) == 0
    assert room(slots, (), NOW) is None


def test_rest() -> None:
    day = timedelta(days=1)
    assert rested_at(None, min_interval=day, now=NOW) == NOW
    assert rested_at(NOW - day, min_interval=day, now=NOW) == NOW
    assert rested_at(NOW - day + TICK, min_interval=day, now=NOW) == NOW + TICK


def test_the_bounds_of_a_variant_are_those_of_its_frequency() -> None:
    assert windows_of(Frequency(steps=5, per_week=2, per_month=4)) == (Limit(2, WEEK), Limit(4, MONTH))
    assert windows_of(Frequency(steps=2)) == ()
