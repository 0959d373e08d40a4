"""The agenda's order and the throttle's pace."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from delivery.simulator.agenda import Agenda
from delivery.simulator.throttle import Throttle


@given(st.lists(st.integers(0, 50)), st.lists(st.integers(0, 50)), st.integers(0, 60), st.integers(1, 20))
def test_things_come_out_in_the_order_of_their_time(pushed, extended, now, limit):
    agenda: Agenda[int] = Agenda()
    for number, due in enumerate(pushed):
        agenda.push(due, number)
    agenda.extend((due, len(pushed) + number) for number, due in enumerate(extended))
    everything = sorted((due, number) for number, due in enumerate([*pushed, *extended]))
    expected = [pair for pair in everything if pair[0] <= now][:limit]
    assert agenda.pop_due(now, limit) == expected
    assert len(agenda) == len(everything) - len(expected)
    assert agenda.next_due == (everything[len(expected)][0] if len(expected) < len(everything) else None)


def test_a_number_may_send_one_second_at_once_and_then_its_rate():
    throttle = Throttle(80)
    assert sum(throttle.admit(10.0) for _ in range(200)) == 80
    assert sum(throttle.admit(10.5) for _ in range(200)) == 40
    assert sum(throttle.admit(100.0) for _ in range(200)) == 80


@pytest.mark.parametrize(("rate", "admitted"), [(None, 1000), (0.5, 1)])
def test_no_limit_and_a_slow_one(rate, admitted):
    throttle = Throttle(rate)
    assert sum(throttle.admit(1.0) for _ in range(1000)) == admitted
