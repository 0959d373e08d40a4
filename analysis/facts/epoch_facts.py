"""The same sufficient statistics per epoch: a stretch of time in which everybody was drawn with the same chances.

Asked only where weights have changed, for then arms must not be compared as one pool (`verdicts/by_epoch.py`). Caps and the ratios that
covariates are measured against stay those of all users. Quantiles do not add up over epochs and are not told.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Select

from analysis.facts.engines import FactsEngine
from analysis.facts.fact_tables import ASSIGNMENTS
from analysis.facts.facts import summary_of, summed
from analysis.facts.metric_groups import MetricGroup, group_metrics
from analysis.facts.outcome_facts import Slicing, outcomes
from analysis.stats.aggregates import Aggregate
from experiments.metrics import MetricDefinition

EpochSums = Mapping[str, Mapping[int, Mapping[str, Aggregate]]]
"""Statistics by metric, number of the epoch and variant; absent: nobody mature."""


def gather_epochs(
    engine: FactsEngine, *, experiment_id: int, definitions: Mapping[str, MetricDefinition], as_of: datetime
) -> EpochSums:
    """The statistics of all metrics but quantiles by epoch of assignment: one query per group of metrics."""
    told = {key: metric for key, metric in definitions.items() if metric.level is None}
    found: dict[str, dict[int, dict[str, Aggregate]]] = {key: {} for key in told}
    for group in group_metrics(told):
        for row in engine.fetch(epoch_query(experiment_id, group, as_of=as_of)):
            for i, (key, metric) in enumerate(group.metrics):
                value = summary_of(row, i, metric, {})
                assert isinstance(value, Aggregate)  # noqa: S101  # quantiles are left out above
                found[key].setdefault(int(row["slice"]), {})[row["variant"]] = value
    return found


def epoch_query(experiment_id: int, group: MetricGroup, *, as_of: datetime) -> Select[Any]:
    """As `metric_query`, with one row per variant and epoch (`slice`)."""
    slicing = Slicing(people=ASSIGNMENTS, slice_of=ASSIGNMENTS.c.epoch)
    return summed(group, outcomes(experiment_id, group, as_of=as_of, slicing=slicing), {})
