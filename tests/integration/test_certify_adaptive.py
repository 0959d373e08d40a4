"""The certification of effects by epoch: it decides as production does, and can fail."""

from dataclasses import replace

import numpy as np
import pytest

from analysis.inputs import AnalysisPlan, MetricSpec
from analysis.stats.allocation import AllocationPolicy, weights
from analysis.stats.best_arm import gaussian_best
from analysis.stats.estimates import AllocationEvidence
from analysis.verdicts.by_epoch import compare_by_epoch
from analysis.verdicts.report import look_of
from benchmarks import bandit_worlds, certify_adaptive, certify_looking
from benchmarks.bandit_worlds import Sums, Worlds, base_rates, play, probability_best
from benchmarks.certify_page import page_of
from benchmarks.claims import ALPHA, FULL, QUICK, Findings
from benchmarks.simulation import Twin
from experiments.vocabulary import Method, MetricKind

TINY = replace(QUICK, runs=40, coverage_runs=40)
SPEC = MetricSpec(key="bought", kind=MetricKind.PROPORTION)


def worlds(*, lift: float = 1.0, count: int = 40) -> Worlds:
    rates = np.repeat(base_rates(4, "up")[:, None], 3, axis=1)
    rates[:, -1] *= lift
    return play(np.random.default_rng(4), worlds=count, rates=rates, users=600, policy="thompson", parts=2)


