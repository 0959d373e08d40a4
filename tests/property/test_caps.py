"""Following `free_at` never breaks the cap, and never waits longer than it must."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from delivery.caps import free_at

MONDAY = datetime(2026, 12, 7, tzinfo=UTC)
WINDOW = timedelta(minutes=30)

# Whole minutes collide with one another and with the edges of the window, which is where mistakes would show.
minutes = st.integers(min_value=0, max_value=120)
caps = st.integers(min_value=1, max_value=4)


def at(minute: int) -> datetime:
    return MONDAY + timedelta(minutes=minute)


def counting(slots: list[datetime], moment: datetime) -> int:
    return sum(moment - WINDOW < slot <= moment for slot in slots)


@given(wishes=st.lists(minutes, max_size=25), cap=caps)
def test_no_window_ever_holds_more_than_the_cap(wishes: list[int], cap: int) -> None:
    slots: list[datetime] = []
    for wish in sorted(wishes):
        now = max([at(wish), *slots[-1:]])
        free = free_at(slots, cap=cap, window=WINDOW, now=now)
        assert free is not None
        assert free >= now
        slots.append(free)
    assert all(counting(slots, slot) <= cap for slot in slots)


@given(taken=st.lists(minutes, max_size=12), wish=minutes, cap=caps)
def test_it_is_the_first_minute_with_room(taken: list[int], wish: int, cap: int) -> None:
    now = at(wish)
    slots = [at(minute) for minute in taken if minute <= wish]
    brute = next(
        moment
        for moment in (now + timedelta(minutes=step) for step in range(200))
        if counting(slots, moment) < cap
    )
    assert free_at(slots, cap=cap, window=WINDOW, now=now) == brute
