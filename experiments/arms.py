"""Variants that are added or retired while an experiment runs. Whoever is assigned stays: only new users are drawn otherwise.

A variant without weight in the open epoch is retired: nobody new gets it, and a bandit leaves it out. Giving it weight by hand
brings it back.
"""

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from sqlmodel import Session

from experiments import audit, repository
from experiments.clock import Clock
from experiments.design import ExperimentDesign, read_design
from experiments.errors import Conflict, Invalid, NotFound, Problem
from experiments.models import Epoch, Experiment
from experiments.service import check_reason, design_of, live, open_epoch

LEAST_SHARE: Final = 0.001
"""Of a variant that is added under fixed weights; under a bandit it is the floor."""
_OF_A_WINDOW: Final = re.compile(r"metrics\[\d+\]\.window")


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
    None, and at least the floor of a bandit; the others keep their proportions. Raises NotFound; Conflict for an experiment that is a draft or stopped; Invalid
    with paths below `variant` for what a draft would be refused for, or for `share` or `reason`.
    """
    experiment = live(session, key, "given another variant", instead="redesign the draft")
    check_reason(reason)
    before = experiment.definition
    old = repository.current_epoch(session, _id(experiment))
    if share is None:
        share = 1 / (len(active_arms(old.weights)) + 1)
    else:
        _check_share(design_of(experiment), share)
    _check_new(variant)
    idle = [arm for arm in old.weights if not old.weights[arm]]
    experiment.definition = _with_variant(experiment, variant, share=share, without_users=idle)
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


def _check_share(design: ExperimentDesign, share: float) -> None:
    if not 0 < share < 1:
        raise Invalid(f"is a share above 0 and below 1, not {share:g}", field="share")
    bandit = design.bandit
    least = LEAST_SHARE if bandit is None else bandit.floor
    # A variant that hardly anybody gets is never known, nor is it whether its users were drawn as they should be.
    if share < least:
        whose = "" if bandit is None else ", the floor that every active variant keeps"
        raise Invalid(f"is at least {least:g}{whose}, not {share:g}", field="share")


def _with_variant(
    experiment: Experiment, variant: Mapping[str, Any], *, share: float, without_users: Sequence[str]
) -> dict[str, Any]:
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
        return read_design(document, library={}, without_users=without_users).model_dump(mode="json")
    except Invalid as error:
        raise Invalid.of(
            [_as_sent(problem, variant, place=len(old)) for problem in error.problems]
        ) from error


def _as_sent(problem: Problem, variant: Mapping[str, Any], *, place: int) -> Problem:
    """A problem of the whole design as one of the variant that was sent."""
    name = f"variants[{place}]"
    if problem.field.startswith(name):
        return Problem(f"variant{problem.field.removeprefix(name)}", problem.message)
    if _OF_A_WINDOW.fullmatch(problem.field):
        # The metrics stay as they are while it runs, so it is the new variant that sends too late for them.
        late = "frequency" if variant.get("frequency") else "send_time"
        return Problem(
            f"variant.{late}",
            f"its last message comes too late for `{problem.field}`, which {problem.message.partition(';')[0]}; send sooner",
        )
    return problem


def _id(experiment: Experiment) -> int:
    assert experiment.id is not None  # noqa: S101  # a stored row has an id
    return experiment.id
