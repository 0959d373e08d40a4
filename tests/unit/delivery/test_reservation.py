"""May this message go out now, and if not, when: the rules one by one."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from delivery.dispatch_repository import Taken
from delivery.reservation import Situation, held_back
from delivery.story import Story
from experiments.vocabulary import MessageState
from tests.integration.outbox import settings
from tests.unit.delivery.stories import NOW, PLANNED, after

CLAIMED = replace(PLANNED, state=MessageState.CLAIMED, claimed_by="w", lease_until=after(minutes=5))
FINE = Situation("running", "+12025550123", True, (), timedelta(0))
SETTINGS = settings(cap_week=2, message_ttl=timedelta(days=7))


def _place(state: str = "sent", *, slot: datetime | None = None, **changes) -> Taken:
    values = {"category": "marketing", "experiment_id": 9, "step": 0, "due_at": NOW} | changes
    return Taken(message_id=1, user_pk=5, state=state, slot_at=slot, **values)


def _held(story: Story = CLAIMED, /, *, now: datetime = NOW, limits=SETTINGS, **situation) -> tuple | None:
    stays = held_back(story, replace(FINE, **situation), settings=limits, now=now)
    if stays is None:
        return None
    assert (stays.claimed_by, stays.lease_until, stays.slot_at) == (None, None, None)
    return stays.state, stays.reason, stays.due_at


def test_nothing_stands_in_the_way() -> None:
    assert _held() is None


@pytest.mark.parametrize(
    ("situation", "state", "reason"),
    [
        ({"status": "stopped"}, "cancelled", "stopped"),
        ({"status": "paused"}, "planned", None),
        ({"consented": False}, "suppressed", "consent"),
        ({"phone": None}, "suppressed", "no_phone"),
    ],
)
def test_what_ends_or_returns_a_message(situation, state, reason) -> None:
    assert _held(**situation) == (state, reason, NOW)


def test_too_late_says_what_it_waited_for() -> None:
    assert _held(now=after(days=8)) == ("expired", "late", NOW)
    assert _held(replace(CLAIMED, reason="cap"), now=after(days=8)) == ("expired", "cap", NOW)


def test_a_full_ledger_defers_to_the_exact_time_at_which_a_slot_leaves_the_window() -> None:
    taken = [_place(slot=after(days=-2)), _place(slot=after(days=-5))]
    assert _held(taken=taken) == ("planned", "cap", after(days=2))
    assert _held(now=after(days=2), taken=taken) is None


def test_other_categories_neither_fill_the_cap_nor_are_held_by_it() -> None:
    full = [_place(slot=after(days=-2)), _place(slot=after(days=-5))]
    utility = [place._replace(category="utility") for place in full]
    assert _held(taken=utility) is None
    assert _held(replace(CLAIMED, category="utility"), taken=full) is None


def test_a_cap_that_would_let_it_go_too_late_expires_it() -> None:
    limits = SETTINGS.model_copy(update={"message_ttl": timedelta(days=1)})
    taken = [_place(slot=after(days=-2)), _place(slot=after(days=-5))]
    assert _held(limits=limits, taken=taken) == ("expired", "cap", NOW)


def test_a_cap_of_zero_suppresses() -> None:
    limits = SETTINGS.model_copy(update={"cap_week": 0})
    assert _held(limits=limits) == ("suppressed", "cap", NOW)


def test_never_two_in_flight_to_one_person_and_the_wait_grows_with_the_silence() -> None:
    assert _held(taken=[_place("inflight", slot=NOW)]) == ("planned", "in_flight", after(seconds=6))
    assert _held(taken=[_place("inflight", slot=after(hours=-1))]) == ("planned", "in_flight", after(hours=1))


def test_a_later_step_keeps_its_distance_from_the_one_before_wherever_that_is() -> None:
    step = replace(CLAIMED, step=1)
    rest = timedelta(hours=72)
    sent = _place(slot=after(hours=-70), experiment_id=1)
    waiting = _place("planned", experiment_id=1, due_at=after(hours=10))
    assert _held(step, taken=[sent], min_interval=rest) == ("planned", "interval", after(hours=2))
    assert _held(step, taken=[waiting], min_interval=rest) == ("planned", "interval", after(hours=82))
    assert _held(step, taken=[sent._replace(experiment_id=2)], min_interval=rest) is None
