"""Any report can be made again from what was kept with it, to the last byte, whatever its arms hold."""

import json

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.inputs import AnalysisPlan, ArmFacts, Messages, MetricSpec, Reached
from analysis.reports.canonical import canonical
from analysis.reports.evidence import Evidence, ReportInputs
from analysis.reports.replay import replay
from analysis.stats.aggregates import Aggregate
from experiments.vocabulary import Direction, Method, MetricKind, MetricRole
from tests.property.test_canonical_json import shuffled
from tests.unit.analysis.facts_of import AS_OF

METRICS = (
    MetricSpec(key="spend", kind=MetricKind.MEAN),
    MetricSpec(key="orders", kind=MetricKind.COUNT, role=MetricRole.SECONDARY),
    MetricSpec(
        key="refunds",
        kind=MetricKind.MEAN,
        role=MetricRole.GUARDRAIL,
        direction=Direction.DECREASE,
        margin=0.3,
    ),
)
AMOUNTS = st.floats(-1e6, 1e6) | st.sampled_from([0.0, -0.0, 1e16, 5e-324, float("nan"), float("inf")])
STATISTICS = st.builds(
    Aggregate,
    n=st.integers(0, 10**6),
    mean=AMOUNTS,
    variance=AMOUNTS.map(abs),
    maximum=st.none() | AMOUNTS,
)
COUNTS = st.integers(0, 10**6)
PLANS = st.builds(
    AnalysisPlan,
    method=st.sampled_from(Method),
    alpha=st.sampled_from([0.01, 0.05, 0.1]),
    planned_n=st.none() | st.integers(1, 10**6),
    looks=st.sampled_from([(), (0.25,), (0.1, 0.5)]),
    ended=st.booleans(),
    minimum_effect=st.none() | st.floats(0.01, 0.5),
)


@st.composite
def arms(draw):
    return tuple(
        ArmFacts(
            variant=variant,
            control=variant == "a",
            weight=draw(st.floats(0.0, 3.0)),
            assigned=draw(COUNTS),
            mature=draw(COUNTS),
            messages=draw(
                st.none() | st.builds(Messages, accepted=COUNTS, suppressed=st.just({"cap": 1, "age": 2}))
            ),
            reached=draw(st.none() | st.builds(Reached, accepted=COUNTS, delivered=COUNTS)),
            aggregates=draw(
                st.dictionaries(st.sampled_from([metric.key for metric in METRICS]), STATISTICS, max_size=3)
            ),
        )
        for variant in draw(st.sampled_from(["ab", "abc"]))
    )


@given(PLANS, arms(), st.integers(0, 2**32 - 1))
@settings(max_examples=20)
def test_any_report_is_made_again_from_a_file_in_any_order_of_keys(plan, some_arms, seed):
    inputs = ReportInputs(experiment="x", as_of=AS_OF, plan=plan, metrics=METRICS, arms=some_arms)
    made = Evidence.of(inputs, specification={"b": 1, "a": 2.0})
    document = shuffled(json.loads(json.dumps(made.exported(), allow_nan=False)), np.random.default_rng(seed))
    found = replay(document)
    assert found.same, found.lines()
    assert found.size == len(canonical(made.body))
