"""Which variant somebody has, asked by software that speaks OpenFeature or GrowthBook.

An assignment that is stored is the answer, whatever has changed since. Without one the answer is what enrolment would draw:
the same conditions (events and lists included, for which the server is asked), the same gates, the same hashes. Being able to
receive messages (phone, consent, caps) is enrolment's business and not asked here, so a variant may be told to somebody who is
never enrolled; the analysis counts assignments.

Telling somebody their variant is an exposure: an event, once for each user, experiment and variant. Testers leave none.
"""

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from sqlmodel import Session

from experiments import service
from experiments.clock import Clock
from experiments.design import ExperimentDesign
from experiments.errors import Invalid, NotFound
from experiments.models import Experiment
from experiments.timing import opens_at
from experiments.vocabulary import EXPERIMENT_VIEWED_EVENT, ExperimentStatus
from targeting import evaluation_repository as repository
from targeting import tombstones
from targeting.bucketing import BucketRange, choose_variant, hash_unit
from targeting.calls import TrackCall
from targeting.conditions import compile_condition
from targeting.conditions.needs import Needs, expand_segments, needs_of
from targeting.conditions.scope import Predicate, Scope
from targeting.draw import HASH_VERSION, Gate, gates, unit_of, variant_ranges, variant_seed
from targeting.evaluation_repository import States, Subject
from targeting.payload import MAX_LISTED, Payload, Running, Walked, payload_of
from targeting.segments import repository as segment_repository
from targeting.segments.audience_repository import scopes_of

_EXPOSURES: Final = uuid.UUID("a2c5c8a4-7f0e-5b43-9a57-0a3d1d1a7b10")


class Reason(StrEnum):
    """Why somebody has this variant, or none.

    SPLIT: chance decided (or did, when they were enrolled). TARGETING: who they are decided. OFF: the experiment takes no part now.
    """

    SPLIT = "split"
    TARGETING = "targeting"
    OFF = "off"


@dataclass(frozen=True, slots=True)
class Answer:
    """The variant of one user in one experiment; None: none, because of `without`. `forced`: chosen by hand, for a tester.

    without: `paused`, `stopped`, `not_begun`, `erased`, `audience`, `prerequisite`, `layer`, `rule` (users come by rules, and none has
    enrolled this one), `no_unit`, or the gate of `targeting.draw` that stopped them.
    """

    experiment: str
    reason: Reason
    variant: str | None = None
    without: str | None = None
    forced: bool = False


@dataclass(frozen=True, slots=True)
class Broken:
    """An experiment that cannot be evaluated, and why."""

    experiment: str
    why: str


@dataclass(frozen=True, slots=True)
class _Live:
    """A running or paused experiment, ready to be evaluated. `layer`: keys of the others of its layer."""

    running: Running
    is_paused: bool
    gates: tuple[Gate, ...]
    ranges: Sequence[BucketRange]
    predicate: Predicate
    needs: Needs
    layer: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Catalogue:
    """All running and paused experiments as they were at one state of the database."""

    states: States
    segment_states: States
    experiments: Mapping[str, _Live]
    segments: frozenset[str]
    lists: frozenset[str]


