"""Shipping: one variant for everybody who is still to come. Nobody is drawn any more, so there is nothing left to compare.

A shipped experiment stays running (or paused) until it is stopped; `shipped` is the variant and `shipped_at` since when. Whoever
was assigned before stays as they are.
"""

from collections.abc import Mapping
from typing import Any

from sqlmodel import Session

from experiments import audit
from experiments.clock import Clock, format_moment
from experiments.errors import Conflict, NotFound
from experiments.models import Experiment
from experiments.repository import get_experiment
from experiments.service import check_reason, design_of, live, open_epoch
from experiments.stopped_arms import stopped_arms
from experiments.triggers import OnceTrigger, RecurringTrigger
from experiments.vocabulary import ExperimentStatus


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
    """Give `variant` to everybody who comes from now on; returns the experiment, and False when it was shipped before.

    The whole audience is covered and released, the epoch that opens has this variant alone, and the planned end, which was that of
    measuring, closes nothing any more. numbers: what the audit log keeps
    beside the reason. Raises NotFound for the experiment or the variant, Conflict for a draft, for an experiment that
    was stopped, for one of which another variant was shipped and for a variant that a guardrail has stopped, Invalid for `reason`.
    """
    experiment = get_experiment(session, key, for_update=True)
    design = design_of(experiment)
    known = [each.key for each in design.variants]
    if variant not in known:
        raise NotFound(f"there is no variant {variant!r}; there are {', '.join(known)}", field="variant")
    if experiment.shipped == variant:
        return experiment, False
    if experiment.shipped is None:
        live(session, key, "shipped", instead="start it first")
    else:
        _refuse_another(experiment)
    check_reason(reason)
    session.refresh(experiment)
    if variant in stopped_arms(experiment):
        raise Conflict(
            f"{variant!r} was stopped by a guardrail; release it before it is shipped", field="variant"
        )
    # Whoever gets new users again is no longer silent.
    experiment.silenced = [each for each in experiment.silenced or () if each != variant] or None
    now, definition = clock.now(), experiment.definition
    before = {
        "status": experiment.status,
        "coverage": design.audience.coverage,
        "ends_after": definition["plan"]["ends_after"],
        "released": experiment.released,
    }
    open_epoch(
        session,
        clock,
        actor=actor,
        action="experiment.weights",
        experiment=experiment,
        shares={each: float(each == variant) for each in known},
        reason=reason,
    )
    experiment.definition = {
        **definition,
        "audience": {**definition["audience"], "coverage": 1.0},
        "plan": {**definition["plan"], "ends_after": None},
    }
    experiment.released = None if experiment.released is None else 1.0
    experiment.shipped, experiment.shipped_at, experiment.updated_at = variant, now, now
    session.flush()
    audit.record(
        session,
        clock,
        actor=actor,
        action="experiment.ship",
        subject_kind="experiment",
        subject_key=key,
        before=before,
        after={"variant": variant, "shipped_at": format_moment(now), "reason": reason, **(numbers or {})},
    )
    return experiment, True


def what_follows(experiment: Experiment) -> tuple[str, ...]:
    """Who gets what from now on, in a sentence, of an experiment that has shipped; nothing of any other, nor of one stopped since."""
    if experiment.shipped is None:
        return ()
    design, shipped = design_of(experiment), experiment.shipped
    if design.variant(shipped).message is None:
        return (f"{shipped} has no message, so the messaging has ended: what waited to be sent is cancelled",)
    if experiment.status == ExperimentStatus.STOPPED:
        return ()
    before = "whoever was assigned before keeps their variant"
    if isinstance(design.trigger, OnceTrigger):
        said = f"the rest of the audience gets {shipped}; {before} and is not messaged a second time"
    elif isinstance(design.trigger, RecurringTrigger):
        said = (
            f"whoever joins from now on gets {shipped}; {before}, and goes on getting its messages at every occasion until the experiment "
            f"is stopped. For {shipped} to everybody, stop it and start a campaign of {shipped} alone"
        )
    else:
        said = f"whoever comes from now on gets {shipped}; {before}, and what is planned for them goes out"
    return (said,)


def _refuse_another(experiment: Experiment) -> None:
    raise Conflict(
        f"experiment {experiment.key!r} has shipped {experiment.shipped!r}, and messages of it may have gone out",
        field="variant",
    )
