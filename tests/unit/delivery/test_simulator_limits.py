"""How close together messages to one person may come, to how many people, and that what is refused counts for nothing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from delivery.simulator.limits import PairRest, UniquePeople
from delivery.simulator.profile import Engagement, Limits, Pacing, Telling
from delivery.simulator.throttle import Throttle
from experiments.errors import Invalid


def _try(pairs: PairRest, now: float, wa_id: str = "1") -> bool:
    if pairs.refuses(wa_id, now):
        return False
    pairs.take(wa_id, now)
    return True


def test_one_person_rests_and_others_do_not():
    pairs = PairRest(Limits(pair_rest=6))
    assert _try(pairs, 0.0)
    assert _try(pairs, 0.0, "2")
    assert not _try(pairs, 4.9)
    assert _try(pairs, 6.0)
    assert not _try(pairs, 11.9)


def test_a_burst_borrows_the_time_of_those_after_it():
    # Meta's own example: a burst of 20 is followed by two minutes of silence.
    pairs = PairRest(Limits(pair_rest=6, pair_burst=45))
    assert all(_try(pairs, 0.1 * n) for n in range(20))
    assert not _try(pairs, 118.9)
    assert _try(pairs, 120.0)
    bursting = PairRest(Limits(pair_rest=6, pair_burst=45))
    assert sum(_try(bursting, 1.0) for _ in range(100)) == 45


def test_who_hammers_waits_longer_and_who_waits_as_told_gets_through():
    hammered = PairRest(Limits(pair_rest=6))
    assert _try(hammered, 0.0)
    assert not any(_try(hammered, at) for at in (1.0, 2.0, 3.0))  # 1, 4 and 16 seconds from there
    assert not _try(hammered, 18.9)
    polite = PairRest(Limits(pair_rest=6))
    now, tries = 0.0, 0
    assert _try(polite, now)
    while not _try(polite, now):
        now, tries = now + 4.0**tries, tries + 1
    assert now == 21.0  # after 1, 4 and 16 seconds


def test_the_longest_wait_is_bounded():
    pairs = PairRest(Limits(pair_rest=6, pair_longest=100))
    assert _try(pairs, 0.0)
    for _ in range(50):
        assert not _try(pairs, 1.0)
    assert _try(pairs, 101.0)


@given(st.lists(st.tuples(st.floats(0, 30), st.integers(1, 3)), max_size=60), st.integers(1, 4))
def test_no_pair_ever_gets_more_than_its_time(steps, burst):
    pairs, now, accepted = PairRest(Limits(pair_rest=6, pair_burst=burst)), 0.0, {}
    for wait, person in steps:
        now += wait
        if _try(pairs, now, str(person)):
            accepted.setdefault(person, []).append(now)
    for moments in accepted.values():
        for start, first in enumerate(moments):
            for end in range(start + burst, len(moments)):
                # Of any stretch all but one burst has been paid for with rest.
                assert moments[end] - first >= 6 * (end - start - burst + 1) - 6 - 1e-9


def test_unique_people_are_counted_over_a_rolling_day():
    people = UniquePeople(Limits(tier=2, tier_seconds=100))
    for wa_id, now in (("a", 0.0), ("b", 50.0), ("a", 60.0)):
        assert not people.refuses(wa_id, now)
        people.take(wa_id, now)
    assert people.refuses("c", 99.0)
    assert not people.refuses("a", 99.0)
    assert people.refuses("c", 149.0)
    assert not people.refuses("c", 150.0)  # b's message has left the day
    assert not UniquePeople(Limits()).refuses("c", 0.0)


def test_what_is_not_accepted_takes_no_room():
    throttle = Throttle(2)
    for _ in range(10):
        assert not throttle.refuses(1.0)
    throttle.take()
    throttle.take()
    assert throttle.refuses(1.0)
    assert sum(Throttle(10, room=0.5).admit(1.0) for _ in range(1)) == 1
    roomy = Throttle(10, room=2.0)
    assert sum(roomy.admit(1.0) for _ in range(100)) == 20


def test_patience_ends_as_the_function_says():
    engagement = Engagement(free=2, growth=0.25, most=0.9)
    assert [engagement.chance(ignored) for ignored in range(8)] == [0, 0, 0, 0.25, 0.5, 0.75, 0.9, 0.9]


@pytest.mark.parametrize(
    ("build", "field"),
    [
        (lambda: Limits(throughput_room=0), "limits.throughput_room"),
        (lambda: Limits(pair_rest=0), "limits.pair_rest"),
        (lambda: Limits(pair_burst=0), "limits.pair_burst"),
        (lambda: Limits(pair_longest=-1), "limits.pair_longest"),
        (lambda: Limits(pair_clock="lunar"), "limits.pair_clock"),
        (lambda: Limits(tier=0), "limits.tier"),
        (lambda: Limits(tier_seconds=0), "limits.tier_seconds"),
        (lambda: Engagement(free=-1), "engagement.free"),
        (lambda: Engagement(growth=2), "engagement.growth"),
        (lambda: Engagement(most=2), "engagement.most"),
        (lambda: Engagement(window_seconds=0), "engagement.window_seconds"),
        (lambda: Pacing(first=0), "pacing.first"),
        (lambda: Pacing(good=2), "pacing.good"),
        (lambda: Pacing(hold_seconds=-1), "pacing.hold_seconds"),
        (lambda: Pacing(pause_seconds=-1), "pacing.pause_seconds"),
        (lambda: Pacing(paused_answer="shrug"), "pacing.paused_answer"),
        (lambda: Telling(statuses_per_change=0), "telling.statuses_per_change"),
        (lambda: Telling(changes_per_entry=0), "telling.changes_per_entry"),
        (lambda: Telling(repeat=2), "telling.repeat"),
        (lambda: Telling(reorder_seconds=-1), "telling.reorder_seconds"),
    ],
)
def test_wrong_settings_are_named(build, field):
    with pytest.raises(Invalid) as caught:
        build()
    assert caught.value.problems[0].field == field
