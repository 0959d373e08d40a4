"""Campaigns: experiments together with the people they are for. What the floor below cannot know is checked here."""

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any, Final, Literal

from sqlmodel import Session

from experiments import arms, content, service, shipping, waves
from experiments import repository as experiment_repository
from experiments.clock import Clock
from experiments.design import ExperimentDesign, read_design
from experiments.errors import Invalid, Problem
from experiments.factors import written_path
from experiments.lifecycle import Move, next_status
from experiments.models import Epoch, Experiment
from experiments.starting import start_problems
from experiments.vocabulary import ExperimentStatus
from targeting import enrolment, relations, repository
from targeting.conditions import validate_condition
from targeting.conditions.text import parse_text
from targeting.models import Enrolment
from targeting.rules import owned
from targeting.segments import audience_repository, condition_reading

ALWAYS_THERE: Final = frozenset({"user_id"})
"""What `user` has in a template beside the attributes. The phone number is not offered."""

NAMES_SHOWN: Final = 10
CONDITION: Final = "audience.condition"

Outcome = Literal["created", "changed", "unchanged"]


@dataclass(frozen=True, slots=True)
class Applied:
    """What became of a document that was applied."""

    experiment: Experiment
    outcome: Outcome


def read(session: Session, *, document: Mapping[str, Any]) -> ExperimentDesign:
    """The design in a document, checked as `create` checks it. Stores nothing. Raises Invalid with every problem."""
    return _validated(session, document)[1]


def create(session: Session, clock: Clock, *, actor: str, document: Mapping[str, Any]) -> Experiment:
    """Store a new draft. Raises Invalid with every problem of the design and of its audience, or Conflict."""
    document, _design = _validated(session, document)
    return service.create(session, clock, actor=actor, document=document)


def apply(
    session: Session, clock: Clock, *, actor: str, document: Mapping[str, Any], key: str | None = None
) -> Applied:
    """Bring the stored experiment in line with a document: create it, redesign the draft, or find nothing to change.

    `key` is where the document was sent to, when that was said. Raises Invalid as `create` does, or when the document is
    of another experiment, and Conflict when the experiment was started with another design.
    """
    document, design = _validated(session, document)
    wanted, key = key, design.key
    if wanted is not None and wanted != key:
        raise Invalid(f"is {key!r}, but the document was sent to {wanted!r}", field="key")
    if not experiment_repository.experiment_exists(session, key):
        return Applied(service.create(session, clock, actor=actor, document=document), "created")
    experiment, changed = service.replace_draft(session, clock, actor=actor, key=key, document=document)
    return Applied(experiment, "changed" if changed else "unchanged")


def warnings_of(session: Session, experiment: Experiment) -> tuple[str, ...]:
    """What may be wrong with the audience of an experiment: attributes that no user is known to have."""
    return condition_reading.warnings_about(
        session, condition=service.design_of(experiment).audience.condition
    )


def start(session: Session, clock: Clock, *, actor: str, key: str) -> Experiment:
    """Start a draft.

    Raises NotFound; Conflict when it is no draft, or when its range of a layer overlaps that of another experiment; and
    Invalid when a moment that it needs is past, when a prerequisite cannot be met, when the audience is empty, or when a
    message or the draw reads an attribute that nobody in the audience has. Where users come by and by, the audience may
    still be empty.
    """
    # One start at a time, with everything in its place that it depends on.
    experiment_repository.hold_unstopped(session)
    experiment = experiment_repository.get_experiment(session, key, for_update=True)
    next_status(ExperimentStatus(experiment.status), Move.START)
    design = service.design_of(experiment)
    problems = start_problems(design, now=clock.now())
    problems += relations.prerequisite_problems(session, design, starting=True)
    if problems:
        raise Invalid.of(problems)
    relations.check_layer(session, experiment)
    if enrolment.walks(design):
        _check_audience(session, design, now=clock.now())
    experiment = service.move(session, clock, actor=actor, key=key, move=Move.START)
    owned.put_in_place(session, clock, actor=actor, experiment=experiment)
    return experiment


def pause(session: Session, clock: Clock, *, actor: str, key: str) -> Experiment:
    """Enrol and send nothing until resumed; what happens meanwhile enrols nobody. Raises NotFound or Conflict."""
    experiment = service.move(session, clock, actor=actor, key=key, move=Move.PAUSE)
    owned.switch(session, clock, actor=actor, experiment=experiment, on=False)
    return experiment


def resume(session: Session, clock: Clock, *, actor: str, key: str) -> Experiment:
    """Go on after a pause. Raises NotFound or Conflict."""
    experiment = service.move(session, clock, actor=actor, key=key, move=Move.RESUME)
    owned.switch(session, clock, actor=actor, experiment=experiment, on=True)
    return experiment


