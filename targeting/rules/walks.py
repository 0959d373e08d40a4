"""Triggers that nothing sets off: inactivity and schedules. Everybody is looked at, a stretch of internal ids at a time.

A stretch is read first, without holding anything up; then its users are held, looked at again, acted on, and the place
the walk has come to is moved on, in one transaction. Killed anywhere, the walk goes on where it was.

An occasion has a name (`inactive:` and when the user was last active, `schedule:` and the planned time) and fires once: who
is silent is reached at the first walk after the time is up, and not again until they have been active and fell silent anew.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement
from sqlmodel import Session

from experiments.clock import Clock, format_moment
from experiments.database import Database
from targeting.models import Rule
from targeting.rules import repository as rule_repository
from targeting.rules.acting import Terms, fire
from targeting.rules.definitions import InactivityTrigger, Trigger
from targeting.rules.evaluation import Evaluated
from targeting.rules.lifecycle import definition_of, id_of, live, next_walk, park
from targeting.rules.matching import Occasion, Verdict, limited
from targeting.rules.repository import Reached, is_passing
from targeting.segments.audience_repository import Audience, audience_of


@dataclass(frozen=True, slots=True)
class _Stretch:
    """What was found: the users up to `upto_pk` (None: behind the last user) who are reached."""

    upto_pk: int | None
    user_pks: Sequence[int]


def walk_stretch(
    database: Database, clock: Clock, *, rule: Rule, terms: Terms, length: int, batch: int
) -> Evaluated | None:
    """Walk the next `length` users, or fewer when `batch` of them are reached; None when somebody else walks this rule.

    A rule that fails is parked.
    """
    try:
        with database.snapshot() as session:
            stretch = _look(session, clock, rule, length=length, batch=batch)
        with database.transaction() as session:
            return _take(session, clock, rule, stretch, terms)
    except Exception as error:  # whatever a rule does wrong is its own affair
        if is_passing(error):
            raise
        with database.transaction() as session:
            held = rule_repository.hold_rule(session, id_of(rule))
            if held is None:
                return None
            park(session, clock, held, error)
        return Evaluated(parked=1)


def reach_of(
    trigger: Trigger, *, now: datetime
) -> tuple[ColumnElement[Any] | None, list[ColumnElement[bool]]]:
    """In SQL: when a user was last active (inactivity only), and whom the trigger reaches at `now`."""
    if not isinstance(trigger, InactivityTrigger):
        return None, []
    last = rule_repository.last_active(trigger.event)
    return last, [rule_repository.silent(last, since=now - trigger.after)]


def silence(last: datetime) -> str:
    """The name of the occasion that somebody fell silent."""
    return f"inactive:{format_moment(last)}"


def _look(session: Session, clock: Clock, rule: Rule, *, length: int, batch: int) -> _Stretch:
    upto = rule_repository.last_of_stretch(session, after_pk=rule.walked_to_pk, length=length)
    if upto is None:
        return _Stretch(None, ())
    where = rule_repository.between(rule.walked_to_pk, upto)
    rows = _reached(session, rule, _audience(session, rule, clock.now()), where, limit=batch)
    return _Stretch(rows[-1].id if len(rows) == batch else upto, [row.id for row in rows])


def _take(session: Session, clock: Clock, seen: Rule, stretch: _Stretch, terms: Terms) -> Evaluated | None:
    rule = rule_repository.hold_rule(session, id_of(seen))
    if rule is None or _place(rule) != _place(seen):
        return None
    now = clock.now()
    definition = definition_of(rule)
    # A walk that is under way when the rule's time is over ends there.
    if stretch.upto_pk is None or not definition.covers(now):
        rule.next_walk_at = next_walk(definition, now=now)
        rule.walk_began_at, rule.walked_to_pk = None, 0
        return Evaluated()
    fired = _act(session, clock, rule, stretch.user_pks, terms, now) if stretch.user_pks else 0
    rule.walk_began_at, rule.walked_to_pk = _began(rule), stretch.upto_pk
    return Evaluated(occasions=len(stretch.user_pks), fired=fired)


def _act(
    session: Session, clock: Clock, row: Rule, user_pks: Collection[int], terms: Terms, now: datetime
) -> int:
    attributes = rule_repository.hold_users(session, user_pks)
    audience = _audience(session, row, now)
    found = _reached(session, row, audience, rule_repository.among(user_pks))
    reached, rule = audience.keep(session, found), live(session, row)
    before = (
        rule_repository.last_fired(session, rule.id, [each.id for each in reached]) if rule.remembers else {}
    )
    occasions = [
        Occasion(cause=silence(each.last) if each.last else _planned(row), user_pk=each.id, at=now)
        for each in reached
        if limited(rule.definition, last_fired=before.get(each.id), now=now) == Verdict.FIRES
    ]
    fire(session, clock, rule=rule, occasions=occasions, attributes=attributes, terms=terms)
    return len(occasions)


def _audience(session: Session, row: Rule, now: datetime) -> Audience:
    return audience_of(session, definition_of(row).condition, now=now, field="condition")


def _reached(
    session: Session, row: Rule, audience: Audience, where: ColumnElement[bool], limit: int | None = None
) -> list[Reached]:
    """Those whom the trigger reaches and for whom it has not fired on this occasion; `audience.keep` has yet to see them."""
    trigger = definition_of(row).trigger
    last, where_silent = reach_of(trigger, now=audience.now)
    if isinstance(trigger, InactivityTrigger) and last is not None:
        unfired = rule_repository.not_fired_in_silence(id_of(row), last, after=trigger.after)
    else:
        unfired = rule_repository.not_fired_for(id_of(row), cause=_planned(row))
    return rule_repository.reached(
        session, audience, where=[where, *where_silent, unfired], last=last, limit=limit
    )


def _began(row: Rule) -> datetime:
    """The planned time of the walk that is due or under way."""
    began = row.walk_began_at or row.next_walk_at
    assert began is not None  # noqa: S101  # a rule without either is not walked
    return began


def _planned(row: Rule) -> str:
    return f"schedule:{format_moment(_began(row))}"


def _place(rule: Rule) -> tuple[Any, ...]:
    return (rule.version, rule.next_walk_at, rule.walk_began_at, rule.walked_to_pk)
