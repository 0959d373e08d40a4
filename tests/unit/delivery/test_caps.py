"""The cap and the minimum interval at their edges."""

from datetime import UTC, datetime, timedelta

from delivery.caps import free_at, is_capped, min_interval_of, rested_at
from experiments.treatments import Variant
from experiments.vocabulary import Category

NOW = datetime(2026, 12, 8, 12, tzinfo=UTC)
WEEK = timedelta(days=7)
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


def test_only_marketing_is_capped() -> None:
    assert [category for category in Category if is_capped(category)] == [Category.MARKETING]


def test_rest() -> None:
    day = timedelta(days=1)
    assert rested_at(None, min_interval=day, now=NOW) == NOW
    assert rested_at(NOW - day, min_interval=day, now=NOW) == NOW
    assert rested_at(NOW - day + TICK, min_interval=day, now=NOW) == NOW + TICK


def test_min_interval_belongs_to_a_series() -> None:
    message = {"template": "t", "language": "en"}
    silent = Variant(key="a")
    once = Variant.model_validate({"key": "a", "message": message, "frequency": {"steps": 1}})
    twice = Variant.model_validate(
        {"key": "a", "message": message, "frequency": {"steps": 2, "min_interval": "72h"}}
    )
    assert [min_interval_of(variant) for variant in (silent, once, twice)] == [
        timedelta(0),
        timedelta(0),
        timedelta(days=3),
    ]