@dataclass(slots=True)
class Evaluator:
    """Evaluates, and remembers what does not change between evaluations. One for a process; threads may share it."""

    global_holdout: float
    erasure_secret: str = ""
    _catalogue: Catalogue | None = field(default=None, init=False)
    _payload: tuple[Catalogue, Payload] | None = field(default=None, init=False)

    def catalogue(self, session: Session) -> Catalogue:
        """The experiments as this session sees them: read again only when something about them has changed."""
        known, states = self._catalogue, repository.states(session)
        if (
            known is None
            or known.states != states
            or known.segment_states != repository.segment_states(session, known.segments)
        ):
            known = self._catalogue = _read_catalogue(session, states, global_holdout=self.global_holdout)
        return known

    def payload(self, session: Session, clock: Clock) -> Payload:
        """The payload for SDKs; the same object as long as nothing changes."""
        catalogue, now = self.catalogue(session), clock.now()
        if self._payload is not None and self._payload[0] is catalogue:
            payload = self._payload[1]
            if payload.changes_at is None or now < payload.changes_at:
                return payload
        lists = {key: repository.listed(session, key, most=MAX_LISTED) for key in sorted(catalogue.lists)}
        live = list(catalogue.experiments.values())
        payload = payload_of(
            [one.running for one in live if not one.is_paused],
            paused=[one.running.design for one in live if one.is_paused],
            lists=lists,
            global_holdout=self.global_holdout,
            now=now,
        )
        self._payload = (catalogue, payload)
        return payload

    def answer(self, session: Session, clock: Clock, questions: Sequence["Question"]) -> list["Told"]:
        """The answers to each of `questions`, in their order; NotFound for an experiment that is not there or never started.

        Many at once cost hardly more reads than one.
        """
        known = repository.subjects(session, {question.user_id for question in questions})
        catalogue, now = self.catalogue(session), clock.now()
        unknown = {(tombstones.USER_ID, each.user_id) for each in questions if each.user_id not in known}
        erased = tombstones.erased_among(session, unknown, secret=self.erasure_secret)
        told: list[Told] = []
        for question in questions:
            subject = known.get(question.user_id) or Subject(question.user_id)
            seen = {**subject.attributes, **question.attributes}
            is_erased = (tombstones.USER_ID, question.user_id) in erased
            one = _OneUser(session, now, catalogue, subject, seen, is_erased)
            if question.experiment is None:
                told.append([one.answer(key) for key in catalogue.experiments])
            elif question.experiment in catalogue.experiments:
                told.append([one.answer(question.experiment)])
            else:
                told.append(_not_live(session, question.experiment))
        return told


@dataclass(frozen=True, slots=True)
class Question:
    """Which variant has a user in an experiment (None: in each that is running or paused, by age)?

    `attributes` lie over what is stored of the user; null takes one away.
    """

    user_id: str
    attributes: Mapping[str, Any]
    experiment: str | None = None


Told = list[Answer | Broken] | NotFound


def _not_live(session: Session, key: str) -> Told:
    status = repository.status_of(session, key)
    if status is None or status == ExperimentStatus.DRAFT:
        return NotFound(f"there is no experiment {key!r} that was started", field="key")
    return [Answer(key, Reason.OFF, without="stopped")]


def exposures(answers: Sequence[Answer | Broken], *, user_id: str, at: datetime) -> list[TrackCall]:
    """The events to record when these answers are given to this user; the same answer again is the same event."""
    return [
        TrackCall(
            message_id=str(
                uuid.uuid5(_EXPOSURES, "\n".join((answer.experiment, str(answer.variant), user_id)))
            ),
            user_id=user_id,
            anonymous_id=None,
            event=EXPERIMENT_VIEWED_EVENT,
            at=at,
            properties={"experiment": answer.experiment, "variant": answer.variant},
        )
        for answer in answers
        if isinstance(answer, Answer) and answer.variant is not None and not answer.forced
    ]


