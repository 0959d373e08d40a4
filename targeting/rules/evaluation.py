"""What happened meets the rules that wait for it: one batch, in one transaction.

Each user's occasions are taken in the order in which they came, and the rules in the order in which they were made; a later
rule sees what an earlier one changed. A rule acts on many users at once, inside a savepoint: when it fails, what it did
is undone, it is parked, and the others go on.
"""

from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlmodel import Session

from experiments.clock import Clock
from targeting.conditions import Scope
from targeting.models import Rule
from targeting.rules import repository as rule_repository
from targeting.rules.acting import Attributes, Terms, fire
from targeting.rules.lifecycle import live, park
from targeting.rules.matching import LiveRule, Occasion, Verdict, concerns, limited
from targeting.rules.repository import Pending, is_passing
from targeting.segments.audience_repository import audience_of


@dataclass(frozen=True, slots=True)
class Evaluated:
    """Occasions taken, firings, rules parked."""

    occasions: int = 0
    fired: int = 0
    parked: int = 0


def evaluate_batch(session: Session, clock: Clock, *, terms: Terms, limit: int) -> Evaluated:
    """Take the oldest occasions that wait, let the rules act on them, and delete them.

    What the rules changed may be occasions for others, which wait for the next batch.
    """
    pending = rule_repository.claim_pending(session, limit=limit)
    if not pending:
        return Evaluated()
    batch = _Batch(session, clock, terms, {row.user_pk for row in pending})
    rules = rule_repository.waiting_rules(session, {text for row in pending for text in _what(row)})
    for occasions in _rounds(pending):
        for rule in rules:
            batch.let(rule, occasions)
    rule_repository.delete_pending(session, [row.id for row in pending])
    return Evaluated(len(pending), batch.fired, batch.parked)


class _Batch:
    """The users of a batch, held from the beginning, so that two engines never look at one user at the same time."""

    def __init__(self, session: Session, clock: Clock, terms: Terms, user_pks: Collection[int]) -> None:
        self._session, self._clock, self._terms = session, clock, terms
        self._attributes: dict[int, Attributes] = dict(rule_repository.hold_users(session, user_pks))
        self._ready: dict[int | None, LiveRule] = {}
        self.fired = self.parked = 0

    def let(self, row: Rule, occasions: Sequence[Occasion]) -> None:
        """Let one rule look at some occasions, at most one of each user; parks it when it fails."""
        if row.parked_at is not None:
            return
        try:
            with self._session.begin_nested():
                rule = self._ready.get(row.id) or live(self._session, row)
                chosen = self._chosen(rule, [each for each in occasions if concerns(rule, each)])
                changed = fire(
                    self._session,
                    self._clock,
                    rule=rule,
                    occasions=chosen,
                    attributes=self._attributes,
                    terms=self._terms,
                )
        except Exception as error:  # whatever a rule does wrong is its own affair
            if is_passing(error):
                raise
            park(self._session, self._clock, row, error)
            self.parked += 1
        else:
            self._ready[row.id] = rule
            self._attributes |= changed
            self.fired += len(chosen)

    def _chosen(self, rule: LiveRule, occasions: Sequence[Occasion]) -> list[Occasion]:
        now = self._clock.now()
        triggered = [each for each in occasions if rule.triggers(each)]
        if not triggered:
            return []
        met = self._met(rule, triggered, now)
        before = rule_repository.last_fired(self._session, rule.id, met) if met and rule.remembers else {}
        return [
            each
            for each in triggered
            if each.user_pk in met
            and limited(rule.definition, last_fired=before.get(each.user_pk), now=now) == Verdict.FIRES
        ]

    def _met(self, rule: LiveRule, occasions: Sequence[Occasion], now: datetime) -> set[int]:
        """The users who meet the condition."""
        if not rule.needs.events and not rule.needs.segments:
            scope = Scope(now=now)
            users = (each.user_pk for each in occasions)
            return {pk for pk in users if rule.meets(self._attributes[pk], scope)}
        # What somebody did may be a million events, which the database counts where they are.
        # A sender's clock may run ahead of ours, and an event that starts a rule has happened for its condition too.
        moments: dict[datetime, list[int]] = defaultdict(list)
        for each in occasions:
            moments[max(now, each.at)].append(each.user_pk)
        met: set[int] = set()
        for moment, pks in moments.items():
            audience = audience_of(self._session, rule.condition, now=moment, field="condition")
            where = [rule_repository.among(pks)]
            found = rule_repository.reached(self._session, audience, where=where, last=None)
            met |= {row.id for row in audience.keep(self._session, found)}
        return met


def _what(row: Pending) -> list[str]:
    """What a rule that is concerned waits for."""
    if row.name is not None:
        return [f"event:{row.name}"]
    return [f"attribute:{name}" for name in row.changes or {}]


def _rounds(pending: Sequence[Pending]) -> Iterator[list[Occasion]]:
    """The occasions in order, in lists that hold each user once."""
    waiting = [_occasion(row) for row in pending]
    while waiting:
        first: dict[int, Occasion] = {}
        later: list[Occasion] = []
        for each in waiting:
            if each.user_pk in first:
                later.append(each)
            else:
                first[each.user_pk] = each
        yield list(first.values())
        waiting = later


def _occasion(row: Pending) -> Occasion:
    is_event = row.event_id is not None
    return Occasion(
        cause=f"event:{row.event_id}" if is_event else f"change:{row.id}",
        user_pk=row.user_pk,
        at=row.event_at or row.at,
        name=row.name,
        properties=row.properties or {},
        changes=row.changes,
        chain=tuple(row.chain or ()),
    )