def stop(session: Session, clock: Clock, *, actor: str, key: str) -> Experiment:
    """Enrol nobody any more, for good; what waits to be sent is for `delivery.planning.planner.stop`. Raises NotFound or Conflict."""
    experiment = service.move(session, clock, actor=actor, key=key, move=Move.STOP)
    owned.switch(session, clock, actor=actor, experiment=experiment, on=False)
    return experiment


def ramp(session: Session, clock: Clock, *, actor: str, key: str, coverage: float) -> Experiment:
    """Raise the coverage of a running or paused experiment: nobody moves, some join.

    Where the audience is walked once, it is walked once more; otherwise those who come from now on are more.
    Raises NotFound, Invalid or Conflict, as `experiments.service.raise_coverage` does.
    """
    experiment, before = service.raise_coverage(session, clock, actor=actor, key=key, coverage=coverage)
    assert experiment.id is not None  # noqa: S101  # a stored row has an id
    if coverage > before and enrolment.is_walked_once(service.design_of(experiment)):
        enrolment.reopen(session, experiment_id=experiment.id, growth=coverage / before)
    return experiment


def release_wave(
    session: Session, clock: Clock, *, actor: str, experiment: Experiment, upto: float, reason: str
) -> None:
    """Let the next wave of an experiment out, up to the share `upto`; the experiment is held by the caller."""
    before = experiment.released
    waves.release(session, clock, actor=actor, experiment=experiment, upto=upto, reason=reason)
    assert experiment.id is not None  # noqa: S101  # a stored row has an id
    enrolment.reopen(session, experiment_id=experiment.id, growth=1.0, afresh_from=before)


def ship(
    session: Session,
    clock: Clock,
    *,
    actor: str,
    key: str,
    variant: str,
    reason: str,
    numbers: Mapping[str, Any] | None = None,
) -> tuple[Experiment, bool]:
    """`experiments.shipping.ship`, and the rest of the audience is walked; returns the experiment, and whether anything was done.

    A variant without message is shipped to nobody: the experiment is stopped, and what waits to be sent is for
    `delivery.planning.planner.ship`.
    """
    experiment, shipped = shipping.ship(
        session, clock, actor=actor, key=key, variant=variant, reason=reason, numbers=numbers
    )
    if not shipped:
        return experiment, False
    assert experiment.id is not None  # noqa: S101  # a stored row has an id
    design = service.design_of(experiment)
    if design.variant(variant).message is None:
        return stop(session, clock, actor=actor, key=key), True
    if enrolment.is_walked_once(design):
        enrolment.reopen(session, experiment_id=experiment.id, growth=1.0)
    owned.renew(session, clock, actor=actor, experiment=experiment)
    return experiment, True


def add_variant(
    session: Session,
    clock: Clock,
    *,
    actor: str,
    key: str,
    variant: Mapping[str, Any],
    share: float | None,
    reason: str,
) -> tuple[Experiment, Epoch]:
    """`experiments.arms.add_variant`; also raises Invalid where its message reads an attribute that nobody in the audience has."""
    experiment, epoch = arms.add_variant(
        session, clock, actor=actor, key=key, variant=variant, share=share, reason=reason
    )
    design = service.design_of(experiment)
    if enrolment.walks(design):
        place = f"variants[{len(design.variants) - 1}]."
        everyone = audience_repository.audience_of(session, design.audience.condition, now=clock.now())
        problems = _missing_attributes(session, design, everyone, now=clock.now())
        mine = [problem for problem in problems if problem.field.startswith(place)]
        if mine and audience_repository.somebody_in(session, everyone):
            raise Invalid.of(
                [Problem(f"variant.{problem.field.removeprefix(place)}", problem.message) for problem in mine]
            )
    return experiment, epoch


def enrolment_of(session: Session, *, key: str) -> Enrolment | None:
    """How far the walk of an experiment's audience has come; None when it has not begun. Raises NotFound."""
    experiment = experiment_repository.get_experiment(session, key)
    assert experiment.id is not None  # noqa: S101  # a stored row has an id
    return repository.find_enrolment(session, experiment_id=experiment.id)


def counts_by_rule(session: Session, *, key: str) -> dict[str, Any] | None:
    """What became of those who did what an experiment waits for, or fell silent, in the shape of `Enrolment.counts`.

    None without such a trigger, or before the start. Raises NotFound.
    """
    return owned.counts_of(session, experiment_repository.get_experiment(session, key))


