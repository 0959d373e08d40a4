"""What simulated reports say of many worlds at once is what the report itself says of each of them."""

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from analysis.inputs import AnalysisPlan, ArmFacts, EpochFacts, MetricSpec
from analysis.stats.aggregates import Aggregate
from analysis.stats.simulated_amounts import Amounts
from analysis.stats.simulated_reports import Judged, Sums, found_by_reports
from analysis.verdicts.report import build_report
from experiments.vocabulary import DecisionAction, Method, MetricKind

WORLDS, EPOCHS, ARMS, EXPECTED = 40, 3, 3, 12_000
CHANCES = np.array([[1 / 3] * 3, [0.1, 0.6, 0.3], [0.05, 0.15, 0.8]])
LOOKS = (0.2, 0.35, 0.5)


def drawn(rng: np.random.Generator, *, money: bool) -> Sums:
    users = np.stack([rng.multinomial(2000, chances, size=WORLDS) for chances in CHANCES], axis=1)
    # Some worlds have few events, so that they are compared exactly; effects are from none to large, either way.
    base = np.where(np.arange(WORLDS) % 4 == 0, 0.004, 0.08)[:, None, None]
    lift = rng.choice([0.3, 1.0, 1.0, 1.35, 1.8], size=(WORLDS, 1, ARMS))
    lift[..., 0] = 1.0
    sold = rng.binomial(users, base * lift)
    total, squares = Amounts(40.0, 30.0).sums(sold, rng) if money else (sold, sold)
    return Sums(
        users=users.astype(float),
        total=np.asarray(total, dtype=float),
        squares=np.asarray(squares, dtype=float),
        chances=np.broadcast_to(CHANCES, users.shape),
    )


def facts(sums: Sums, world: int, k: int) -> ArmFacts:
    def aggregate(n: float, x: float, xx: float) -> Aggregate:
        if n < 2:
            return Aggregate(n=int(n), mean=x / max(n, 1), variance=0.0)
        return Aggregate(n=int(n), mean=x / n, variance=max(xx - x * x / n, 0.0) / (n - 1))

    columns = [each[world, :, k].tolist() for each in (sums.users, sums.total, sums.squares)]
    came = sums.users[world].sum(axis=-1).tolist()
    return ArmFacts(
        variant=f"v{k}", control=k == 0, weight=float(CHANCES[:, k].mean()), assigned=int(sum(columns[0])), mature=int(sum(columns[0])),
        aggregates={"m": aggregate(*(sum(each) for each in columns))},
        epochs={
            "m": tuple(
                EpochFacts(
                    epoch=t + 1, users=int(came[t]), propensity=float(CHANCES[t, k]),
                    outcome=aggregate(*(each[t] for each in columns)),
                )
                for t in range(EPOCHS)
            )
        },
    )  # fmt: skip


def judged_by(method: Method, *, money: bool, planned: int) -> Judged:
    return Judged(
        method=str(method),
        alpha=0.05,
        expected=EXPECTED,
        least_users=100,
        is_share=not money,
        planned=planned,
    )


@pytest.mark.parametrize(
    ("method", "money"),
    [(Method.SPENDING, False), (Method.ALWAYS_VALID, False), (Method.EXACT, False), (Method.SPENDING, True), (Method.ALWAYS_VALID, True)],
)  # fmt: skip
def test_world_by_world_the_report_says_the_same(method: Method, *, money: bool) -> None:
    sums = drawn(np.random.default_rng(11), money=money)
    judged = judged_by(method, money=money, planned=EXPECTED)
    said = found_by_reports(sums, judged, looks=np.tile(LOOKS, (WORLDS, 1)))
    kind = MetricKind.MEAN if money else MetricKind.PROPORTION
    plan = AnalysisPlan(
        method=method, alpha=0.05, planned_n=EXPECTED, information=LOOKS[-1], looks=LOOKS[:-1], weights_changed=True
    )  # fmt: skip
    sides, actions = [], set[DecisionAction]()
    for world in range(WORLDS):
        report = build_report(
            experiment="spring", as_of=datetime(2026, 12, 1, tzinfo=UTC), plan=plan,
            metrics=[MetricSpec(key="m", kind=kind)], arms=[facts(sums, world, k) for k in range(ARMS)],
        )  # fmt: skip
        effects = report.metrics[0].effects
        sides.append(
            [
                0 if not each.significant or each.absolute is None else int(np.sign(each.absolute.estimate))
                for each in effects
            ]
        )
        actions.add(report.decision.action)
        side = said.side[world]
        if (side > 0).any():
            assert report.decision.action == DecisionAction.SHIP, report.decision.because
            by_most = np.where(side > 0, said.difference[world], -np.inf).argmax()
            assert report.decision.variant == f"v{by_most + 1}"
        elif (side < 0).all():
            assert report.decision.action == DecisionAction.KEEP_CONTROL
        else:
            assert report.decision.action in (DecisionAction.CONTINUE, DecisionAction.STOP_HARM)
    assert said.side.tolist() == sides
    # A test that finds nothing, or everything, would show nothing.
    assert {-1, 0, 1} == set(said.side.ravel().tolist())
    assert len(actions) >= 3


def test_a_fixed_look_decides_nothing_before_the_end_and_few_users_decide_nothing() -> None:
    sums = drawn(np.random.default_rng(11), money=False)
    looks = np.tile(LOOKS, (WORLDS, 1))
    for method, least in (("fixed", 100), ("spending", 3_000)):
        judged = Judged(
            method=method, alpha=0.05, expected=EXPECTED, least_users=least, is_share=True, planned=EXPECTED
        )
        assert not found_by_reports(sums, judged, looks=looks).side.any()


@pytest.mark.parametrize(
    ("method", "money"),
    [(Method.SPENDING, False), (Method.ALWAYS_VALID, False), (Method.EXACT, False), (Method.ALWAYS_VALID, True)],
)  # fmt: skip
def test_where_weights_never_changed_one_epoch_is_what_the_report_compares(
    method: Method, *, money: bool
) -> None:
    sums = drawn(np.random.default_rng(5), money=money)
    even = np.broadcast_to(np.full(ARMS, 1 / ARMS), sums.users.shape)
    pooled = replace(sums, chances=even).together()
    by_spending = method == Method.SPENDING
    planned = EXPECTED if by_spending else 5000
    judged = judged_by(method, money=money, planned=planned)
    said = found_by_reports(pooled, judged, looks=np.tile(LOOKS, (WORLDS, 1)))
    plan = AnalysisPlan(
        method=method, alpha=0.05, planned_n=planned, information=LOOKS[-1] if by_spending else 0.0,
        looks=LOOKS[:-1] if by_spending else (), weights_changed=False,
    )  # fmt: skip
    kind, sides = MetricKind.MEAN if money else MetricKind.PROPORTION, []
    for world in range(WORLDS):
        effects = build_report(
            experiment="spring", as_of=datetime(2026, 12, 1, tzinfo=UTC), plan=plan, metrics=[MetricSpec(key="m", kind=kind)],
            arms=[replace(facts(sums, world, k), weight=1 / ARMS, epochs={}) for k in range(ARMS)],
        ).metrics[0].effects  # fmt: skip
        sides.append([int(np.sign(each.absolute.estimate)) if each.significant and each.absolute else 0 for each in effects])  # fmt: skip
    # A score test and Welch's differ where a p lies next to its bound.
    assert (said.side == np.array(sides)).mean() >= 0.97
    assert {-1, 0, 1} == set(said.side.ravel().tolist())
