"""Record: the answers to POSTs become states, withdrawals and open fuses, in one transaction. The caller commits."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

import numpy as np
from sqlmodel import Session

from delivery.fuses import breakers, streaks
from delivery.fuses.outcomes import PLAINLY_ACCEPTED, Answered, alarm_of, settle
from delivery.outbox import dispatch_repository as repository
from delivery.outbox.dispatch_repository import AcceptedRow
from delivery.outbox.retry import Alarm, Rules
from delivery.outbox.story import MAX_WAMID, Story
from delivery.receipts import inbound
from delivery.receipts.inbound import OptedOut
from delivery.whatsapp.client import Accepted
from experiments.clock import Clock
from experiments.design import ExperimentDesign

_log = logging.getLogger(__name__)


def record(
    session: Session,
    clock: Clock,
    *,
    answers: Sequence[Answered],
    rules: Rules,
    number: str,
    designs: Mapping[int, ExperimentDesign],
    rng: np.random.Generator,
    at: datetime,
) -> list[Story]:
    """Store what became of each POST; returns the messages that were not plainly accepted, as they now are."""
    opted_out = [
        OptedOut(answered.begun.user_pk, at, evidence="answer to a message")
        for answered in answers
        if (raised := alarm_of(answered)) is not None and raised.alarm is Alarm.OPTED_OUT
    ]
    inbound.hear(session, clock, said=(), opted_out=opted_out)
    plain = _plainly_accepted(answers)
    rest = answers
    # All at once and in order: those that are not plain would else be held after the plain ones, and webhooks hold them in order.
    repository.hold(session, [answered.begun.id for answered in answers])
    if not repository.owners_of_wamids(session, plain) and repository.accept(session, plain.values(), at=at):
        done = {row.id for row in plain.values()}
        rest = [answered for answered in answers if answered.begun.id not in done]
    settled = _settle(session, rest, rules=rules, at=at)
    repository.add_aliases(session, _aliases(answers))
    alarms = streaks.count(session, answers=answers, designs=designs)
    breakers.sound(session, alarms=alarms, number=number, designs=designs, now=at, rng=rng)
    return settled


def _plainly_accepted(answers: Sequence[Answered]) -> dict[str, AcceptedRow]:
    """The answers that need no rule, by WhatsApp's id: nearly all of them, so they are stored without reading anything."""
    return {
        answered.outcome.wamid: AcceptedRow(answered.begun.id, answered.begun.tries, answered.outcome.wamid)
        for answered in answers
        if isinstance(answered.outcome, Accepted)
        and answered.outcome.message_status in PLAINLY_ACCEPTED
        and len(answered.outcome.wamid) <= MAX_WAMID
    }


def _settle(session: Session, answers: Sequence[Answered], *, rules: Rules, at: datetime) -> list[Story]:
    """Move the messages of these answers by the rules, whatever else has happened to them meanwhile."""
    stories = repository.stories(session, [answered.begun.id for answered in answers])
    owners = repository.owners_of_wamids(session, _wamids(answers))
    settled = [
        settle(stories[answered.begun.id], _with_own_wamid(answered, owners), at=at, rules=rules)
        for answered in answers
    ]
    repository.save(session, [(stories[story.id], story) for story in settled])
    return settled


def _wamids(answers: Sequence[Answered]) -> set[str]:
    return {
        answered.outcome.wamid
        for answered in answers
        if isinstance(answered.outcome, Accepted) and len(answered.outcome.wamid) <= MAX_WAMID
    }


def _with_own_wamid(answered: Answered, owners: dict[str, int]) -> Answered:
    """The answer without an id that another message has, or that is too long to keep; that id would end the whole batch."""
    outcome = answered.outcome
    if not isinstance(outcome, Accepted):
        return answered
    if (
        len(outcome.wamid) <= MAX_WAMID
        and owners.setdefault(outcome.wamid, answered.begun.id) == answered.begun.id
    ):
        return answered
    _log.error("WhatsApp's id of message %s is that of another message, or too long", answered.begun.id)
    return replace(answered, outcome=replace(outcome, wamid=""))


def _aliases(answers: Sequence[Answered]) -> set[tuple[str, str, int]]:
    """Names under which WhatsApp knows people whom we know by another number; an inbound STOP comes under these."""
    return {
        ("wa_id", answered.outcome.wa_id, answered.begun.user_pk)
        for answered in answers
        if isinstance(answered.outcome, Accepted)
        and answered.outcome.wa_id is not None
        and len(answered.outcome.wa_id) <= MAX_WAMID
        and answered.outcome.wa_id != answered.to.removeprefix("+")
    }
