"""Variants that a guardrail has stopped: nobody new gets them, nothing goes out to those who have them, until somebody lets them go on.

`Experiment.stopped_arms` maps a variant to why and when it was stopped, its share of traffic then, whether a retirement had silenced it already
(`was_silenced`), and the numbers. Once released it
keeps `released_at`: guards then look at those users only whom its messages meet from that moment on.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlmodel import Session

from experiments import audit, repository
from experiments.clock import Clock, format_moment, parse_moment
from experiments.errors import Conflict, NotFound
from experiments.models import Epoch, Experiment
from experiments.service import check_reason, design_of, live, open_epoch, stopped_by_guards

RETIRED: Final = "retired"
GUARDRAIL: Final = "guardrail"
"""The reasons of messages that are cancelled because their variant was retired, or stopped by a guardrail."""


@dataclass(frozen=True, slots=True)
class Stopped:
    """A variant that was just stopped. `epoch` is the open one; `is_last`: no variant is left that sends anything, or gets anybody."""

    experiment: Experiment
    epoch: Epoch
    is_last: bool


def stopped_arms(experiment: Experiment) -> dict[str, Mapping[str, Any]]:
    """Why each variant that is stopped now was stopped."""
    return stopped_by_guards(experiment)


def why_silenced(
    silenced: Sequence[str] | None, stopped: Mapping[str, Mapping[str, Any]] | None
) -> dict[str, str]:
    """The variants whose users are sent nothing more, each with the reason of messages that are cancelled for it.

    The arguments are the columns of the same names.

    >>> why_silenced(["a", "b"], {"b": {"guard": "opted_out"}})
    {'a': 'retired', 'b': 'guardrail'}
    """
    known = stopped or {}
    return {
        variant: GUARDRAIL if variant in known and known[variant].get("released_at") is None else RETIRED
        for variant in silenced or ()
    }


def released_arms(experiment: Experiment) -> dict[str, datetime]:
    """When variants that had been stopped were released."""
    known = experiment.stopped_arms or {}
    return {
        variant: parse_moment(told["released_at"])
        for variant, told in known.items()
        if told.get("released_at") is not None
    }


def stop_arm(
    session: Session,
    clock: Clock,
    *,
    actor: str,
    key: str,
    variant: str,
    guard: str,
    reason: str,
    numbers: Mapping[str, Any],
) -> Stopped | None:
    """Give a variant nobody new and its users nothing more; its share goes to the others, which keep their proportions.

    None when it is stopped already: whoever comes second changes nothing. What is planned is for the floors above to cancel, and
    the experiment to pause, when it was the last. Raises NotFound, and Conflict for an experiment that is a draft or stopped.
    """
    # Harm is stopped in whatever state: also of the variant that was shipped, whose epoch stays as it is.
    experiment = live(session, key, "rid of a variant", instead="nothing has been sent", though_shipped=True)
    session.refresh(experiment)
    if variant in stopped_arms(experiment):
        return None
    weights = repository.current_epoch(session, _id(experiment)).weights
    share = weights.get(variant, 0.0)
    left = {arm: 0.0 if arm == variant else weight for arm, weight in weights.items()}
    total = sum(left.values())
    told = {"guard": guard, "at": format_moment(clock.now()), "reason": reason, "share": share, **numbers}
    if variant in (experiment.silenced or ()):
        told["was_silenced"] = True
    experiment.stopped_arms = {**(experiment.stopped_arms or {}), variant: told}
    experiment.silenced = [*(arm for arm in experiment.silenced or () if arm != variant), variant]
    sending = [each.key for each in design_of(experiment).variants if each.message is not None]
    is_last = not total > 0 or not set(sending) - {*experiment.silenced}
    session.flush()
    audit.record(
        session,
        clock,
        actor=actor,
        action="experiment.stop_arm",
        subject_kind="experiment",
        subject_key=key,
        before={"weights": weights},
        after={"variant": variant, **told, "is_last": is_last},
    )
    epoch = open_epoch(
        session,
        clock,
        actor=actor,
        action="experiment.weights",
        experiment=experiment,
        shares={arm: weight / total for arm, weight in left.items()} if total > 0 else weights,
        reason=reason,
    )
    return Stopped(experiment, epoch, is_last)


def release_arm(
    session: Session,
    clock: Clock,
    *,
    actor: str,
    key: str,
    variant: str,
    reason: str,
) -> Epoch:
    """Let a stopped variant go on with the share it had; returns the open epoch. Guards judge it anew.

    A variant that a retirement had silenced before is silent again, and an experiment that was paused stays paused. What was cancelled
    is for the floor above to restore (`delivery.planning.planner.release`). Raises NotFound for the experiment or the
    variant; Conflict for an experiment that is a draft or stopped, and for a variant that no guardrail has stopped; Invalid for `reason`.
    """
    experiment = live(session, key, "changed", instead="nothing is stopped in it", though_shipped=True)
    check_reason(reason)
    session.refresh(experiment)
    design = design_of(experiment)
    if variant not in {each.key for each in design.variants}:
        known = ", ".join(each.key for each in design.variants)
        raise NotFound(f"there is no variant {variant!r}; there are {known}", field="variant")
    told = stopped_arms(experiment).get(variant)
    if told is None:
        raise Conflict(f"no guardrail has stopped {variant!r}", field="variant")
    released = {**told, "released_at": format_moment(clock.now())}
    experiment.stopped_arms = {**(experiment.stopped_arms or {}), variant: released}
    if not told.get("was_silenced"):
        experiment.silenced = [arm for arm in experiment.silenced or () if arm != variant] or None
    session.flush()
    audit.record(
        session,
        clock,
        actor=actor,
        action="experiment.release_arm",
        subject_kind="experiment",
        subject_key=key,
        before={"variant": variant, **told},
        after={"variant": variant, "reason": reason},
    )
    weights = repository.current_epoch(session, _id(experiment)).weights
    return open_epoch(
        session,
        clock,
        actor=actor,
        action="experiment.weights",
        experiment=experiment,
        shares=weights if experiment.shipped is not None else _with_share(weights, variant, told["share"]),
        reason=reason,
    )


def _with_share(weights: Mapping[str, float], variant: str, share: float) -> dict[str, float]:
    """The weights in which `variant` has this share and the others keep their proportions."""
    others = sum(weight for arm, weight in weights.items() if arm != variant)
    if not others > 0:
        return dict(weights)
    return {
        arm: share if arm == variant else weight * (1 - share) / others for arm, weight in weights.items()
    }


def _id(experiment: Experiment) -> int:
    assert experiment.id is not None  # noqa: S101  # a stored row has an id
    return experiment.id
