"""Looks are as alike as their variances: the clock, the bounds by it, and where a report takes it from."""

from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from analysis.findings import Report
from analysis.inputs import AnalysisPlan, ArmFacts, EpochFacts, MetricSpec
from analysis.reports.models import StoredReport
from analysis.reports.variances import variances_until
from analysis.stats.aggregates import Aggregate
from analysis.stats.quantiles import Quantile
from analysis.stats.sequential import spending_rule
from analysis.stats.spending import crossing_probability, spending_boundaries
from analysis.stats.variance_clock import VarianceClock, looks_that_count
from analysis.verdicts.clocks import clocks_of
from analysis.verdicts.report import build_report
from experiments.vocabulary import Direction, Method, MetricKind, MetricRole

BOUGHT = MetricSpec(key="bought", kind=MetricKind.PROPORTION)
RISING = ((0.2, 0.02), (0.4, 0.03))
"""At the earlier looks; at the present one, 0.6, it is about 0.06."""


def users(x_c: int, x_t: int, n: int = 3000, **more: Any) -> tuple[ArmFacts, ArmFacts]:
    made = [
        ArmFacts(
            variant=name, control=name == "a", weight=1, assigned=n, mature=n,
            aggregates={"bought": Aggregate.from_counts(n, x)}, **more,
        )
        for name, x in (("a", x_c), ("b", x_t))
    ]  # fmt: skip
    return made[0], made[1]


def planned(variances: Any = None, **more: Any) -> AnalysisPlan:
    return AnalysisPlan(
        **{"planned_n": 10_000, "looks": (0.2, 0.4), "information": 0.6, "variances": variances, **more}
    )


def reported(plan: AnalysisPlan, arms: tuple[ArmFacts, ...], spec: MetricSpec = BOUGHT) -> Report:
    return build_report(
        experiment="spring", as_of=datetime(2026, 12, 1, tzinfo=UTC), plan=plan, metrics=(spec,), arms=arms
    )


@pytest.mark.parametrize("kind", ["obrien_fleming", "pocock"])
@pytest.mark.parametrize(("first", "last"), [(0.05, 0.10), (0.10, 0.05), (0.002, 0.05)])
def test_looks_by_their_variances_spend_alpha_and_no_more(kind: str, first: float, last: float) -> None:
    """The bounds of a report that knows the past only, on the Brownian motion that the statistic is."""
    looks = [(k + 1) / 20 for k in range(20)]
    rates = np.linspace(first, last, 20)
    grown = np.cumsum(rates * (1 - rates))
    bounds = []
    for k, now in enumerate(looks):
        clock = VarianceClock(fractions=tuple(looks[: k + 1]), variances=tuple(grown[: k + 1].tolist()))
        bounds.append(spending_rule(looks[:k], now, 0.05, kind=kind).on(clock).bound(0.05))
    times = (grown / grown[-1]).tolist()
    assert crossing_probability(times, bounds) == pytest.approx(0.05, abs=1e-8)
    by_users = crossing_probability(times, spending_boundaries(looks, 0.05, kind=kind).tolist())
    assert by_users > 0.0525 if first < last else by_users < 0.0475


def test_where_nothing_drifts_the_bounds_are_those_of_the_users() -> None:
    looks = [0.1, 0.25, 0.5, 0.75]
    for final in (False, True):
        rule = spending_rule(looks, 0.9, 0.05, final=final)
        clock = VarianceClock.of_epochs([1000, 3000, 500], [0.09] * 3, 0.9)
        assert clock is not None
        for alpha in (0.001, 0.05, 0.1):
            assert rule.on(clock).bound(alpha) == pytest.approx(rule.bound(alpha), abs=1e-9)


def test_p_values_and_levels_agree_by_variance_as_well() -> None:
    clock = VarianceClock.of_looks([0.2, 0.4, 0.6], [0.02, 0.03, 0.06])
    assert clock is not None
    rule = spending_rule([0.2, 0.4], 0.6, 0.05).on(clock)
    assert rule.overall_p(rule.level(0.05)) == pytest.approx(0.05, rel=1e-6)
    between = spending_rule([0.2, 0.595], 0.6, 0.05)
    assert between.on(clock).allowance == between.allowance > 0


def test_looks_between_which_nothing_varied_are_one() -> None:
    clock = VarianceClock.of_looks([0.1, 0.2, 0.3, 0.4], [0.0, 0.0, 0.05, 0.03])
    assert clock is not None
    # The third look may not have seen more than all of them.
    assert all(a <= b for a, b in pairwise(clock.variances))
    assert clock.variances[-2] == clock.variances[-1]
    rule = spending_rule([0.1, 0.2, 0.3], 0.4, 0.05).on(clock)
    assert (rule.fractions, rule.times) == ((0.4,), (1.0,))
    assert looks_that_count([0.00001, 0.3, 0.30001, 0.99995, 1.0]) == [1, 4]


def test_nothing_known_that_varies_is_no_clock() -> None:
    assert VarianceClock.of_looks([0.5], [0.0]) is None
    assert VarianceClock.of_looks([], []) is None
    assert VarianceClock.of_looks([0.5, 1.0], [0.1, float("nan")]) is None
    assert VarianceClock.of_epochs([0, 0], [0.1, 0.1], 0.5) is None
    late = VarianceClock.of_looks([0.5, 1.0], [0.0, 0.1])
    assert late is not None
    assert late.times([0.1, 0.2]) == (0.5, 1.0)


