"""A rule tried on what has happened: who it would have fired for, and why not for the others. Nothing is written.

An event trigger meets the events of the last days again, in the order of their time, each with what was known of its
user's events at that time; attributes and lists of users are as they are now, since their past is not kept. What the rule
itself would have changed is remembered from one event to the next. The other triggers have no past to meet: for them the
answer is who would be reached now.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import ColumnElement
from sqlmodel import Session

from experiments.clock import Clock, format_moment
from experiments.errors import Invalid
from experiments.models import Experiment
from experiments.repository import get_experiment
from targeting.conditions import Scope, describe
from targeting.conditions.needs import Needs, expand_segments
from targeting.repository import is_assigned_in
from targeting.rules import repository as rule_repository
from targeting.rules.definitions import (
    AttributeTrigger,
    Enrol,
    EventTrigger,
    RuleDefinition,
)
from targeting.rules.effects import with_effect
from targeting.rules.matching import LiveRule, Occasion, Verdict, make_ready, verdict
from targeting.rules.repository import Past
from targeting.rules.walks import reach_of, silence
from targeting.rules.words import say_action, say_rule, say_trigger
from targeting.segments.audience_repository import SCOPED, audience_of, scopes_of
from targeting.segments.condition_reading import warnings_about
from targeting.segments.repository import conditions_by_key

MAX_DAYS: Final = 365
MAX_EVENTS: Final = 100_000
MAX_USERS: Final = 1_000_000
MAX_LISTED: Final = 1_000
_PAGE: Final = 1_000
_STRETCH: Final = 10_000
_HELD: Final = 300_000
"""Users and events of users that are held at a time."""
MAX_STEPS: Final = 10_000_000
"""What conditions about events may cost: one for each event looked at, `_READING` for each that is read."""
_READING: Final = 10
_NO_CHANGES: Final = (
    "changes of attributes are not kept: these users would fire if the attribute changed to this now"
)
_AS_NOW: Final = "attributes and lists of users are taken as they are now"
_RIGHT_NOW: Final = "who would be reached now; earlier firings are not taken into account"


@dataclass(frozen=True, slots=True)
class DryFiring:
    """One firing that would have been. `because` is the trigger and the condition in English."""

    user_id: str
    cause: str
    at: datetime
    because: str
    actions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DryRun:
    """`seen` occasions of the trigger = `fires` + those that failed at each step, counted by the first that failed.

    `firings` are the first of those that would have fired, in the order of time. `truncated`: more happened than was
    looked at, and `until` says how far it came.
    """

    rule: str
    trigger: str
    says: str
    since: datetime
    until: datetime
    seen: int
    fires: int
    users: int
    trigger_failed: int
    condition_failed: int
    cool_down: int
    once_per_user: int
    truncated: bool
    firings: tuple[DryFiring, ...]
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {"since": format_moment(self.since), "until": format_moment(self.until)}


def rehearse(session: Session, clock: Clock, *, definition: RuleDefinition, days: int, limit: int) -> DryRun:
    """Try a (valid) rule on the last `days` days; list at most `limit` firings. Raises Invalid for impossible bounds."""
    if not 1 <= days <= MAX_DAYS:
        raise Invalid(f"is between 1 and {MAX_DAYS}", field="days")
    if not 0 <= limit <= MAX_LISTED:
        raise Invalid(f"is between 0 and {MAX_LISTED}", field="limit")
    now = clock.now()
    run = _Run(session, definition, since=now - timedelta(days=days), until=now, limit=limit)
    if isinstance(definition.trigger, EventTrigger):
        run.meet_events(definition.trigger)
    else:
        run.meet_everybody()
    return run.result()


class _Run:
    """One dry run under way."""

    def __init__(
        self,
        session: Session,
        definition: RuleDefinition,
        *,
        since: datetime,
        until: datetime,
        limit: int,
    ) -> None:
        self._session, self._definition = session, definition
        self._since, self._until, self._limit = since, until, limit
        self._counts: Counter[Verdict] = Counter()
        self._firings: list[DryFiring] = []
        self._last_fired: dict[int, datetime] = {}
        self._changed: dict[int, dict[str, Any]] = {}
        self._truncated = False
        self._users: int | None = None
        self._notes: tuple[str, ...] = ()
        self._enrols = tuple(_enrols(session, definition))
        self._in_already: Counter[str] = Counter()
        self._because = f"{say_trigger(definition.trigger)}; {describe(definition.condition)}"
        self._actions = tuple(say_action(action) for action in definition.actions)

    def result(self) -> DryRun:
        counts = self._counts
        return DryRun(
            rule=self._definition.key,
            trigger=self._definition.trigger.type,
            says=say_rule(self._definition),
            since=self._since,
            until=self._until,
            seen=counts.total(),
            fires=counts[Verdict.FIRES],
            users=len(self._last_fired) if self._users is None else self._users,
            trigger_failed=counts[Verdict.TRIGGER],
            condition_failed=counts[Verdict.CONDITION],
            cool_down=counts[Verdict.COOL_DOWN],
            once_per_user=counts[Verdict.ONCE],
            truncated=self._truncated,
            firings=tuple(self._firings),
            notes=(
                *self._notes,
                *self._of_those_in_already(),
                *warnings_about(self._session, condition=self._definition.condition),
            ),
        )

    def _of_those_in_already(self) -> Iterator[str]:
        """How many of the users take part already, of each experiment that they would be put into."""
        fired = sorted(self._last_fired)
        for experiment in self._enrols:
            for start in range(0, len(fired), _PAGE):
                among = rule_repository.among(fired[start : start + _PAGE])
                self._count_in(experiment, [among])
            if self._in_already[experiment.key]:
                yield (
                    f"{self._in_already[experiment.key]:,} of these users are in {experiment.key} already: they keep their variant and are not "
                    "enrolled again"
                )

    def _count_in(self, experiment: Experiment, where: Sequence[ColumnElement[bool]]) -> None:
        taking_part = is_assigned_in([experiment.id or 0])
        self._in_already[experiment.key] += rule_repository.count_users(self._session, [*where, taking_part])

    def meet_events(self, trigger: EventTrigger) -> None:
        condition = expand_segments(
            self._definition.condition, conditions_by_key(self._session), field="condition"
        )
        rule = make_ready(self._definition, rule_id=0, version=0, condition=condition)
        self._notes = (_AS_NOW,)
        histories = _Histories(self._session, rule.needs, since=self._since, until=self._until)
        # The events of a page's users are held as well where the condition asks for them.
        size = SCOPED if rule.needs.events else _PAGE
        place, looked_at = (self._since, 0), 0
        while True:
            page = rule_repository.past_events(
                self._session,
                name=trigger.event,
                until=self._until,
                after=place,
                limit=size,
            )
            self._meet_page(rule, histories, trigger.event, page)
            looked_at += len(page)
            if len(page) < size:
                return
            place = (page[-1].at, page[-1].id)
            if looked_at >= MAX_EVENTS or histories.steps >= MAX_STEPS:
                self._truncated, self._until = True, page[-1].at
                return

    def _meet_page(self, rule: LiveRule, histories: "_Histories", name: str, page: Sequence[Past]) -> None:
        occasions = [
            Occasion(f"event:{each.id}", each.user_pk, each.at, name=name, properties=each.properties)
            for each in page
        ]
        triggered = [each for each in occasions if rule.triggers(each)]
        self._counts[Verdict.TRIGGER] += len(occasions) - len(triggered)
        if not triggered:
            return
        pks = {each.user_pk for each in triggered}
        people = rule_repository.people(self._session, pks)
        histories.hold(pks)
        for each in triggered:
            user_id, stored = people[each.user_pk]
            known = self._changed.get(each.user_pk, stored)
            said = verdict(
                rule,
                each,
                attributes=known,
                scope=histories.at(each.user_pk, each.at),
                last_fired=self._last_fired.get(each.user_pk),
                now=each.at,
            )
            self._counts[said] += 1
            if said == Verdict.FIRES:
                self._last_fired[each.user_pk] = each.at
                self._list(user_id, each.cause, each.at)
                self._remember(each.user_pk, known)

    def _remember(self, pk: int, attributes: dict[str, Any]) -> None:
        for action in self._definition.actions:
            if not isinstance(action, Enrol):
                try:
                    attributes = with_effect(attributes, action)
                except Invalid:
                    continue
                self._changed[pk] = attributes

    def _list(self, user_id: str, cause: str, at: datetime) -> None:
        if len(self._firings) < self._limit:
            self._firings.append(DryFiring(user_id, cause, at, self._because, self._actions))

    def meet_everybody(self) -> None:
        trigger, condition = self._definition.trigger, self._definition.condition
        cause, self._notes = "schedule:now", (_RIGHT_NOW,)
        if isinstance(trigger, AttributeTrigger):
            became = {trigger.attribute: {"$exists": True} if trigger.to is None else trigger.to}
            condition = {"$and": [became, condition]} if condition else became
            cause, self._notes = "change:now", (_NO_CHANGES,)
        audience = audience_of(self._session, condition, now=self._until, field="condition")
        last, silent = reach_of(trigger, now=self._until)
        if not self._definition.covers(self._until):
            self._users = 0
            return
        for stretch in self._stretches():
            where = [rule_repository.between(*stretch), *silent]
            seen = rule_repository.count_users(self._session, where)
            if audience.residual is None and len(self._firings) >= self._limit:
                fires = rule_repository.count_users(self._session, [audience.where, *where])
                for experiment in self._enrols:
                    self._count_in(experiment, [audience.where, *where])
            else:
                found = rule_repository.reached(self._session, audience, where=where, last=last)
                kept = audience.keep(self._session, found)
                fires = len(kept)
                for experiment in self._enrols if kept else ():
                    self._count_in(experiment, [*where, rule_repository.among([each.id for each in kept])])
                for each in kept:
                    self._list(each.user_id, silence(each.last) if each.last else cause, self._until)
            self._counts[Verdict.FIRES] += fires
            self._counts[Verdict.CONDITION] += seen - fires
        self._users = self._counts[Verdict.FIRES]

    def _stretches(self) -> Iterator[tuple[int, int]]:
        """Users by internal id: (behind this one, up to that one)."""
        after, looked_at = 0, 0
        while upto := rule_repository.last_of_stretch(self._session, after_pk=after, length=_STRETCH):
            if looked_at >= MAX_USERS:
                self._truncated = True
                return
            yield after, upto
            after, looked_at = upto, looked_at + _STRETCH


def _enrols(session: Session, definition: RuleDefinition) -> Iterator[Experiment]:
    """The experiments that the rule puts users into."""
    for key in dict.fromkeys(each.experiment for each in definition.actions if isinstance(each, Enrol)):
        yield get_experiment(session, key)


class _Histories:
    """What surrounds users, read once for each as long as memory allows: their events over the whole time of the run.

    A condition asked as of an earlier moment leaves out what came later by itself.
    """

    def __init__(self, session: Session, needs: Needs, *, since: datetime, until: datetime) -> None:
        longer = until - since
        events = {name: None if within is None else within + longer for name, within in needs.events.items()}
        self._session, self._until = session, until
        self._needs = replace(needs, events=events)
        self._scopes: dict[int, Scope] = {}
        self._sizes: dict[int, int] = {}
        self._held = 0
        self.steps = 0

    def hold(self, user_pks: set[int]) -> None:
        """Read what is missing of these users; `at` may then be asked about them."""
        missing = user_pks - self._scopes.keys()
        if missing and self._held > _HELD:
            self._scopes, self._sizes, self._held, missing = {}, {}, 0, user_pks
        if missing:
            found = scopes_of(self._session, user_pks=missing, needs=self._needs, now=self._until)
            sizes = {pk: sum(map(len, scope.events.values())) for pk, scope in found.items()}
            self._scopes |= found
            self._sizes |= sizes
            self._held += len(found) + sum(sizes.values())
            self.steps += _READING * sum(sizes.values())

    def at(self, user_pk: int, moment: datetime) -> Scope:
        self.steps += self._sizes[user_pk]
        return replace(self._scopes[user_pk], now=moment)
