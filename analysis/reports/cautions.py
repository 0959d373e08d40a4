"""What a reader must know before believing the numbers, found in the design and in how users were drawn. Pure."""

from collections.abc import Mapping, Sequence
from typing import Final

from analysis.facts.facts import ExperimentFacts
from analysis.findings import HealthCheck
from experiments.clock import format_duration
from experiments.design import USER_ID, ExperimentDesign
from experiments.models import Epoch

WEIGHTS_CHANGED: Final = "weights_changed"


def changed_weights(
    design: ExperimentDesign, found: ExperimentFacts, epochs: Sequence[Epoch]
) -> tuple[HealthCheck, ...]:
    """An alarm when users were drawn with different weights; nothing when all were drawn alike.

    Arms that are pooled over such epochs hold users of different times in different shares, so that a change of the times
    passes for an effect of the variant (Simpson's paradox). Epochs in which nobody was drawn do no harm.
    """
    drawn = {number for arm in found.arms.values() for number, users in arm.assigned.items() if users}
    used = [epoch for epoch in epochs if epoch.number in drawn]
    if all(epoch.weights == used[0].weights for epoch in used):
        return ()
    told = "; ".join(f"epoch {epoch.number}: {_weights(design, epoch.weights)}" for epoch in used)
    return (
        HealthCheck(
            check=WEIGHTS_CHANGED,
            stage="assigned",
            p_value=None,
            ok=False,
            detail=f"users were drawn with different weights over time ({told}), and the arms are compared as one pool, in which "
            "a change of the times passes for an effect",
            blocking=True,
        ),
    )


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