def test_a_report_goes_by_variances_where_its_plan_knows_them_and_as_before_where_not() -> None:
    arms = users(180, 240)
    before, without, rising, alike = (
        reported(planned(known), arms).metrics[0].effects[0].p_value
        for known in (None, {}, {"bought": RISING}, {"bought": ((0.2, 0.0651), (0.4, 0.0651))})
    )
    assert before is not None
    assert rising is not None
    assert before == without
    assert rising > before * 1.02, "early looks are less alike to this one than their users say"
    assert alike == pytest.approx(before, rel=0.01)


def test_a_guardrail_is_cleared_by_its_own_clock() -> None:
    guard = replace(BOUGHT, role=MetricRole.GUARDRAIL, direction=Direction.DECREASE, margin=0.01)

    def cleared(variances: Any) -> list[bool | None]:
        plan = planned(variances, planned_n=6000, looks=(0.5, 0.8), information=1.0)
        verdicts = []
        for x_t in range(175, 195):
            told = reported(plan, users(190, x_t), guard).metrics[0].effects[0].guardrail
            assert told is not None
            verdicts.append(told.non_inferior)
        return verdicts

    by_users, by_variance = cleared(None), cleared({"bought": ((0.5, 0.01), (0.8, 0.02))})
    assert True in by_users
    assert False in by_users
    assert sum(map(bool, by_variance)) < sum(map(bool, by_users))


def test_once_weights_have_changed_the_epochs_say_how_variance_has_grown() -> None:
    cells = [(1000, 0.05), (2000, 0.10), (10, 0.0)]
    epochs = tuple(
        EpochFacts(
            epoch=i, users=n, propensity=0.5, outcome=Aggregate.from_counts(n // 2, round(n // 2 * rate))
        )
        for i, (n, rate) in enumerate(cells)
    )
    one = (EpochFacts(epoch=3, users=2, propensity=0.5, outcome=Aggregate.from_counts(1, 1)),)
    arms = users(100, 100, epochs={"bought": epochs + one})
    plan = planned({"bought": RISING}, weights_changed=True)
    clock = clocks_of(plan, (BOUGHT,), arms, 0.6)["bought"]
    total = 1000 + 2000 + 10 + 2
    assert clock.fractions == pytest.approx([0.6 * n / total for n in (1000, 3000, 3010, total)])
    variances = [cell.outcome.variance for cell in epochs]
    usual = (499 * variances[0] + 999 * variances[1] + 4 * variances[2]) / 1502
    assert np.diff((0.0, *clock.variances)) == pytest.approx(
        [1000 * variances[0], 2000 * variances[1], 0.0, 2 * usual]
    )
    assert clocks_of(replace(plan, variances=None), (BOUGHT,), arms, 0.6) == {}
    assert clocks_of(plan, (replace(BOUGHT, key="other"),), arms, 0.6) == {}


def test_a_metric_without_a_variance_keeps_the_clock_of_the_users() -> None:
    ranked = Quantile(n=10, units=10, level=0.5, value=1.0, lower=0.5, upper=2.0, z=1.96)
    arms = tuple(replace(each, aggregates={"bought": ranked}) for each in users(1, 1))
    assert clocks_of(planned({"bought": RISING}), (BOUGHT,), arms, 0.6) == {}


def stored(information: float, sd: float | None, variances: Any = None, *, old: bool = False) -> StoredReport:
    arms = [{"variant": "a", "n": 100, "sd": sd}, {"variant": "b", "n": 300, "sd": sd and 2 * sd}]
    return StoredReport(
        experiment_id=1,
        as_of=datetime(2026, 12, 1, tzinfo=UTC),
        information=information,
        body={"metrics": [{"metric": "bought", "arms": arms}]},
        inputs=None if old else {"data": {"plan": {"variances": variances}}},
    )


def test_each_report_hands_on_what_it_knew_and_what_it_saw() -> None:
    own = (0.5, (100 * 0.04 + 300 * 0.16) / 400)
    assert variances_until(None) == {}
    known = {"bought": [[0.1, 0.2]], "gone": [[0.1, 0.3]]}
    found = variances_until(stored(0.5, 0.2, known))
    assert found == {"bought": ((0.1, 0.2), pytest.approx(own)), "gone": ((0.1, 0.3),)}
    near = variances_until(stored(0.105, 0.2, known))
    assert near["bought"] == ((0.1, 0.2),), "a look too near to the last that counts is left out"
    for old in (stored(0.5, 0.2, old=True), stored(0.5, 0.2)):
        assert variances_until(old) == {"bought": (pytest.approx(own),)}
    assert variances_until(stored(0.5, None)) == {}
    assert variances_until(stored(0.0, 0.2)) == {}


@pytest.mark.parametrize("method", [Method.FIXED, Method.ALWAYS_VALID, Method.EXACT])
def test_other_methods_do_not_ask_for_it(method: Method) -> None:
    arms = users(180, 240)
    found = [reported(planned(known, method=method), arms).to_json() for known in (None, {"bought": RISING})]
    assert found[0] == found[1]
