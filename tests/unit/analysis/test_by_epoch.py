"""Two arms whose weights have changed: which test, which rule, and what is refused."""

import math
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from scipy import stats

from analysis.findings import Report
from analysis.inputs import AnalysisPlan, ArmFacts, EpochFacts, FactorSpec, MetricSpec
from analysis.stats.aggregates import Aggregate
from analysis.stats.sequential import AlwaysValid, EveryLook, Spending
from analysis.verdicts.by_epoch import compare_by_epoch
from analysis.verdicts.report import build_report, look_of
from experiments.vocabulary import Method, MetricKind, MetricRole

NOW = datetime(2026, 12, 1, tzinfo=UTC)
BOUGHT = MetricSpec(key="bought", kind=MetricKind.PROPORTION)
SPENT = MetricSpec(key="spent", kind=MetricKind.MEAN)
Cell = tuple[int, float, int, int]
"""Users of the epoch, chance, users and buyers of the arm."""
SILENCE: list[Cell] = [(2000, 0.5, 1000, 60), (2000, 0.2, 400, 44)]
COUPON: list[Cell] = [(2000, 0.5, 1000, 80), (2000, 0.8, 1600, 220)]


def arm(variant: str, cells: list[Cell], *, covariate: bool = False, **more: Any) -> ArmFacts:
    def outcome(n: int, x: int) -> Aggregate:
        found = Aggregate.from_counts(n, x)
        return replace(found, mean_x=1.0, variance_x=1.0, covariance_xy=0.1) if covariate and n else found

    users = sum(n for _, _, n, _ in cells)
    epochs = tuple(
        EpochFacts(epoch=i, users=total, propensity=chance, outcome=outcome(n, x))
        for i, (total, chance, n, x) in enumerate(cells, 1)
    )
    whole = Aggregate.from_counts(users, sum(x for *_, x in cells))
    return ArmFacts(
        variant=variant, control=variant == "silence", weight=max(users, 1), assigned=users, mature=users,
        aggregates={"bought": whole, "spent": whole}, epochs={"bought": epochs, "spent": epochs}, **more,
    )  # fmt: skip


def report(
    *arms: ArmFacts, metrics: tuple[MetricSpec, ...] = (BOUGHT,), factors: tuple[FactorSpec, ...] = (), **plan: Any
) -> Report:  # fmt: skip
    return build_report(
        experiment="spring", as_of=NOW, arms=arms, metrics=metrics, factors=factors,
        plan=AnalysisPlan(**{"method": Method.FIXED, "planned_n": 4000, "ended": True, "weights_changed": True, **plan}),
    )  # fmt: skip


def rule_of(method: Method, control: ArmFacts, treatment: ArmFacts, **plan: Any) -> Any:
    look = look_of(AnalysisPlan(method=method, weights_changed=True, planned_n=8000, **plan), 0.5, [])
    return compare_by_epoch(BOUGHT, control, treatment, look=look).rule


def test_information_is_counted_in_users_who_came_not_in_those_of_the_pair() -> None:
    pair = arm("silence", SILENCE), arm("coupon", COUPON)
    assert isinstance(rule_of(Method.SPENDING, *pair), Spending)
    many = (
        [(users * 10, chance, n * 10, x * 10) for users, chance, n, x in SILENCE],
        [(users * 10, chance, n * 10, x * 10) for users, chance, n, x in COUPON],
    )
    rule = rule_of(Method.ALWAYS_VALID, arm("silence", many[0]), arm("coupon", many[1]))
    assert isinstance(rule, AlwaysValid)
    assert rule.n == 40_000


def test_an_arm_that_joined_later_has_a_clock_of_its_own() -> None:
    later = [(2000, 0.0, 0, 0), (2000, 0.3, 600, 70)]
    rule = rule_of(Method.SPENDING, arm("silence", SILENCE), arm("coupon", later))
    assert isinstance(rule, AlwaysValid)
    assert rule.n == 2000


def test_few_events_are_compared_exactly_whatever_the_method() -> None:
    few = [(2000, 0.5, 1000, 3), (2000, 0.2, 400, 1)], [(2000, 0.5, 1000, 4), (2000, 0.8, 1600, 9)]
    for method in (Method.FIXED, Method.SPENDING, Method.ALWAYS_VALID, Method.EXACT):
        look = look_of(AnalysisPlan(method=method, weights_changed=True, planned_n=8000), 0.5, [])
        found = compare_by_epoch(BOUGHT, arm("silence", few[0]), arm("coupon", few[1]), look=look)
        assert (found.test, found.rule) == ("exact_by_epoch", EveryLook())
        assert found.interval is not None
        interval = found.interval(0.05)
        assert interval.lower < 0 < interval.upper
        assert found.p_value is not None


def test_guardrails_that_are_peeked_at_are_exact() -> None:
    guard = replace(BOUGHT, key="spent", role=MetricRole.GUARDRAIL, margin=0.01)
    found = report(
        arm("silence", SILENCE), arm("coupon", COUPON), metrics=(BOUGHT, guard), method=Method.SPENDING
    )
    assert [metric.effects[0].test for metric in found.metrics] == ["score_by_epoch", "exact_by_epoch"]


