"""Properties of the statistics that hold for any data."""

import json
import math
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from analysis.inputs import AnalysisPlan, ArmFacts, Messages, MetricSpec, Reached
from analysis.reports.report_text import render
from analysis.stats.aggregates import Aggregate
from analysis.stats.bayes import beta_binomial
from analysis.stats.difference import absolute, difference, p_value, relative
from analysis.stats.errors import InsufficientData
from analysis.stats.proportions import exact_p_value, newcombe_interval
from analysis.stats.quantiles import Quantile
from analysis.verdicts.report import build_report
from experiments.vocabulary import Direction, Method, MetricKind, MetricRole

numbers = st.floats(-1e6, 1e6, allow_nan=False).map(lambda v: round(v, 3))
rows = st.lists(st.tuples(numbers, numbers, numbers), min_size=0, max_size=30)


def of_rows(data) -> Aggregate:
    """Centred sums of (y, d, x) rows; the shift is the first row, as a database would pass a rough mean."""
    if not data:
        return Aggregate.from_sums(0, 0, 0, d=0, dd=0, yd=0, x=0, xx=0, xy=0, dx=0)
    shift = np.array(data[0])
    y, d, x = (np.array(data) - shift).T
    return Aggregate.from_sums(
        len(data), y.sum(), y @ y, d=d.sum(), dd=d @ d, yd=y @ d, x=x.sum(), xx=x @ x, xy=x @ y, dx=d @ x,
        shift_y=shift[0], shift_d=shift[1], shift_x=shift[2],
    )  # fmt: skip


def same(a: Aggregate, b: Aggregate) -> None:
    assert a.n == b.n
    spread = {
        letter: max(getattr(b, f"variance{suffix}"), 1e-12)
        for letter, suffix in (("y", ""), ("d", "_d"), ("x", "_x"))
    }
    for name, letters in (
        ("mean", "yy"), ("mean_d", "dd"), ("mean_x", "xx"), ("variance", "yy"), ("variance_d", "dd"),
        ("variance_x", "xx"), ("covariance_yd", "yd"), ("covariance_xy", "xy"), ("covariance_dx", "dx"),
    ):  # fmt: skip
        scale = math.sqrt(spread[letters[0]] * spread[letters[1]])
        assert getattr(a, name) == pytest.approx(getattr(b, name), rel=1e-9, abs=1e-9 * max(scale, 1.0)), name


@given(rows, rows)
def test_merging_is_concatenation(left, right):
    same(of_rows(left).merge(of_rows(right)), of_rows(left + right))


@given(rows, rows, rows)
def test_merging_may_be_done_in_any_order(a, b, c):
    one, two, three = of_rows(a), of_rows(b), of_rows(c)
    same(one.merge(two).merge(three), three.merge(one.merge(two)))


arms = st.builds(
    lambda n, mean, sd: Aggregate(n=n, mean=mean, variance=sd * sd),
    st.integers(2, 10**6), st.floats(-1e4, 1e4), st.floats(1e-3, 1e4),
)  # fmt: skip


@given(arms, arms)
def test_swapping_the_arms_turns_the_sign(a, b):
    there, back = difference(a, b), difference(b, a)
    assert there.estimate == -back.estimate
    assert p_value(there) == pytest.approx(p_value(back), rel=1e-12)
    forth, reverse = absolute(there, 0.05), absolute(back, 0.05)
    scale = forth.upper - forth.lower
    assert forth.lower == pytest.approx(-reverse.upper, rel=1e-9, abs=1e-9 * scale)
    assert forth.upper == pytest.approx(-reverse.lower, rel=1e-9, abs=1e-9 * scale)


@given(arms, arms, st.floats(1e-3, 1e3))
def test_another_currency_changes_only_the_units(a, b, rate):
    def paid(arm):
        return Aggregate(n=arm.n, mean=arm.mean * rate, variance=arm.variance * rate**2)

    before, after = difference(a, b), difference(paid(a), paid(b))
    scale = max(abs(a.mean), abs(b.mean)) * rate
    assert after.estimate == pytest.approx(before.estimate * rate, rel=1e-9, abs=1e-12 * scale)
    assert after.standard_error == pytest.approx(before.standard_error * rate, rel=1e-9)
    assume(abs(before.estimate) > 1e-6 * max(abs(a.mean), abs(b.mean)))
    assume(abs(before.estimate) < 30 * before.standard_error)
    assert p_value(after) == pytest.approx(p_value(before), rel=1e-6)
    try:
        lift = relative(before, 0.05)
    except InsufficientData:
        return
    assert relative(after, 0.05).upper == pytest.approx(lift.upper, rel=1e-6, abs=1e-6)


small = st.integers(1, 60).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n)))


