"""May this message go out now, and if not, when: the rules one by one."""

from dataclasses import replace
from datetime import datetime, time, timedelta

import pytest

from delivery.limits.hours import during
from delivery.limits.ledger_repository import Waiting
from delivery.limits.policy import CategoryCaps
from delivery.limits.reservation import Situation, better, busy_until, held_back, turn_at
from delivery.limits.standing import Slot, Standing
from delivery.limits.tier import Tier
from delivery.outbox.story import Story
from experiments.vocabulary import MessageState
from tests.unit.delivery.stories import NOW, PLANNED, after

CLAIMED = PLANNED._replace(state=MessageState.CLAIMED, claimed_by="w", lease_until=after(minutes=5))
FREE = Standing("marketing", 1, (), CategoryCaps(week=2))
FINE = Situation("running", False, "+12025550123", True, FREE)
REST = timedelta(hours=72)


def _slot(at: datetime, *, busy_until: datetime | None = None, **changes) -> Slot:
    values = {"category": "marketing", "experiment_id": 9} | changes
    return Slot(user_pk=5, at=at, busy_until=busy_until, **values)


def _waits(**changes) -> Waiting:
    values = {"id": 16, "user_pk": 5, "experiment_id": 2, "variant": "b", "step": 0, "category": "marketing"}
    return Waiting(**values | {"priority": 1, "due_at": NOW, "expires_at": after(days=7)} | changes)


def _held(story: Story = CLAIMED, /, *, now: datetime = NOW, **changes) -> tuple | None:
    situation = {name: changes.pop(name) for name in list(changes) if name in Situation.__dataclass_fields__}
    standing = situation.pop("standing", None) or replace(FREE, **changes)
    stays = held_back(story, replace(FINE, standing=standing, **situation), now=now)
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
        ({"silenced": "guardrail"}, "cancelled", "guardrail"),
        ({"status": "paused"}, "planned", None),
        ({"fused": True}, "planned", None),
        ({"consented": False}, "suppressed", "consent"),
        ({"phone": None}, "suppressed", "no_phone"),
    ],
)
def test_what_ends_or_returns_a_message(situation, state, reason) -> None:
    assert _held(**situation) == (state, reason, NOW)


def test_an_open_fuse_comes_before_everything_that_would_end_the_message() -> None:
    assert _held(fused=True, consented=False, now=after(days=9)) == ("planned", None, NOW)


@pytest.mark.parametrize(
    ("reason", "told"),
    [(None, "late"), ("cap", "late"), ("retry", "late"), ("paused", "paused"), ("slow_down", "slow_down")],
)
def test_too_late_is_not_laid_to_a_rule_that_had_let_go_of_it(reason: str | None, told: str) -> None:
    assert _held(CLAIMED._replace(reason=reason), now=after(days=8)) == ("expired", told, NOW)


def test_a_full_ledger_defers_to_the_exact_time_at_which_a_slot_leaves_the_window() -> None:
    slots = [_slot(after(days=-2)), _slot(after(days=-5))]
    assert _held(slots=slots) == ("planned", "cap", after(days=2))
    assert _held(now=after(days=2), slots=slots) is None


def test_other_categories_neither_fill_the_cap_nor_are_held_by_it() -> None:
    full = [_slot(after(days=-2)), _slot(after(days=-5))]
    assert _held(slots=[slot._replace(category="utility") for slot in full]) is None
    assert _held(CLAIMED._replace(category="utility"), slots=full, category="utility") is None


def test_a_cap_that_would_let_it_go_too_late_expires_it() -> None:
    slots = [_slot(after(days=-2)), _slot(after(days=-5))]
    assert _held(CLAIMED._replace(expires_at=after(days=2)), slots=slots) == ("expired", "cap", NOW)
    assert _held(CLAIMED._replace(expires_at=after(days=2, seconds=1)), slots=slots) == (
        *("planned", "cap"),
        after(days=2),
    )


def test_what_is_never_allowed_is_suppressed() -> None:
    assert _held(caps=CategoryCaps(month=0)) == ("suppressed", "cap", NOW)
    never = during(time(8), time(9)) & during(time(10), time(11))
    assert _held(week=never) == ("suppressed", "quiet_hours", NOW)


def test_the_last_rule_to_let_it_go_gives_the_reason() -> None:
    # NOW is a Tuesday at 10:00: the cap lets it go on Thursday at 23:00, the hours on Friday at 8:00.
    slots = [_slot(after(days=-4)), _slot(after(days=-4, hours=-11))]
    week = during(time(8), time(21))
    assert _held(slots=slots, week=week) == ("planned", "quiet_hours", after(days=2, hours=22))


def test_never_two_in_flight_to_one_person_and_the_wait_grows_with_the_silence() -> None:
    def wait(slot: datetime) -> datetime | None:
        return busy_until([_slot(slot, busy_until=after(hours=24))], NOW)

    assert wait(NOW) == after(seconds=6)
    assert wait(after(hours=-1)) == after(hours=1)
    assert busy_until([_slot(NOW, busy_until=NOW), _slot(NOW)], NOW) is None
    assert _held(busy_until=after(seconds=6)) == ("planned", "in_flight", after(seconds=6))


def test_a_later_step_waits_for_its_turn() -> None:
    step = CLAIMED._replace(step=1)
    mine = _waits(experiment_id=1, due_at=after(hours=10))
    assert turn_at(step, [mine], min_interval=REST, now=NOW) == after(hours=82)
    assert turn_at(step, [mine._replace(due_at=after(days=-9))], min_interval=REST, now=NOW) == after(
        seconds=6
    )
    assert turn_at(step, [mine._replace(step=2), _waits(step=0)], min_interval=REST, now=NOW) is None
    assert _held(step, turn_at=after(hours=82)) == ("planned", "interval", after(hours=82))


def test_the_tier_defers_to_the_time_at_which_room_comes() -> None:
    full = Tier(limit=2, counted=2, exempt_until=None, own_until=None, room_at=after(hours=3))
    assert _held(tier=full) == ("planned", "tier", after(hours=3))
    assert _held(tier=replace(full, exempt_until=after(hours=1))) is None
    assert _held(tier=replace(full, own_until=after(hours=1))) is None
    assert _held(tier=replace(full, own_until=NOW)) == ("planned", "tier", after(hours=3))


def test_the_last_room_is_left_to_a_better_message() -> None:
    assert _held(better=1, slots=[_slot(after(days=-1))]) == ("planned", "priority", after(seconds=6))
    assert _held(better=1) is None
    assert _held(better=2) == ("planned", "priority", after(seconds=6))
    assert _held(better=9, caps=CategoryCaps()) is None
    apart = CategoryCaps(week=5, min_interval=timedelta(hours=1))
    assert _held(better=1, caps=apart) == ("planned", "priority", after(seconds=6))


@pytest.mark.parametrize(
    ("changes", "number"),
    [
        ({}, 1),
        ({"priority": 0}, 1),
        ({"priority": 0, "id": 18}, 0),
        ({"priority": 0, "id": 18, "due_at": after(seconds=-1)}, 1),
        ({"priority": -1, "due_at": after(days=-1)}, 0),
        ({"due_at": after(seconds=1)}, 0),
        ({"expires_at": NOW}, 0),
        ({"category": "utility"}, 0),
        ({"variant": "fused"}, 0),
    ],
)
def test_what_counts_as_better(changes, number) -> None:
    others = [_waits(**changes)]
    assert better(CLAIMED, others, priority=0, fused={(2, "fused")}, now=NOW) == number