def test_interval_p_value_and_decision_agree() -> None:
    for extra in range(0, 60, 6):
        treatment = [COUPON[0], (2000, 0.8, 1600, 180 + extra)]
        (effect,) = report(arm("silence", SILENCE), arm("coupon", treatment)).metrics[0].effects
        assert effect.interval_adjusted is not None
        assert effect.relative is not None
        away = not effect.interval_adjusted.lower <= 0 <= effect.interval_adjusted.upper
        assert away == effect.significant == (not effect.relative.lower <= 0 <= effect.relative.upper)


def test_factors_progress_and_effects_per_user_reached_are_refused() -> None:
    levels = [{"content": "none"}, {"content": "coupon"}]
    found = report(
        arm("silence", SILENCE, levels=levels[0], compliance={"bought": Aggregate.from_counts(1400, 90)}),
        arm("coupon", COUPON, levels=levels[1]),
        factors=(FactorSpec(key="content", levels=("none", "coupon")),),
        minimum_effect=0.1, futility=0.2,
    )  # fmt: skip
    assert found.metrics[0].factors == ()
    assert (found.progress[0].power, found.progress[0].conditional_power) == (None, None)
    said = "\n".join(found.warnings)
    assert "the factors cannot be analysed: weights have changed" in said
    assert "its power cannot be told: weights have changed" in said
    assert any("no effect per user reached: weights have changed" in note for note in found.notes)


def test_means_are_adjusted_by_their_covariate_and_shares_say_that_they_are_not() -> None:
    pair = arm("silence", SILENCE, covariate=True), arm("coupon", COUPON, covariate=True)
    found = report(*pair, metrics=(BOUGHT, replace(SPENT, role=MetricRole.SECONDARY)))
    share, mean = (metric.effects[0] for metric in found.metrics)
    assert (share.variance_reduction, share.test) == (0.0, "score_by_epoch")
    assert mean.variance_reduction is not None
    assert mean.variance_reduction > 0.05
    assert any("shares are not adjusted" in note for note in found.notes)


@pytest.mark.parametrize(
    ("cells", "words"),
    [
        ([(2000, 0.5, 0, 0), (2000, 0.0, 0, 0)], "no stretch of time"),
        ([(2000, 0.5, 1000, 0), (2000, 0.8, 1600, 0)], "every outcome is the same"),
    ],
)
def test_what_cannot_be_told_has_a_reason(cells: list[Cell], words: str) -> None:
    silence = [(users, chance, n, 0) for users, chance, n, _ in SILENCE]
    found = report(arm("silence", silence), arm("coupon", cells))
    (effect,) = found.metrics[0].effects
    assert (effect.p_value, effect.significant) == (None, None)
    assert any(words in each for each in found.warnings)


def test_users_in_an_arm_whose_chance_was_0_say_nothing() -> None:
    stray = [*COUPON, (50, 0.0, 50, 50)]
    other = [*SILENCE, (50, 1.0, 0, 0)]
    with_them = report(arm("silence", other), arm("coupon", stray)).metrics[0].effects[0]
    without = report(arm("silence", SILENCE), arm("coupon", COUPON)).metrics[0].effects[0]
    assert (with_them.absolute, with_them.p_value) == (without.absolute, without.p_value)


@pytest.mark.parametrize("buyers", [0, 1])
def test_outcomes_that_do_not_vary_are_told_once_for_each_pair(buyers: int) -> None:
    def all_alike(cells: list[Cell]) -> list[Cell]:
        return [(users, chance, n, n * buyers) for users, chance, n, _ in cells]

    found = report(
        arm("silence", all_alike(SILENCE)), arm("coupon", all_alike(COUPON)), metrics=(BOUGHT, SPENT), method="spending"
    )  # fmt: skip
    for key in ("bought", "spent"):
        assert len([each for each in found.warnings if each.startswith(f"{key}, coupon")]) == 1
    # An interval without width would say that all is known.
    assert not any("AW-AIPW" in note for note in found.notes)


def test_the_pool_says_once_as_well_that_nothing_varies() -> None:
    alike = [arm(variant, [(2000, 0.5, 1000, 0)]) for variant in ("silence", "coupon")]
    found = report(*alike, weights_changed=False)
    assert len([each for each in found.warnings if each.startswith("bought, coupon")]) == 1


def test_batched_least_squares_stand_beside_the_estimate() -> None:
    (note,) = [
        each for each in report(arm("silence", SILENCE), arm("coupon", COUPON)).notes if "AW-AIPW" in each
    ]
    z = []
    for (_, _, n_c, x_c), (_, _, n_t, x_t) in zip(SILENCE, COUPON, strict=True):
        a, b = x_c / n_c, x_t / n_t
        spread = (n_c * a * (1 - a) + n_t * b * (1 - b)) / (n_c + n_t - 2)
        z.append((b - a) * math.sqrt(n_c * n_t / (n_c + n_t) / spread))
    p = 2 * stats.norm.sf(abs(sum(z)) / math.sqrt(2))
    assert f"have p = {p:.3g} if this were the only look" in note
