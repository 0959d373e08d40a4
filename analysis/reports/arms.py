"""The arms of a report: their share of the traffic, their statistics, and those by epoch where weights have changed. Pure."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from analysis.facts import facts as fact_queries
from analysis.facts.epoch_facts import EpochSums
from analysis.facts.facts import ExperimentFacts
from analysis.facts.unit_facts import Units
from analysis.inputs import ArmFacts, EpochFacts, Messages, Reached
from analysis.stats.aggregates import Aggregate
from experiments.design import ExperimentDesign
from experiments.models import Epoch
from experiments.vocabulary import MetricRole


def primary_metric(design: ExperimentDesign) -> str:
    """The metric whose window says who is mature: the first primary one; every design has one."""
    return next(use.key for use in design.metrics if use.role == MetricRole.PRIMARY)


def arms_of(
    design: ExperimentDesign,
    found: ExperimentFacts,
    *,
    epochs: Sequence[Epoch],
    compliance: Mapping[str, Mapping[str, Aggregate]] = MappingProxyType({}),
    by_epoch: EpochSums = MappingProxyType({}),
    units: Units | None = None,
) -> tuple[ArmFacts, ...]:
    """The arms in the order of the design, then any variant that has users but is not in the design (weight 0).

    units: where users are drawn together.
    """
    weights = {epoch.number: epoch.weights for epoch in epochs}
    users = {variant: arm.assigned for variant, arm in found.arms.items()}
    shares = traffic_shares(design, users if units is None else units, weights)
    primary = found.metrics[primary_metric(design)]
    known = {variant.key: variant for variant in design.variants}
    definitions = design.metric_definitions()
    arms = []
    for key in [*known, *sorted(found.arms.keys() - known.keys())]:
        counts = found.arms.get(key)
        arms.append(
            ArmFacts(
                variant=key,
                control=key in known and known[key].control,
                weight=shares.get(key, 0.0),
                assigned=sum(counts.assigned.values()) if counts else 0,
                mature=primary[key].n if key in primary else 0,
                sends=key in known and known[key].message is not None,
                messages=counts.messages if counts else Messages(),
                reached=counts.reached if counts else Reached(),
                aggregates={
                    metric: by_variant.get(key, fact_queries.nobody(definitions[metric]))
                    for metric, by_variant in found.metrics.items()
                },
                compliance={
                    metric: by_variant[key] for metric, by_variant in compliance.items() if key in by_variant
                },
                levels=known[key].levels if key in known else {},
                epochs={metric: _epochs_of_arm(key, sums, weights) for metric, sums in by_epoch.items()},
                units=None if units is None else sum(units.get(key, {}).values()),
            )
        )
    return tuple(arms)


def _epochs_of_arm(
    variant: str, sums: Mapping[int, Mapping[str, Aggregate]], weights: Mapping[int, Mapping[str, float]]
) -> tuple[EpochFacts, ...]:
    return tuple(
        EpochFacts(
            epoch=number,
            users=sum(value.n for value in by_variant.values()),
            propensity=weights[number].get(variant, 0.0) if number in weights else None,
            outcome=by_variant.get(variant, fact_queries.NOBODY),
        )
        for number, by_variant in sorted(sums.items())
    )


def traffic_shares(
    design: ExperimentDesign,
    drawn_by_variant: Mapping[str, Mapping[int, int]],
    weights: Mapping[int, Mapping[str, float]],
) -> Mapping[str, float]:
    """The share of the traffic that each variant was meant to get: the weights of the epochs, by how many were drawn in each.

    drawn_by_variant: variant -> epoch -> users (or units that were drawn).
    """
    drawn: dict[int, int] = {}
    for by_epoch in drawn_by_variant.values():
        for number, users in by_epoch.items():
            drawn[number] = drawn.get(number, 0) + users
    if not drawn or not drawn.keys() <= weights.keys():
        return design.shares
    total = sum(drawn.values())
    return {
        variant: sum(users * weights[number].get(variant, 0.0) for number, users in drawn.items()) / total
        for variant in {variant for number in drawn for variant in weights[number]}
    }