@dataclass(slots=True)
class _OneUser:
    """One user at one moment; what prerequisites ask is worked out on the way."""

    session: Session
    now: datetime
    catalogue: Catalogue
    subject: Subject
    attributes: Mapping[str, Any]
    is_erased: bool = False

    def answer(self, key: str) -> Answer | Broken:
        one = self.catalogue.experiments[key]
        if one.is_paused or one.running.begins_at > self.now:
            return Answer(key, Reason.OFF, without="paused" if one.is_paused else "not_begun")
        if self.is_erased:
            # Nothing is kept of them, so no exposure could be: and without one no variant is told.
            return Answer(key, Reason.TARGETING, without="erased")
        chosen = self._chosen(one.running.design)
        if chosen is not None:
            return chosen
        if one.running.problem is not None:
            return Broken(key, one.running.problem)
        without = self._outside(one)
        if without is not None:
            return Answer(key, Reason.TARGETING, without=without)
        return self._drawn(one)

    def _chosen(self, design: ExperimentDesign) -> Answer | None:
        """A variant that needs no drawing: it was drawn before, or chosen by hand."""
        stored = self.subject.assigned.get(design.key)
        if stored is not None and not stored.forced:
            return Answer(design.key, Reason.SPLIT, stored.variant)
        by_hand = stored.variant if stored else design.audience.forced.get(self.subject.user_id)
        return Answer(design.key, Reason.TARGETING, by_hand, forced=True) if by_hand is not None else None

    def _outside(self, one: _Live) -> str | None:
        """Why who they are keeps this user out."""
        audience = one.running.design.audience
        if one.running.design.trigger.type != "once":
            return "rule"
        if audience.layer is not None and (
            audience.layer.range is None or any(peer in self.subject.assigned for peer in one.layer)
        ):
            return "layer"
        for each in audience.prerequisites:
            if self._variant_in(each.experiment) not in each.variants:
                return "prerequisite"
        return None if one.predicate(self.attributes, self._scope(one.needs)) else "audience"

    def _variant_in(self, key: str) -> str | None:
        stored = self.subject.assigned.get(key)
        if stored is not None:
            return stored.variant
        answer = self.answer(key) if key in self.catalogue.experiments else None
        return answer.variant if isinstance(answer, Answer) else None

    def _scope(self, needs: Needs) -> Scope:
        pk = self.subject.pk
        if pk is None or not (needs.events or needs.segments):
            return Scope(now=self.now)
        return scopes_of(self.session, user_pks=[pk], needs=needs, now=self.now)[pk]

    def _drawn(self, one: _Live) -> Answer:
        """What `draw.draw_variants` says of this user, without the cost of arrays for a single one."""
        design, user_id = one.running.design, self.subject.user_id
        unit = unit_of(design, user_id=user_id, attributes=self.attributes)
        if unit is None:
            return Answer(design.key, Reason.TARGETING, without="no_unit")
        for gate in one.gates:
            if not _falls_in(gate.seed, user_id if gate.of_user else unit, gate.start, gate.end):
                return Answer(design.key, Reason.SPLIT, without=gate.reason)
        # The ranges cover everything, up to the last digit of a sum of weights.
        index = choose_variant(_place(variant_seed(design.key), unit), one.ranges)
        return Answer(design.key, Reason.SPLIT, design.variants[index].key)


def _place(seed: str, value: str) -> float:
    place = hash_unit(seed, value, HASH_VERSION)
    assert place is not None  # noqa: S101  # the version exists
    return place


def _falls_in(seed: str, value: str, start: float, end: float) -> bool:
    return start <= _place(seed, value) < end


def _read_catalogue(session: Session, states: States, *, global_holdout: float) -> Catalogue:
    """Compile everything. Circles of prerequisites are refused where designs come in, so none is looked for."""
    stored = [
        (experiment, service.design_of(experiment), weights)
        for experiment, weights in repository.live(session)
    ]
    designs = [design for _, design, _ in stored]
    walked = repository.walked(session)
    asked: set[str] = set()
    find = segment_repository.conditions_by_key(session)

    def lookup(key: str) -> dict[str, Any] | None:
        asked.add(key)
        return find(key)

    experiments = {
        design.key: _ready(
            experiment, design, weights, walked.get(experiment.id or 0, ()), lookup, designs, global_holdout
        )
        for experiment, design, weights in stored
    }
    lists = frozenset(key for one in experiments.values() for key in one.needs.segments)
    segment_states = repository.segment_states(session, asked)
    return Catalogue(states, segment_states, experiments, frozenset(asked), lists)


def _ready(
    experiment: Experiment,
    design: ExperimentDesign,
    weights: Mapping[str, float],
    walked: Sequence[Walked],
    lookup: Callable[[str], dict[str, Any] | None],
    designs: Sequence[ExperimentDesign],
    global_holdout: float,
) -> _Live:
    assert experiment.started_at is not None  # noqa: S101  # it was started, or it would not be live
    problem, condition = None, design.audience.condition
    try:
        condition = expand_segments(condition, lookup)
    except Invalid as error:
        problem = str(error)
    layer = design.audience.layer
    return _Live(
        Running(
            design,
            opens_at(design.trigger, experiment.started_at) or experiment.started_at,
            weights,
            condition,
            problem,
            released=experiment.released,
            walked=walked,
        ),
        is_paused=experiment.status == ExperimentStatus.PAUSED,
        gates=gates(design, global_holdout=global_holdout, released=experiment.released),
        ranges=variant_ranges(design, weights),
        predicate=compile_condition(condition),
        needs=needs_of(condition),
        layer=tuple(
            other.key
            for other in designs
            if layer
            and other.key != design.key
            and other.audience.layer
            and other.audience.layer.key == layer.key
        ),
    )
