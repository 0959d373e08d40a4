"""A new policy reaches messages that the one before put off: they are looked at again at once, under the new one."""

from datetime import timedelta
from typing import Any

from sqlmodel import Session

from delivery.limits import policy
from delivery.limits.reservation import PRIORITY
from delivery.limits.standing import Rule
from delivery.models import Message
from experiments.clock import SteppedClock
from experiments.database import Database
from experiments.lifecycle import Move
from experiments.service import move
from tests.integration import outbox
from tests.integration.outbox import FakeSender, dispatch, later

DAY = timedelta(days=1)
CAPPED = {"marketing": {"day": 1}}


def put(database: Database, clock: SteppedClock, document: dict[str, Any]) -> None:
    outbox.change(database, lambda s: policy.put(s, clock, actor="test", document=document))


def five_campaigns(database: Database, clock: SteppedClock, users: int = 2) -> list[int]:
    """A message of each of five campaigns to each user, of which the cap lets one go; ids of those put off."""
    put(database, clock, CAPPED)
    people = outbox.add_users(database, clock, users)
    for number in range(5):
        experiment = outbox.add_experiment(database, clock, key=f"c{number}", expires={"after": "30d"})
        outbox.add_messages(database, clock, experiment, people, expires_at=later(clock, days=30))
    while dispatch(database, clock, FakeSender(wamids=outbox.wamids(f"{clock.now()}."))).claimed:
        clock.advance(timedelta(minutes=1))
    waiting = {pk: row for pk, row in outbox.messages(database).items() if row.state == "planned"}
    assert len(waiting) == 4 * users
    assert {row.reason for row in waiting.values()} == {"cap"}
    return sorted(waiting)


def drain(database: Database, clock: SteppedClock) -> int:
    sent = 0
    for look in range(8):
        sent += dispatch(database, clock, FakeSender(wamids=outbox.wamids(f"d{look}."))).accepted
        clock.advance(timedelta(minutes=1))
    return sent


def rows(database: Database, ids: list[int]) -> list[Message]:
    found = outbox.messages(database)
    return [found[pk] for pk in ids]


def test_a_policy_without_the_cap_lets_go_what_the_cap_put_off(
    database: Database, clock: SteppedClock
) -> None:
    waiting = five_campaigns(database, clock)
    assert drain(database, clock) == 0
    put(database, clock, {"marketing": {}})
    assert {row.due_at for row in rows(database, waiting)} == {clock.now()}
    assert drain(database, clock) == len(waiting)


def test_what_the_new_policy_still_forbids_waits_for_the_moment_that_it_says(
    database: Database, clock: SteppedClock
) -> None:
    waiting = five_campaigns(database, clock)
    first = min(row.slot_at for row in outbox.messages(database).values() if row.slot_at is not None)
    put(database, clock, {"marketing": {"min_interval": "5h"}})
    assert drain(database, clock) == 0
    held = rows(database, waiting)
    assert {row.reason for row in held} == {"interval"}
    assert min(row.due_at for row in held) == first + timedelta(hours=5)


def test_only_what_a_rule_of_the_policy_put_off_is_looked_at_again(
    database: Database, clock: SteppedClock
) -> None:
    waiting = five_campaigns(database, clock)
    tomorrow, at = clock.now() + DAY, clock.now()
    reasons = ["tier", "meta_cap", "retry", None, "frequency", "quiet_hours", "interval"]

    def rewrite(session: Session) -> None:
        for pk, reason in zip(waiting, reasons, strict=False):
            row = session.get_one(Message, pk)
            row.reason, row.due_at = reason, tomorrow
        ended = session.get_one(Message, waiting[-1])
        ended.state, ended.due_at = "cancelled", tomorrow
        # Its own first time lies ahead: no policy brings it forward any further.
        session.get_one(Message, waiting[6]).first_due_at = at + timedelta(hours=1)

    outbox.change(database, rewrite)
    put(database, clock, {"marketing": {}})
    assert [row.due_at for row in rows(database, waiting)] == [
        *(at, tomorrow, tomorrow, tomorrow, tomorrow, at, at + timedelta(hours=1), tomorrow),
    ]


def test_the_same_policy_again_moves_nothing(database: Database, clock: SteppedClock) -> None:
    waiting = five_campaigns(database, clock, users=1)
    before = [row.due_at for row in rows(database, waiting)]
    put(database, clock, CAPPED)
    assert [row.due_at for row in rows(database, waiting)] == before


def test_the_reasons_are_those_of_rules_that_a_policy_makes() -> None:
    assert set(policy.PUT_OFF_BY) == {*Rule, PRIORITY} - {Rule.IN_FLIGHT, Rule.FREQUENCY}


def test_a_paused_campaign_finds_its_messages_due_when_it_is_resumed(
    database: Database, clock: SteppedClock
) -> None:
    waiting = five_campaigns(database, clock, users=1)
    with database.transaction() as session:
        for number in range(5):
            move(session, clock, actor="test", key=f"c{number}", move=Move.PAUSE)
    put(database, clock, {"marketing": {}})
    assert {row.due_at for row in rows(database, waiting)} == {clock.now()}