@pytest.mark.parametrize("method", [Method.SPENDING, Method.ALWAYS_VALID])
def test_looks_are_judged_as_production_judges_them(method: Method) -> None:
    """Every look of some worlds with a large effect: significant here exactly where the report says so."""
    played, planned, level = worlds(lift=3.5, count=6), 2400, ALPHA / 2
    cell = certify_adaptive.Cell(3, "up", "thompson", 4, 600, "no effect")
    asked, hits, tests = np.ones(6, dtype=bool), 0, set()
    for look in range(8):
        sums = played.until(look // 2, look % 2)
        fractions = tuple((each + 1) / 8 for each in range(look + 1))
        plan = AnalysisPlan(
            method=method,
            planned_n=planned,
            information=fractions[-1],
            looks=fractions[:-1],
            weights_changed=True,
            variances={},
        )
        found, won = certify_looking.significant_at(played, look, str(method), cell, asked=asked)
        for world in range(6):
            arms = [certify_adaptive._facts(sums, world, k, control=k == 0) for k in range(3)]
            rule = look_of(plan, fractions[-1], [], metrics=(SPEC,), arms=arms)
            assert set(rule.clocks) == ({SPEC.key} if method == Method.SPENDING else set())
            told = [compare_by_epoch(SPEC, arms[0], each, look=rule) for each in arms[1:]]
            tests |= {each.test for each in told}
            significant = [each.p_value is not None and each.p_value < level for each in told]
            assert bool(found[world]) == any(significant)
            assert bool(won[world]) == significant[1]
            hits += any(significant)
    assert hits > 5
    assert tests == {"exact_by_epoch"} | ({"score_by_epoch"} if method == Method.SPENDING else set())


def test_the_claims_are_made_and_a_pooled_test_misses_them() -> None:
    findings = Findings()
    certify_adaptive.afterwards(TINY, 1, findings, lambda: None)
    certify_adaptive.money(TINY, 1, findings, lambda: None)
    told = {claim.claim.split(":")[0]: claim for claim in findings.claims}
    assert told["pooled z test, which no report shows"].met is None
    assert told["what reports show for shares (score interval by epoch)"].met is True
    assert "## After a bandit" in page_of(findings, TINY, seed=1)
    rates = np.repeat(base_rates(8, "up")[:, None], 2, axis=1)
    played = play(np.random.default_rng(2), worlds=400, rates=rates, users=800, policy="thompson")
    cell = certify_adaptive.Cell(2, "up", "thompson", 8, 800, "no effect")
    missed = certify_adaptive._missed(cell, played.until(7, 0))
    assert missed["pooled"] > 0.3
    assert missed["score"] < 0.09


def test_a_twin_that_is_not_production_stops_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    sums = worlds().until(3, 1)
    rng = np.random.default_rng(1)
    certify_adaptive._check(rng, sums)
    real = certify_adaptive.shares_of

    def other(found: Sums, k: int) -> object:
        return replace(real(found, k), users=found.users + np.arange(4))

    monkeypatch.setattr(certify_adaptive, "shares_of", other)
    with pytest.raises(Twin):
        certify_adaptive._check(rng, sums)


def test_the_chances_of_being_best() -> None:
    mean, error = np.array([[0.10, 0.11, 0.105]]), np.array([[0.01, 0.005, 0.02]])
    assert probability_best(mean, error) == pytest.approx(gaussian_best(mean, error), abs=0.005)
    assert bandit_worlds.by_hand(np.array([[0.2, 0.7, 0.1]])) == pytest.approx(
        np.array([[0.2625, 0.475, 0.2625]])
    )


def test_worlds_are_played_with_the_weights_of_the_product() -> None:
    played = worlds(lift=2.0, count=5)
    for epoch in range(1, 4):
        sums = played.until(epoch - 1, 1)
        seen = AllocationEvidence(
            users=sums.n[..., None],
            total=sums.total[..., None],
            total_squares=sums.squares[..., None],
            delays=None,
            active=np.ones((5, 3), dtype=bool),
            proportion=False,
        )
        policy = AllocationPolicy(policy="thompson", burn_in_users=0, burn_in_conversions=0)
        assert played.propensity[:, epoch] == pytest.approx(weights(seen, policy).weights)


@pytest.mark.parametrize("policy", bandit_worlds.POLICIES)
@pytest.mark.parametrize("pooled", [True, False])
def test_every_policy_moves_traffic_to_the_better_arm(policy: str, pooled: bool) -> None:
    rates = np.tile([0.05, 0.05, 0.15], (4, 1))
    played = play(np.random.default_rng(5), worlds=30, rates=rates, users=900, policy=policy, pooled=pooled)
    assert played.propensity[:, 0] == pytest.approx(1 / 3)
    assert played.propensity[:, -1, 2].mean() > 0.4


def test_a_miss_while_looking_has_no_excuse() -> None:
    def met(share: float) -> bool | None:
        rates = {(2, "thompson", "up"): (share, share / 2), (5, "thompson", "up"): (0.03, 0.01)}
        made = certify_looking._of_looks("spending", rates, 10, 1000, 5, FULL)
        assert made.explained == ""
        return made.met

    assert met(0.05)
    assert not met(0.064)


def test_with_even_shares_looks_go_by_variances_and_by_users_for_comparison() -> None:
    findings = Findings()
    certify_looking._with_even_shares([1], 4, 400, 2, TINY, findings)
    (claim,), (grid,) = findings.claims, findings.grids
    assert claim.met is True
    assert [name for name, _ in grid.rows] == ["2 arms, up", "2 arms, down", "3 arms, up", "3 arms, down"]
    cell = certify_adaptive.Cell(2, "up", "even", 4, 400, "no effect")
    rates = np.repeat(base_rates(4, "up")[:, None], 2, axis=1) * [1, 4]
    played = play(np.random.default_rng(2), worlds=60, rates=rates, users=400, policy="even", parts=2)
    assert certify_looking.ever_significant(played, "spending", cell) == (1.0, 1.0)


def test_even_shares_stay_even() -> None:
    rates = np.tile([0.05, 0.15], (3, 1))
    played = play(np.random.default_rng(5), worlds=4, rates=rates, users=900, policy="even")
    assert played.propensity == pytest.approx(np.full((4, 3, 2), 0.5))
    assert played.n.sum(axis=(2, 3)) == pytest.approx(np.full((4, 3), 900))


def test_every_arm_keeps_its_floor() -> None:
    played = worlds()
    assert played.propensity.min() >= bandit_worlds.FLOOR - 1e-12
    assert played.propensity.sum(axis=-1) == pytest.approx(np.ones(played.propensity.shape[:2]))
    assert played.n.sum(axis=(2, 3)) == pytest.approx(np.full(played.n.shape[:2], 600))
