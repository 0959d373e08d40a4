"""What guards an experiment while it runs: which harm of a variant, and how much of it is tolerated, stops the variant by itself.

Every experiment with messages is guarded by the built-in metrics of `metrics.GUARDED`, whether it names them or not, and by every
guardrail of its own that is a share of users and better when small. A guardrail's `margin` replaces the default one;
`plan.rules.stop_for_harm` switches guards off. Guardrails of other kinds are judged by the report alone.
"""

from dataclasses import dataclass
from typing import Final

from experiments.design import ExperimentDesign
from experiments.metrics import BUILT_IN, GUARDED, MetricDefinition
from experiments.vocabulary import Direction, MessageStage, MetricKind, MetricRole

MARGINS: Final = {"opted_out": 0.001, "blocked": 0.001, "failed": 0.01}
"""More than the control has, as a share of the users met, that is tolerated where the control has messages as well."""
MARGINS_OVER_SILENCE: Final = {"opted_out": 0.02, "blocked": 0.1, "failed": 0.3}
"""The same where the control is silent: then some opt-outs are what messages cost, and failures are also those of the list."""
_STAGES: Final = (None, MessageStage.BLOCKED, MessageStage.FAILED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Guard:
    """One harm: `metric` says which users count as harmed, `margin` how much larger their share may be than the control's."""

    key: str
    metric: MetricDefinition
    margin: float


def guards_of(design: ExperimentDesign) -> tuple[Guard, ...]:
    """The guards that act, in the order in which their harm is told: the design's own, then those of every experiment."""
    margins = MARGINS if design.control.message is not None else MARGINS_OVER_SILENCE
    definitions = design.metric_definitions()
    own = {
        use.key: Guard(key=use.key, metric=definitions[use.key], margin=use.margin or 0.0)
        for use in design.metrics
        if use.role == MetricRole.GUARDRAIL and _can_act(definitions[use.key])
    }
    named = {use.key for use in design.metrics if use.role == MetricRole.GUARDRAIL}
    for key in GUARDED:
        if key not in named:
            own[key] = Guard(key=key, metric=BUILT_IN[key], margin=margins[key])
    return tuple(guard for guard in own.values() if design.plan.rules.stops_for(guard.key))


def guarded_arms(design: ExperimentDesign) -> tuple[str, ...]:
    """The variants that may be stopped: those with messages, but for the control, which the others are compared with."""
    return tuple(
        variant.key for variant in design.variants if variant.message is not None and not variant.control
    )


def _can_act(metric: MetricDefinition) -> bool:
    return (
        metric.kind == MetricKind.PROPORTION
        and metric.direction == Direction.DECREASE
        and metric.message in _STAGES
    )
