"""Rules, effects per user reached and effects by factor: whatever the data, plain JSON, a decision, and reasons."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from io import StringIO
from itertools import product

from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from analysis.inputs import FactorSpec
from analysis.reports.report_text import render
from analysis.stats.covariates import Moments, with_covariates
from analysis.stats.factorial import cells_of, interaction, main_effect
from analysis.verdicts.report import build_report
from experiments.vocabulary import DecisionAction, MetricRole
from tests.property.test_stats import (
    check_finite,
    plausible,
    wild,
    wild_aggregates,
    wild_arms,
    wild_metrics,
    wild_plans,
)

FACTORS = (FactorSpec(key="content", levels=("a", "b")), FactorSpec(key="hour", levels=("x", "y")))
CELLS = [dict(zip(("content", "hour"), cell, strict=True)) for cell in product("ab", "xy")]
KEYS = ("m0", "m1")
compliance = st.dictionaries(st.sampled_from(KEYS), st.one_of(plausible, wild_aggregates))
rules = st.fixed_dictionaries(
    {
        "minimum_weeks": st.integers(0, 3),
        "run_time": st.none() | st.floats(0, 40).map(lambda days: timedelta(days=days)),
        "stopped": st.booleans(),
        "power": st.sampled_from([0.1, 0.8, 0.999]),
        "stop_at_power": st.booleans(),
        "futility": st.none() | st.floats(0.001, 0.5),
        "quiet_guardrails": st.sampled_from([(), ("m0",), ("m1",)]),
    }
)


@settings(max_examples=40)
@given(
    st.lists(st.tuples(wild_arms, compliance), min_size=2, max_size=5),
    st.lists(wild_metrics, min_size=1, max_size=2),
    wild_plans,
    rules,
    st.booleans(),
)
def test_a_report_is_plain_json_with_a_decision_and_reasons(facts, metrics, plan, declared, crossed):
    arms = [
        replace(
            arm,
            variant=f"v{i}",
            control=i == 0,
            compliance=reached,
            levels=CELLS[i - 1] if crossed and i else {},
        )
        for i, (arm, reached) in enumerate(facts)
    ]
    specs = [replace(spec, key=KEYS[i]) for i, spec in enumerate(metrics)]
    made = build_report(
        experiment="any",
        as_of=datetime(2026, 12, 1, tzinfo=UTC),
        plan=replace(plan, **declared),
        metrics=specs,
        arms=arms,
        factors=FACTORS if crossed else (),
    )
    said = made.to_json()
    check_finite(said)
    json.dumps(said, allow_nan=False)
    Console(file=StringIO(), width=100).print(render(said))
    assert said["decision"]["action"] in set(DecisionAction)
    assert said["decision"]["because"]
    quiet = {spec.key for spec in specs if spec.role == MetricRole.GUARDRAIL} <= set(
        declared["quiet_guardrails"]
    )
    assert not (quiet and said["decision"]["rule"] == "guardrail")
    for finding in said["metrics"]:
        for effect in finding["effects"]:
            cace = effect["cace"]
            assert cace is None or cace["lower"] <= cace["estimate"] <= cace["upper"]
        unknown = [each for each in finding["factors"] if each["p_value"] is None]
        if unknown:
            assert any(finding["metric"] in each and "by factor" in each for each in said["warnings"])
        assert all(each["significant"] is None for each in unknown)
    if crossed and len(facts) < 5:
        assert any("there is no variant with" in warning for warning in said["warnings"])


level_lists = st.lists(st.integers(2, 4), min_size=1, max_size=3).map(
    lambda sizes: [[f"{i}.{j}" for j in range(size)] for i, size in enumerate(sizes)]
)


@settings(max_examples=40)
@given(level_lists, st.data())
def test_contrasts_see_their_own_term_only(levels, data):
    """Of cell means that are sums of one part a factor, a main effect finds its parts' difference, an interaction nothing."""
    parts = [{level: data.draw(st.integers(-9, 9)) for level in own} for own in levels]
    means = {
        cell: sum(part[level] for part, level in zip(parts, cell, strict=True)) for cell in cells_of(levels)
    }
    for i, own in enumerate(levels):
        for level in own[1:]:
            weights = main_effect(levels, i, level)
            found = sum(weight * means[cell] for cell, weight in weights.items())
            assert abs(found - (parts[i][level] - parts[i][own[0]])) < 1e-9
            assert abs(sum(weights.values())) < 1e-12
    if len(levels) > 1:
        weights = interaction(levels, (0, 1), (levels[0][-1], levels[1][-1]))
        assert abs(sum(weight * means[cell] for cell, weight in weights.items())) < 1e-9


moments = st.integers(1, 3).flatmap(
    lambda k: st.lists(
        st.builds(
            lambda n, mean, flat: Moments(
                n=n,
                mean=tuple(mean),
                covariance=tuple(tuple(flat[(k + 1) * i : (k + 1) * (i + 1)]) for i in range(k + 1)),
            ),
            st.integers(0, 1000),
            st.lists(wild, min_size=k + 1, max_size=k + 1),
            st.lists(wild, min_size=(k + 1) ** 2, max_size=(k + 1) ** 2),
        ),
        min_size=1,
        max_size=3,
    )
)


@settings(max_examples=40)
@given(moments)
def test_covariates_never_fail_and_never_add_variance(arms):
    for before, after in zip(arms, with_covariates(arms), strict=True):
        assert after.n == before.n
        if after.variance_x:
            assert 0 <= after.variance_x <= after.variance
