"""What a plan promises, against the planned experiment drawn user by user and judged by the report's own code."""

from dataclasses import replace

import numpy as np
import pytest

from analysis.inputs import FactorSpec, MetricSpec
from analysis.planning.plan_factors import shares_of
from analysis.planning.plan_metrics import Frame, base_from, way_of
from analysis.planning.plan_ways import found_by, way_for
from analysis.stats.exact_power import FEW
from analysis.stats.factorial import interaction, main_effect
from analysis.stats.margin_power import MarginPower
from analysis.stats.monitoring import Monitoring, evenly
from analysis.stats.power import Outcome, Shares, non_inferiority_power, non_inferiority_size
from analysis.stats.sequential import DEFAULT_PLANNED_N
from analysis.verdicts import compare as comparing
from experiments.metrics import MetricDefinition
from experiments.vocabulary import Direction, Method, MetricKind, MetricRole
from tests.reference.planned_trials import (
    Draw,
    Planned,
    Users,
    breached,
    cleared,
    margin_of_error,
    of_factors,
    share_found,
    summary,
)

RUNS = 400
LOOKS = (0.25, 0.5, 0.75, 1.0)
HALVES = Shares(control=0.5, treatment=0.5)


@pytest.fixture(autouse=True)
def _only_what_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beliefs and lifts take most of the time of a comparison and decide nothing."""
    monkeypatch.setattr(comparing.bayes, "beta_binomial", lambda *_, **__: None)
    monkeypatch.setattr(comparing.bayes, "normal_lift", lambda *_, **__: None)
    monkeypatch.setattr(comparing, "_mapped", lambda *_: lambda _level: None)
    monkeypatch.setattr(comparing, "_lift", lambda *_: lambda _level: None)


def shares(*rates: float) -> Draw:
    return lambda rng, arm, n: {"y": (rng.random(n) < rates[arm]).astype(float)}


def watched(method: str, looks=(1.0,), **said) -> Monitoring:
    return Monitoring(method="always_valid" if method == "exact" else method, fractions=tuple(looks), **said)


def frame_of(method: str, looks) -> Frame:
    """What the plan of a campaign of two halves knows."""
    return Frame(
        method=Method(method), monitoring=watched(method, looks), families={MetricRole.GUARDRAIL: 1}, power=0.8, effect=None, shares=HALVES,
        reach=1.0, half_life=None, available=None, day_of=lambda _users: None,
    )  # fmt: skip


def loyal(rng: np.random.Generator, _arm: int, n: int) -> Users:
    """Money, and money before: loyal users spend more in both."""
    loyalty = rng.gamma(1.0, 1.0, n)
    return {"y": loyalty * rng.gamma(2.0, 1.0, n), "x": loyalty * rng.gamma(2.0, 1.0, n)}


def visited(rng: np.random.Generator, _arm: int, n: int) -> Users:
    """Orders of visits."""
    visits = rng.poisson(3.0, n) + 1
    return {"y": rng.binomial(visits, 0.3).astype(float), "d": visits.astype(float)}


METRICS: dict[str, tuple[dict, Draw]] = {
    "proportion": ({}, shares(0.1, 0.1)),
    "retention": ({"after": "3d"}, shares(0.3, 0.3)),
    "count": ({}, lambda rng, _arm, n: {"y": rng.poisson(rng.gamma(0.6, 1.0, n)).astype(float)}),
    "sum": ({"value": "v", "covariate": "28d"}, loyal),
    "mean": ({"value": "v"}, lambda rng, _arm, n: {"y": np.where(rng.random(n) < 0.3, rng.gamma(2.0, 20.0, n), 0.0)}),
    "ratio": ({}, visited),
    "quantile": ({"level": 0.75}, lambda rng, _arm, n: {"y": rng.lognormal(3.0, 1.0, n)}),
}  # fmt: skip


def definition(kind: str, **said) -> MetricDefinition:
    named = (
        {"numerator": {"event": "A"}, "denominator": {"event": "B"}} if kind == "ratio" else {"event": "A"}
    )
    return MetricDefinition.model_validate({"kind": kind, **named, **said})


@pytest.mark.parametrize("kind", METRICS)
@pytest.mark.parametrize(("method", "looks"), [("fixed", (1.0,)), ("spending", (0.4, 0.7, 1.0))])
def test_every_kind_of_metric_is_found_as_often_as_planned_from_its_past(kind, method, looks):
    """The plan sees the past only (a quantile's spacing tells its spread to 2 % in 400,000 users); then such users come, and the treated
    do more.
    """
    said, draw = METRICS[kind]
    metric = definition(kind, **said)
    past = draw(np.random.default_rng(7), 0, 400_000 if kind == "quantile" else 20_000)
    base = base_from(summary(kind, past, level=metric.level or 0.5), metric)
    outcome = Outcome(mean=base.mean, sd=base.sd, rho=base.rho)
    if metric.is_share:
        outcome = Outcome.rate(base.mean, rho=base.rho)
    if kind == "sum":
        assert 0.3 < base.rho < 0.9
    way = way_for(watched(method, looks), method=Method(method), is_share=metric.is_share)
    users = 4_000
    effect = way.minimum_detectable_effect(outcome, n=users, power=0.75, shares=HALVES)

    def more(rng: np.random.Generator, arm: int, n: int):
        did = dict(draw(rng, 0, n))
        if arm and metric.is_share:
            did["y"] = (rng.random(n) < base.mean * (1 + effect)).astype(float)
        elif arm:
            # Added to everybody (a ratio: for each of its denominator), so that the spread is that of the plan.
            did["y"] = did["y"] + effect * base.mean * did.get("d", 1.0)
        return did

    spec = MetricSpec(key="m", kind=MetricKind(kind), quantile=metric.level or 0.5)
    found = share_found(
        Planned(spec=spec, draw=more, users=users, method=method, looks=looks), runs=RUNS, seed=3
    )
    # The past itself is a draw: its spread is known to about 2 %, which is 0.02 of the power.
    assert found[0] == pytest.approx(0.75, abs=margin_of_error(0.75, RUNS) + 0.02)


@pytest.mark.parametrize(
    ("method", "rates", "users"),
    [
        ("exact", (0.1, 0.13), 9_000),
        ("exact", (0.02, 0.045), 3_000),
        ("always_valid", (0.02, 0.045), 3_000),
        ("always_valid", (0.1, 0.13), 8_000),
    ],
)
def test_shares_that_are_looked_at_for_ever(method, rates, users):
    """`exact`, and `always_valid` with and without the few conversions for which it takes the e-process."""
    way = way_for(watched(method, LOOKS), method=Method(method), is_share=True)
    planned = way.power(Outcome.rate(rates[0]), effect=rates[1] / rates[0] - 1, n=users, shares=HALVES)
    assert 0.5 < planned < 0.95
    spec = MetricSpec(key="m", kind=MetricKind.PROPORTION)
    found = share_found(
        Planned(spec=spec, draw=shares(*rates), users=users, method=method, looks=LOOKS), runs=RUNS, seed=4
    )
    assert found[0] == pytest.approx(planned, abs=margin_of_error(planned, RUNS, planned_runs=4_000) + 0.005)


def test_the_exact_size_has_the_power_it_was_asked_for():
    way = way_for(watched("exact", LOOKS), method=Method.EXACT, is_share=True)
    outcome = Outcome.rate(0.05)
    users = way.sample_size(outcome, effect=0.4, power=0.8, shares=Shares(control=0.6, treatment=0.4))
    spec = MetricSpec(key="m", kind=MetricKind.PROPORTION)
    found = share_found(
        Planned(
            spec=spec, draw=shares(0.05, 0.07), users=users, shares=(0.6, 0.4), method="exact", looks=LOOKS
        ),
        runs=RUNS,
        seed=5,
    )
    assert found[0] == pytest.approx(0.8, abs=margin_of_error(0.8, RUNS, planned_runs=8_000) + 0.005)
    effect = way.minimum_detectable_effect(
        outcome, n=users, power=0.8, shares=Shares(control=0.6, treatment=0.4)
    )
    assert effect == pytest.approx(0.4, rel=0.03)


@pytest.mark.parametrize(("method", "users"), [("fixed", 8_000), ("spending", 8_000), ("exact", 14_000)])
def test_one_good_variant_of_three_is_found_as_planned_and_three_good_ones_more_often(method, users):
    """Bonferroni is exact where only one variant works, and a bound of Holm where all do."""
    looks = (1.0,) if method == "fixed" else (0.5, 1.0)
    way = way_for(watched(method, looks, comparisons=3), method=Method(method), is_share=True)
    quarter = Shares(control=0.25, treatment=0.25)
    planned = way.power(Outcome.rate(0.1), effect=0.35, n=users, shares=quarter)
    assert 0.6 < planned < 0.95
    common = {
        "spec": MetricSpec(key="m", kind=MetricKind.PROPORTION), "users": users, "shares": (0.25,) * 4, "method": method,
        "looks": looks,
    }  # fmt: skip
    one = share_found(Planned(draw=shares(0.1, 0.135, 0.1, 0.1), **common), runs=RUNS, seed=6)
    error = margin_of_error(planned, RUNS, planned_runs=4_000 if method == "exact" else np.inf)
    assert one[0] == pytest.approx(planned, abs=error + 0.01)
    assert max(one[1:]) < 0.05
    three = share_found(Planned(draw=shares(0.1, 0.135, 0.135, 0.135), **common), runs=RUNS // 2, seed=7)
    assert three.mean() > planned - margin_of_error(planned, RUNS // 2) / 2


CLEARED = [
    # method, rate of both arms, margin, users, looks, shares; what the formula says, which is what went wrong
    ("fixed", 0.02, 0.008, 8_000, (1.0,), (0.5, 0.5), 0.819),
    ("fixed", 0.01, 0.02, 800, (1.0,), (0.5, 0.5), 0.884),
    ("fixed", 0.01, 0.01, 3_000, (1.0,), (0.8, 0.2), 0.711),
    ("spending", 0.02, 0.008, 8_000, (0.5, 1.0), (0.5, 0.5), 0.812),
    ("spending", 0.01, 0.02, 800, (1.0,), (0.5, 0.5), 0.884),
    ("spending", 0.01, 0.02, 300, (0.5, 1.0), (0.5, 0.5), 0.530),
    ("spending", 0.01, 0.01, 3_000, (0.5, 1.0), (0.8, 0.2), 0.704),
    ("spending", 0.3, 0.25, 150, (0.5, 1.0), (0.5, 0.5), 0.953),
]


@pytest.mark.parametrize(("method", "rate", "margin", "users", "looks", "split", "by_formula"), CLEARED)
def test_guardrails_are_cleared_as_often_as_planned(method, rate, margin, users, looks, split, by_formula):
    """Also where few events meet a large margin, or uneven arms; under `spending` as the boundary clears them, not the e-process."""
    way = way_of(
        definition("proportion", direction="decrease"),
        frame_of(method, looks),
        role=MetricRole.GUARDRAIL,
        comparisons=1,
    )
    pair = Shares(control=split[0], treatment=split[1])
    planned = way.non_inferiority_power(Outcome.rate(rate), margin=margin, n=users, shares=pair)
    formula = non_inferiority_power(
        Outcome.rate(rate), watched(method, looks).one_sided(), margin=margin, n=users, shares=pair
    )
    assert formula == pytest.approx(by_formula, abs=6e-4)
    spec = MetricSpec(
        key="m", kind=MetricKind.PROPORTION, role=MetricRole.GUARDRAIL, direction=Direction.DECREASE, margin=margin
    )  # fmt: skip
    found = share_found(
        Planned(spec=spec, draw=shares(rate, rate), users=users, shares=split, method=method, looks=looks),
        runs=RUNS, seed=8, found=cleared,
    )  # fmt: skip
    error = margin_of_error(planned, RUNS, planned_runs=4_000)
    assert found[0] == pytest.approx(planned, abs=error + 0.01)
    if formula - planned > error + 0.01:
        assert found[0] < formula - 0.01


def test_the_size_for_a_margin_has_the_power_that_was_asked_for():
    way = MarginPower(monitoring=watched("spending", (0.5, 1.0)).one_sided())
    needed = way.size(Outcome.rate(0.01), margin=0.02, power=0.8)
    other = replace(way, seed=1, runs=20_000)
    assert other.power(Outcome.rate(0.01), margin=0.02, n=needed) == pytest.approx(0.8, abs=0.02)
    assert non_inferiority_size(Outcome.rate(0.01), way.monitoring, margin=0.02, power=0.8) < 0.85 * needed


def test_guardrails_see_harm_as_often_as_planned():
    way = way_for(
        watched("spending", (0.5, 1.0), comparisons=2).one_sided(),
        method=Method.SPENDING,
        is_share=True,
        guards=True,
    )
    thirds = Shares(control=1 / 3, treatment=1 / 3)
    planned = way.power(Outcome.rate(0.02), effect=1.0, n=4_500, shares=thirds)
    assert 0.5 < planned < 0.95
    spec = MetricSpec(
        key="m", kind=MetricKind.PROPORTION, role=MetricRole.GUARDRAIL, direction=Direction.DECREASE
    )
    found = share_found(
        Planned(spec=spec, draw=shares(0.02, 0.04, 0.02), users=4_500, shares=(1 / 3,) * 3, method="spending", looks=(0.5, 1.0)),
        runs=RUNS // 2, seed=9, found=breached,
    )  # fmt: skip
    assert found[0] == pytest.approx(
        planned, abs=margin_of_error(planned, RUNS // 2, planned_runs=4_000) + 0.01
    )
    assert found[1] < 0.06


def test_main_effects_and_interactions_are_found_as_often_as_planned():
    """A crossing of 2 x 3 with uneven traffic: the coupon works everywhere by 0.3, and by 0.45 more in the evening."""
    levels = [["plain", "coupon"], ["am", "noon", "pm"]]
    cells = [
        ("plain", "am"),
        ("plain", "noon"),
        ("plain", "pm"),
        ("coupon", "am"),
        ("coupon", "noon"),
        ("coupon", "pm"),
    ]
    traffic = (0.2, 0.15, 0.15, 0.15, 0.15, 0.2)
    means = dict.fromkeys(cells, 2.0)
    for cell in cells[3:]:
        means[cell] += 0.15
    means[("coupon", "pm")] += 0.45
    users = 4_000
    planned = Planned(
        spec=MetricSpec(key="m", kind=MetricKind.MEAN), users=users, shares=traffic,
        draw=lambda rng, arm, n: {"y": rng.normal(means[cells[arm]], 1.5, n)},
        levels=[{"text": text, "hour": hour} for text, hour in cells],
        factors=(FactorSpec(key="text", levels=("plain", "coupon")), FactorSpec(key="hour", levels=("am", "noon", "pm"))),
    )  # fmt: skip
    found = share_found(planned, runs=RUNS, seed=10, found=of_factors)
    outcome = Outcome(mean=2.0, sd=1.5)
    share = dict(zip(cells, traffic, strict=True))
    # Averaged over the hours the coupon brings 0.15 + 0.45/3; over the texts, the evening 0.45/2; together, 0.45.
    main, both = (
        shares_of(main_effect(levels, 0, "coupon"), share),
        shares_of(interaction(levels, (0, 1), ("coupon", "pm")), share),
    )
    hour = shares_of(main_effect(levels, 1, "pm"), share)
    for i, term, effect, comparisons in ((0, main, 0.30, 3), (2, hour, 0.225, 3), (4, both, 0.45, 2)):
        way = way_for(watched("fixed", comparisons=comparisons), method=Method.FIXED, is_share=False)
        least = way.power(outcome, effect=effect / 2.0, n=users, shares=term)
        most = way_for(watched("fixed"), method=Method.FIXED, is_share=False).power(
            outcome, effect=effect / 2.0, n=users, shares=term
        )
        # Holm and Benjamini-Hochberg lie between Bonferroni and no correction at all.
        error = margin_of_error(min(max(least, 0.05), 0.95), RUNS)
        assert least - error < found[i] < most + error, (i, least, found[i], most)
    assert 0.2 < found[4] < 0.99


def test_an_audience_that_comes_by_and_by_is_planned_with_what_its_sequence_is_tuned_to():
    """Where nobody knows how many users will come, the report tunes its sequence to 5,000."""
    way = way_for(
        watched("always_valid", LOOKS, tuned_to=DEFAULT_PLANNED_N), method=Method.ALWAYS_VALID, is_share=False
    )
    planned = way.power(Outcome(mean=2.0, sd=3.0), effect=0.2, n=3_000, shares=HALVES)
    spec = MetricSpec(key="m", kind=MetricKind.MEAN)
    drawn = Planned(
        spec=spec, draw=lambda rng, arm, n: {"y": rng.gamma(4 / 9, 4.5, n) + 0.4 * arm}, users=3_000, method="always_valid",
        looks=LOOKS, planned_n=DEFAULT_PLANNED_N,
    )  # fmt: skip
    found = share_found(drawn, runs=RUNS, seed=11)
    assert 0.4 < planned < 0.95
    assert found[0] == pytest.approx(planned, abs=margin_of_error(planned, RUNS) + 0.005)


def test_plans_and_reports_agree_where_conversions_are_few():
    assert FEW == comparing.FEW_CONVERSIONS


def test_the_simulated_answer_is_the_same_twice():
    way = way_for(watched("exact", evenly(3)), method=Method.EXACT, is_share=True)
    asked = {"effect": 0.4, "power": 0.8, "shares": HALVES}
    assert way.sample_size(Outcome.rate(0.05), **asked) == way.sample_size(Outcome.rate(0.05), **asked)
    assert "simulated, 4,000 runs, seed 20261201" in str(
        found_by(way, Outcome.rate(0.05), n=100, shares=HALVES)
    )