@settings(max_examples=40)
@given(small, small)
def test_small_tables_are_symmetric(a, b):
    one, other = Aggregate.from_counts(*a), Aggregate.from_counts(*b)
    there, back = newcombe_interval(one, other, 0.05), newcombe_interval(other, one, 0.05)
    assert there.lower == pytest.approx(-back.upper, abs=1e-12)
    assert -1 - 1e-12 <= there.lower <= there.estimate <= there.upper <= 1 + 1e-12
    view, reverse = beta_binomial(a[1], a[0], b[1], b[0]), beta_binomial(b[1], b[0], a[1], a[0])
    assert view.probability_better == pytest.approx(1 - reverse.probability_better, abs=1e-9)
    assert view.lower == pytest.approx(-reverse.upper, abs=1e-7)
    try:
        assert exact_p_value(one, other) == pytest.approx(exact_p_value(other, one), rel=1e-6)
    except InsufficientData:
        assert a[1] + b[1] in (0, a[0] + b[0])


wild = st.one_of(
    st.floats(allow_nan=True, allow_infinity=True),
    st.sampled_from([0.0, -0.0, 1.0, 0.5, 1e-320, 1e308, -1e308, math.nan, math.inf]),
    st.floats(0, 1),
)
maybe = st.none() | wild
sizes = st.one_of(st.integers(0, 5), st.integers(0, 10**7))
wild_aggregates = st.builds(
    Aggregate, n=sizes, mean=wild, variance=wild, mean_d=maybe, variance_d=maybe, covariance_yd=maybe, mean_x=maybe,
    variance_x=maybe, covariance_xy=maybe, covariance_dx=maybe, maximum=maybe,
)  # fmt: skip
plausible = st.one_of(
    small.map(lambda pair: Aggregate.from_counts(*pair)),
    st.builds(
        lambda n, m, v: Aggregate(n=n, mean=m, variance=v), sizes, st.floats(-1e9, 1e9), st.floats(0, 1e12)
    ),
)
wild_quantiles = st.builds(
    Quantile, n=sizes, units=sizes, level=st.floats(0.01, 0.99), value=wild, lower=wild, upper=wild, z=wild
)
counts = st.integers(0, 10**6)
wild_arms = st.builds(
    ArmFacts,
    variant=st.just("?"),
    control=st.just(False),
    weight=st.one_of(st.floats(0, 10), st.sampled_from([0.0, math.nan, math.inf])),
    assigned=sizes,
    mature=sizes,
    sends=st.booleans(),
    messages=st.none() | st.builds(Messages, accepted=counts, delivered=counts, read=counts, clicked=counts),
    reached=st.none() | st.builds(Reached, accepted=counts, delivered=counts, read=counts, clicked=counts),
    aggregates=st.dictionaries(
        st.sampled_from(["m0", "m1", "m2"]), st.one_of(plausible, wild_aggregates, wild_quantiles)
    ),
)
wild_metrics = st.builds(
    MetricSpec,
    key=st.just("?"),
    kind=st.sampled_from(MetricKind),
    role=st.sampled_from(MetricRole),
    direction=st.sampled_from(Direction),
    margin=st.none() | st.floats(0, 1),
)
wild_plans = st.builds(
    AnalysisPlan,
    method=st.sampled_from(Method),
    alpha=st.sampled_from([0.05, 0.001, 0.3]),
    planned_n=st.none() | st.integers(1, 10**7),
    information=st.none() | st.floats(0, 3),
    looks=st.lists(st.sampled_from([0.0, 0.1, 0.4, 0.401, 1.0, 1.7]), max_size=3).map(tuple),
    ended=st.booleans(),
    spending=st.sampled_from(["obrien_fleming", "pocock"]),
    minimum_effect=st.none() | st.floats(0.001, 1),
)


def check_finite(value) -> None:
    if isinstance(value, dict):
        for each in value.values():
            check_finite(each)
    elif isinstance(value, list):
        for each in value:
            check_finite(each)
    elif isinstance(value, float):
        assert math.isfinite(value)


@settings(max_examples=300)
@given(st.lists(wild_arms, min_size=1, max_size=4), st.lists(wild_metrics, max_size=3), wild_plans)
def test_a_report_is_always_plain_json(facts, metrics, plan):
    named = [
        ArmFacts(
            **{f: getattr(arm, f) for f in arm.__dataclass_fields__} | {"variant": f"v{i}", "control": i == 0}
        )
        for i, arm in enumerate(facts)
    ]
    specs = [
        MetricSpec(**{f: getattr(spec, f) for f in spec.__dataclass_fields__} | {"key": f"m{i}"})
        for i, spec in enumerate(metrics)
    ]
    made = build_report(
        experiment="any", as_of=datetime(2026, 12, 1, tzinfo=UTC), plan=plan, metrics=specs, arms=named
    )
    said = made.to_json()
    check_finite(said)
    json.dumps(said, allow_nan=False)
    render(said)
    for finding in said["metrics"]:
        for effect in finding["effects"]:
            if effect["p_value"] is None:
                assert effect["significant"] is None
                assert any(
                    effect["variant"] in warning and finding["metric"] in warning
                    for warning in said["warnings"]
                )
            if effect["absolute"] is not None:
                assert (
                    effect["absolute"]["lower"]
                    <= effect["absolute"]["estimate"]
                    <= effect["absolute"]["upper"]
                )
            adjusted = effect["interval_adjusted"]
            if adjusted is not None and effect["test"] != "exact":
                assert (adjusted["lower"] > 0 or adjusted["upper"] < 0) == effect["significant"]
