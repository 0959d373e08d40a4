"""WhatsApp's bound on unique people: who counts, and when room comes."""

from datetime import UTC, datetime, timedelta

import pytest

from delivery.limits.tier import TIER_WINDOW, Leaving, Tier, counts, is_open

NOW = datetime(2026, 12, 8, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
DAY = timedelta(hours=24)
TICK = timedelta(microseconds=1)


def test_the_window_is_24_hours_and_half_open() -> None:
    assert is_open(NOW - DAY + TICK, NOW)
    assert not is_open(NOW - DAY, NOW)
    assert not is_open(None, NOW)
    assert not is_open(NOW + TICK, NOW)


@pytest.mark.parametrize(
    ("inbound", "counted"),
    [(None, True), (NOW, False), (NOW - DAY + TICK, False), (NOW - DAY, True), (NOW + TICK, True)],
)
def test_a_slot_counts_unless_it_is_known_to_be_inside_the_window(
    inbound: datetime | None, counted: bool
) -> None:
    assert counts(NOW, inbound) is counted


def _leaving(*hours: int) -> Leaving:
    """People who stop counting in so many hours."""
    return Leaving(len(hours), 0, sorted((NOW + hour * HOUR for hour in hours), reverse=True))


@pytest.mark.parametrize(
    ("limit", "own", "room"),
    [
        (4, None, 0),
        (3, None, 1),
        (2, None, 3),
        (1, None, 7),
        (3, 1, 0),
        (3, 3, 0),
        (2, 1, 3),
        (2, 3, 1),
        (2, 7, 1),
        (1, 7, 3),
        (1, 1, 7),
    ],
)
def test_room_comes_when_fewer_others_than_the_limit_count(limit: int, own: int | None, room: int) -> None:
    own_until = None if own is None else NOW + own * HOUR
    others = [hour for hour in (1, 3, 7) if hour != own]
    brute = next(hour for hour in range(9) if sum(other > hour for other in others) < limit)
    assert brute == room
    assert _leaving(1, 3, 7).room_at(limit, own_until=own_until, now=NOW) == NOW + room * HOUR


def test_only_ranks_around_the_limit_need_be_known() -> None:
    whole = _leaving(*range(1, 21))
    part = Leaving(whole.counted, 9, whole.times[9:13])
    for limit in (10, 11, 12):
        assert part.room_at(limit, own_until=None, now=NOW) == whole.room_at(limit, own_until=None, now=NOW)
    own = NOW + 20 * HOUR
    assert part.room_at(11, own_until=own, now=NOW) == whole.room_at(11, own_until=own, now=NOW)


def test_a_slot_given_back_meanwhile_is_room() -> None:
    assert Leaving(3, 0, [NOW + HOUR]).room_at(2, own_until=None, now=NOW) == NOW


def test_nobody_at_all() -> None:
    assert _leaving(1).room_at(0, own_until=None, now=NOW) is None


def test_a_message_knows_when_it_fits() -> None:
    full = Tier(limit=1, counted=1, exempt_until=None, own_until=None, room_at=NOW + TIER_WINDOW)
    assert full.allows_at(NOW) == NOW + TIER_WINDOW
    assert full.is_new(NOW)
    mine = Tier(limit=1, counted=1, exempt_until=None, own_until=NOW + HOUR, room_at=NOW + TIER_WINDOW)
    assert mine.allows_at(NOW + HOUR - TICK) == NOW + HOUR - TICK
    assert mine.allows_at(NOW + HOUR) == NOW + TIER_WINDOW
    assert not mine.is_new(NOW)
