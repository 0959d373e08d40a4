"""Variants that are added or retired while an experiment runs. Whoever is assigned stays: only new users are drawn otherwise.

A variant without weight in the open epoch is retired: nobody new gets it, and a bandit leaves it out. Giving it weight by hand
brings it back.
"""

import math
from collections.abc import Mapping
from typing import Any

from sqlmodel import Session

from experiments import audit, repository
from experiments.clock import Clock
from experiments.design import read_design
from experiments.errors import Conflict, Invalid, NotFound, Problem
from experiments.models import Epoch, Experiment
from experiments.service import check_reason, design_of, live, open_epoch


def active_arms(weights: Mapping[str, float]) -> tuple[str, ...]:
    """The variants that get new users under these weights."""
    return tuple(variant for variant, weight in weights.items() if weight > 0)


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
    """Add a variant to a running or paused experiment; returns it and the epoch in which the variant gets users.

    variant: as in a campaign, but not the control, and without `weight`: `share` is its share of new users, an even one when
    None; the others keep their proportions. Raises NotFound; Conflict for an experiment that is a draft or stopped; Invalid
    with paths below `variant` for what a draft would be refused for, or for `share` or `reason`.
    """
    experiment = live(session, key, "given another variant", instead="redesign the draft")
    check_reason(reason)
    before = experiment.definition
    old = repository.current_epoch(session, _id(experiment))
    share = 1 / (len(active_arms(old.weights)) + 1) if share is None else share
    if not 0 < share < 1:
        raise Invalid(f"is a share above 0 and below 1, not {share:g}", field="share")
    _check_new(variant)
    experiment.definition = _with_variant(experiment, variant, share=share)
    experiment.updated_at = clock.now()
    added = str(variant["key"])
    session.flush()
    epoch = open_epoch(
        session,
        clock,
        actor=actor,
        action="experiment.weights",
        experiment=experiment,
        shares={**{arm: weight * (1 - share) for arm, weight in old.weights.items()}, added: share},
        reason=reason,
    )
    audit.record(
        session,
        clock,
        actor=actor,
        action="experiment.add_variant",
        subject_kind="experiment",
        subject_key=key,
        before={"status": experiment.status, "definition": before},
        after={
            "status": experiment.status,
            "definition": experiment.definition,
            "variant": added,
            "epoch": epoch.number,
            "reason": reason,
        },
    )
    return experiment, epoch


def retire_variant(
    session: Session, clock: Clock, *, actor: str, key: str, variant: str, reason: str, silence: bool
) -> tuple[Experiment, Epoch]:
    """Give a variant nobody new; the others keep their proportions. Returns the experiment and the new epoch.

    silence: those who have the variant are sent nothing any more, either; what is planned for them is for the floor above to
    cancel (`delivery.planning.planner.retire`). Raises NotFound for the experiment or the
    variant; Conflict for an experiment that is a draft or stopped, for a variant that is retired, for the control (what
    the others are compared with) and for the last variant that gets anybody; Invalid for `reason`.
    """
    experiment = live(session, key, "rid of a variant", instead="redesign the draft")
    check_reason(reason)
    design = design_of(experiment)
    if variant not in {each.key for each in design.variants}:
        known = ", ".join(each.key for each in design.variants)
        raise NotFound(f"there is no variant {variant!r}; there are {known}", field="variant")
    weights = repository.current_epoch(session, _id(experiment)).weights
    if not weights.get(variant):
        raise Conflict(f"{variant!r} gets nobody new already", field="variant")
    if variant == design.control.key:
        raise Conflict(
            f"{variant!r} is the control, which the others are compared with; stop the experiment instead",
            field="variant",
        )
    left = {arm: 0.0 if arm == variant else weight for arm, weight in weights.items()}
    total = math.fsum(left.values())
    if not total > 0:
        raise Conflict(
            f"{variant!r} is the last variant that gets anybody; stop the experiment instead", field="variant"
        )
    if silence:
        experiment.silenced = [*(experiment.silenced or ()), variant]
    epoch = open_epoch(
        session,
        clock,
        actor=actor,
        action="experiment.retire_variant",
        experiment=experiment,
        shares={arm: weight / total for arm, weight in left.items()},
        reason=reason,
        told={"variant": variant, "silenced": silence},
    )
    return experiment, epoch


def _check_new(variant: Mapping[str, Any]) -> None:
    problems = [
        Problem(f"variant.{name}", words)
        for name, words in (
            ("weight", "belongs to a draft; how much of the traffic it gets says `share`"),
            ("control", "cannot change while the experiment runs"),
            ("levels", "belongs to variants that factors make; a variant that is added is one of its own"),
        )
        if variant.get(name)
    ]
    if problems:
        raise Invalid.of(problems)


def _with_variant(experiment: Experiment, variant: Mapping[str, Any], *, share: float) -> dict[str, Any]:
    """The definition with one variant more, checked as a draft is. Its weights say how it began, so one that is written as a
    ratio stays one; shares make room for the new one, for they have to sum to 1.
    """
    design = design_of(experiment)
    old, weight = experiment.definition["variants"], 1.0
    if not all(float(each.weight).is_integer() for each in design.variants):
        if design.factors:
            raise Conflict(
                "the weights are shares that factors make, so there is no room for another variant",
                field="variant",
            )
        old, weight = [{**each, "weight": each["weight"] * (1 - share)} for each in old], share
    document = {**experiment.definition, "variants": [*old, {**variant, "weight": weight}]}
    try:
        # Its metrics are whole in themselves, whatever the library says by now.
        return read_design(document, library={}).model_dump(mode="json")
    except Invalid as error:
        raise Invalid.of([_as_sent(problem, place=len(old)) for problem in error.problems]) from error


def _as_sent(problem: Problem, *, place: int) -> Problem:
    """A problem of the whole design as one of the variant that was sent."""
    name = f"variants[{place}]"
    field = f"variant{problem.field.removeprefix(name)}" if problem.field.startswith(name) else problem.field
    return Problem(field, problem.message)


def _id(experiment: Experiment) -> int:
    assert experiment.id is not None  # noqa: S101  # a stored row has an id
    return experiment.id
