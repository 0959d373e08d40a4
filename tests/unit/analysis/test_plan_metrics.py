"""One metric of a plan: what the past cannot say is said in words."""

import pytest

from analysis.planning.plan_metrics import base_from
from analysis.stats.aggregates import Aggregate
from analysis.stats.errors import InsufficientData
from experiments.metrics import MetricDefinition
from experiments.vocabulary import MetricKind


def test_who_was_counted_is_said_where_nobody_did_it() -> None:
    nobody = Aggregate.from_counts(603, 0)
    with pytest.raises(InsufficientData) as cannot:
        base_from(nobody, MetricDefinition(kind=MetricKind.PROPORTION, event="Order"))
    assert cannot.value.reason.startswith(
        "none of the 603 users of this audience who could take part (before coverage and holdouts) did 'Order'"
    )
