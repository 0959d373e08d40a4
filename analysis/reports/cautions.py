"""What a reader must know before believing the numbers, found in the design and in how users were drawn. Pure."""

from collections.abc import Mapping, Sequence
from typing import Final

from analysis.facts.facts import ExperimentFacts
from analysis.findings import HealthCheck
from analysis.verdicts.by_epoch import HOW_COMPARED, POOLED_REFUSED
from experiments.clock import format_duration, format_moment
from experiments.design import USER_ID, ExperimentDesign
from experiments.models import Epoch, Experiment

WEIGHTS_CHANGED: Final = "weights_changed"
_MOST_TOLD: Final = 6
"""Epochs whose weights are all told; of more, the first two and the last two."""


def have_weights_changed(found: ExperimentFacts, epochs: Sequence[Epoch]) -> bool:
    """Whether users were drawn with different weights, or with weights that nobody knows any more.

    Epochs in which nobody was drawn do no harm.
    """
    drawn = _drawn(found)
    used = [epoch for epoch in epochs if epoch.number in drawn]
    return len(used) < len(drawn) or any(epoch.weights != used[0].weights for epoch in used)


def changed_weights(
    design: ExperimentDesign, found: ExperimentFacts, epochs: Sequence[Epoch]
) -> tuple[HealthCheck, ...]:
    """What it means for the numbers that weights have changed; nothing when all users were drawn alike.

    Arms that are pooled over such epochs hold users of different times in different shares, so that a change of the times
    passes for an effect of the variant (Simpson's paradox). So they are compared by epoch (`verdicts/by_epoch.py`). Only where the
    weights of an epoch are not known there is nothing to compare by, which is an alarm.
    """
    if not have_weights_changed(found, epochs):
        return ()
    drawn = _drawn(found)
    used = [epoch for epoch in epochs if epoch.number in drawn]
    unknown = sorted(drawn - {epoch.number for epoch in used})
    shown = used if len(used) <= _MOST_TOLD else [*used[:2], *used[-2:]]
    told = [f"epoch {epoch.number}: {_weights(design, epoch.weights)}" for epoch in shown]
    if len(shown) < len(used):
        told.insert(2, f"{len(used) - len(shown)} more")
    if unknown:
        told.append(f"epoch {unknown[0]}: not known")
        end = "and the chances of some are not known, so nothing can be compared"
    else:
        end = f"so {HOW_COMPARED}; {POOLED_REFUSED}"
    return (
        HealthCheck(
            check=WEIGHTS_CHANGED,
            stage="assigned",
            p_value=None,
            ok=not unknown,
            detail=f"users were drawn with different weights over time ({'; '.join(told)}), {end}",
            blocking=bool(unknown),
        ),
    )


def _drawn(found: ExperimentFacts) -> set[int]:
    return {number for arm in found.arms.values() for number, users in arm.assigned.items() if users}


def shipped(experiment: Experiment) -> tuple[str, ...]:
    """A warning when a variant was shipped: whoever came later was given it and not drawn, and is in no number."""
    if experiment.shipped is None or experiment.shipped_at is None:
        return ()
    said = (
        f"{experiment.shipped} was shipped at {format_moment(experiment.shipped_at)}: all numbers are of the users who were drawn before; "
        "those who were given it since are in none of them"
    )
    return (said,)


def shared_units(design: ExperimentDesign) -> tuple[str, ...]:
    """A warning when users are drawn in groups, which the standard errors know nothing of."""
    audience = design.audience
    if audience.hash_attribute == USER_ID:
        return ()
    fallback = f" (else by {audience.fallback_attribute})" if audience.fallback_attribute else ""
    warning = (
        f"users are drawn by {audience.hash_attribute}{fallback}, and those who share one share a variant, while standard "
        "errors take users as independent: intervals are too narrow and p-values too small where many share"
    )
    return (warning,)


def open_windows(
    design: ExperimentDesign, *, primary: str, mature: Mapping[str, int], assigned: int
) -> tuple[str, ...]:
    """For each metric, how many users are left out; those of the primary metric are told by the report itself."""
    return tuple(
        f"{key}: {assigned - mature[key]} of {assigned} users are left out, "
        f"because its window of {format_duration(metric.window)} is still open for them"
        for key, metric in design.metric_definitions().items()
        if mature[key] < assigned and mature[key] != mature[primary]
    )


def _weights(design: ExperimentDesign, weights: Mapping[str, float]) -> str:
    return ", ".join(f"{variant.key} {weights.get(variant.key, 0.0):.3g}" for variant in design.variants)
