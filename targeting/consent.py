"""Consent: a ledger of every grant and withdrawal with its proof, and the present state that sending asks for.

A withdrawal counts at once: it is in the present state when the transaction commits. Withdrawing also records an
event, so that opting out is a metric like any other.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlmodel import Session

from experiments import audit
from experiments.clock import Clock, to_micros
from experiments.errors import Invalid, NotFound
from experiments.vocabulary import OPTED_OUT_EVENT, Category
from targeting import event_repository, rule_triggers, user_repository, users
from targeting.models import Consent, ConsentRecord, User
from targeting.profile import check_text

MAX_SOURCE: Final = 100
MAX_EVIDENCE: Final = 1000


@dataclass(frozen=True, slots=True)
class ConsentChange:
    """What somebody said about one category. `source` is where we heard it, `evidence` is the proof."""

    user_pk: int
    category: str
    granted: bool
    source: str
    evidence: str = ""


@dataclass(frozen=True, slots=True)
class Applied:
    """How many changes changed something; `kept_withdrawn` counts grants from a file that a withdrawal outweighed."""

    granted: int = 0
    withdrawn: int = 0
    kept_withdrawn: int = 0


def grant(
    session: Session, clock: Clock, *, user_pk: int, category: str, source: str, evidence: str = ""
) -> bool:
    """Record that the user agreed to messages of `category`; returns whether that was news.

    Raises Invalid (category, source, evidence) and NotFound. Call it for what a person said, just now: it overturns
    an earlier withdrawal.
    """
    change = ConsentChange(user_pk, category, granted=True, source=source, evidence=evidence)
    return apply_changes(session, clock, changes=[change]).granted == 1


def withdraw(
    session: Session, clock: Clock, *, user_pk: int, category: str, source: str, evidence: str = ""
) -> bool:
    """Record that the user wants no (more) messages of `category`; returns whether that was news. Raises as `grant`."""
    change = ConsentChange(user_pk, category, granted=False, source=source, evidence=evidence)
    return apply_changes(session, clock, changes=[change]).withdrawn == 1


def record(
    session: Session,
    clock: Clock,
    *,
    actor: str,
    user_id: str,
    category: str,
    granted: bool,
    source: str,
    evidence: str = "",
) -> User:
    """Grant or withdraw on behalf of a user of the outside world's id, and say in the audit log who did, if it was news.

    Without evidence it is the actor's word. Returns the user; raises as `grant`.
    """
    user = users.find(session, user_id=user_id)
    assert user.id is not None  # noqa: S101  # a stored row has an id
    change = grant if granted else withdraw
    word = evidence or f"recorded by {actor}"
    if change(session, clock, user_pk=user.id, category=category, source=source, evidence=word):
        audit.record(
            session,
            clock,
            actor=actor,
            action="consent.grant" if granted else "consent.withdraw",
            subject_kind="user",
            subject_key=user_id,
            after={"category": str(category), "granted": granted, "source": source},
        )
    session.flush()
    return user


def consents_of(session: Session, *, user_pk: int) -> list[Consent]:
    """The present state of one user, by category. A category that is missing was never asked for."""
    return user_repository.consents_of(session, user_pk)


def ledger(session: Session, *, user_id: str, before_id: int | None, limit: int) -> list[ConsentRecord]:
    """Every grant and withdrawal with its proof, the newest first; raises NotFound."""
    user = users.find(session, user_id=user_id)
    return user_repository.ledger_page(session, user.id or 0, before_id=before_id, limit=limit)


def consents_of_many(session: Session, *, user_pks: Sequence[int]) -> dict[int, list[Consent]]:
    """The same for many users at once, by internal id; a user who was never asked is missing."""
    found: dict[int, list[Consent]] = {}
    for consent in user_repository.consents_of_many(session, user_pks):
        found.setdefault(consent.user_pk, []).append(consent)
    return found


def apply_changes(
    session: Session, clock: Clock, *, changes: Sequence[ConsentChange], from_file: bool = False
) -> Applied:
    """Apply many changes at once, in their order; what is the state already writes nothing.

    A file (`from_file`) is old news of unknown age, and differs in two things. Its "yes" never overturns a
    withdrawal, so that importing last month's list again does not undo last week's opt-outs. Its "no" about somebody
    who had never agreed is kept, but is no opt-out event: that person left nothing.
    """
    if not changes:
        return Applied()
    for change in changes:
        _check(change)
    user_pks = {change.user_pk for change in changes}
    missing = user_pks - user_repository.lock_people(session, user_pks)
    if missing:
        raise NotFound(f"there is no user with the internal id {min(missing)}", field="user_pk")
    now = clock.now()
    state = user_repository.current_consents(session, user_pks)
    records: list[dict[str, Any]] = []
    events: list[dict[str, Any]] = []
    kept = 0
    for change in changes:
        key = (change.user_pk, change.category)
        before = state.get(key)
        if before == change.granted:
            continue
        if from_file and change.granted and before is False:
            kept += 1
            continue
        state[key] = change.granted
        records.append(_ledger_row(change, now))
        if not change.granted and (before or not from_file):
            events.append(_opt_out(change, now))
    user_repository.save_consents(session, records)
    new = event_repository.insert_events(session, events)
    rule_triggers.note_events(session, events=new, now=now)
    granted = sum(record["granted"] for record in records)
    return Applied(granted=granted, withdrawn=len(records) - granted, kept_withdrawn=kept)


def _check(change: ConsentChange) -> None:
    if change.category not in set(Category):
        known = ", ".join(Category)
        raise Invalid(f"{change.category!r} is not a category; there are {known}", field="category")
    check_text(change.source, field="source", limit=MAX_SOURCE)
    if change.evidence:
        check_text(change.evidence, field="evidence", limit=MAX_EVIDENCE)


def _ledger_row(change: ConsentChange, now: datetime) -> dict[str, Any]:
    return {
        "user_pk": change.user_pk,
        "category": str(change.category),
        "granted": change.granted,
        "at": now,
        "source": change.source,
        "evidence": change.evidence,
    }


def _opt_out(change: ConsentChange, now: datetime) -> dict[str, Any]:
    return {
        "message_id": f"opted-out:{change.user_pk}:{change.category}:{to_micros(now)}",
        "user_pk": change.user_pk,
        "name": OPTED_OUT_EVENT,
        "at": now,
        "received_at": now,
        "properties": {"category": str(change.category), "source": change.source},
    }