def _check_audience(session: Session, design: ExperimentDesign, *, now: datetime) -> None:
    condition = design.audience.condition
    everyone = audience_repository.audience_of(session, condition, now=now)
    if not audience_repository.somebody_in(session, everyone):
        if not enrolment.is_walked_once(design):
            # It is walked again and again, and may be meant for those who come to match.
            return
        raise Invalid(
            "matches no user, so nobody would ever take part; import users or widen it",
            field="audience.condition",
        )
    problems = _missing_attributes(session, design, everyone, now=now)
    if problems:
        raise Invalid.of(problems)


def _missing_attributes(
    session: Session, design: ExperimentDesign, everyone: audience_repository.Audience, *, now: datetime
) -> list[Problem]:
    condition = design.audience.condition
    missing = {
        name
        for name in {name for _, name in _attributes_needed(design)}
        if not audience_repository.somebody_in(
            session, audience_repository.audience_with(session, condition, attribute=name, now=now)
        )
    }
    if not missing:
        return []
    known = _known_names(session, everyone)
    problems = (
        Problem(field, _missing(name, known, in_message=not field.startswith("audience")))
        for field, name in _attributes_needed(design)
        if name in missing
    )
    return list(dict.fromkeys(problems))


def _validated(session: Session, document: Mapping[str, Any]) -> tuple[Mapping[str, Any], ExperimentDesign]:
    """A document whose condition is JSON, and its design; raises Invalid with the problems of both floors at once."""
    document, problems = _with_conditions(document)
    try:
        design = read_design(document, library=experiment_repository.metric_library(session))
    except Invalid as error:
        raise Invalid.of([*error.problems, *problems]) from error
    problems += [*owned.trigger_problems(design), *relations.prerequisite_problems(session, design)]
    if problems:
        raise Invalid.of(problems)
    condition_reading.check_segments(session, condition=design.audience.condition, field=CONDITION)
    return document, design


def _with_conditions(document: Mapping[str, Any]) -> tuple[Mapping[str, Any], list[Problem]]:
    """The document with the JSON of conditions that were written as text, and what is wrong with them."""
    document, properties = _as_json(document, "trigger", "properties")
    document, problems = _as_json(document, "audience", "condition")
    audience = document.get("audience")
    condition = audience.get("condition") if isinstance(audience, Mapping) else None
    if not problems and isinstance(condition, dict):
        problems = validate_condition(condition, field=CONDITION)
    return document, [*problems, *properties]


def _as_json(document: Mapping[str, Any], part: str, name: str) -> tuple[Mapping[str, Any], list[Problem]]:
    """The document with one condition as JSON, where it was text; whatever else it is, the design judges."""
    around = document.get(part)
    text = around.get(name) if isinstance(around, Mapping) else None
    if not isinstance(around, Mapping) or not isinstance(text, str):
        return document, []
    condition: dict[str, Any] = {}
    problems: list[Problem] = []
    try:
        condition = parse_text(text, field=f"{part}.{name}")
    except Invalid as error:
        problems = list(error.problems)
    return {**document, part: {**around, name: condition}}, problems


def _attributes_needed(design: ExperimentDesign) -> Iterator[tuple[str, str]]:
    """The path of each field that reads attributes, and the name of each attribute that it cannot do without."""
    for field in ("hash_attribute", "fallback_attribute"):
        name = getattr(design.audience, field)
        if name is not None and name not in ALWAYS_THERE:
            yield f"audience.{field}", name
    for i, variant in enumerate(design.variants):
        for path, source in (variant.message.sources() if variant.message else {}).items():
            names = {
                used.name for used in content.used_attributes(source) if not used.optional
            } - ALWAYS_THERE
            for name in sorted(names):
                field = f".message.{path}"
                yield (
                    (
                        written_path(design.factors, variant.levels, field)
                        if variant.levels
                        else f"variants[{i}]{field}"
                    ),
                    name,
                )


def _known_names(session: Session, audience: audience_repository.Audience) -> list[str]:
    some = islice(audience_repository.attributes_in(session, audience), audience_repository.SAMPLE)
    return sorted(
        {name for attributes in some for name, value in attributes.items() if value is not None}
        | ALWAYS_THERE
    )


def _missing(name: str, known: list[str], *, in_message: bool) -> str:
    return f"nobody in the audience has the attribute {name!r}{_advice(name, known, in_message=in_message)}"


def _advice(name: str, known: list[str], *, in_message: bool = True) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    if close:
        return f"; did you mean {close[0]!r}?"
    shown = ", ".join(known[:NAMES_SHOWN]) + (", .." if len(known) > NAMES_SHOWN else "")
    if not in_message:
        return f"; known are {shown}"
    return f"; known are {shown}. Write {{{{ user.{name} | default('..') }}}} when it may be missing"
