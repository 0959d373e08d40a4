"""The same users, drawn anew: the sums of the arms are sums over the pool, and chance deals with the weights."""

import numpy as np
import pytest
from scipy import stats

from analysis.certification.rerandomise import DEALT_ONE_BY_ONE, SUMS, Pool, pool_of_users, rerandomise


def pool(seed: int = 1) -> Pool:
    rng = np.random.default_rng(seed)
    times = np.concatenate([[4000, DEALT_ONE_BY_ONE + 1, 7], np.ones(500, dtype=int)])
    return pool_of_users(
        times, y=rng.gamma(2, 1, len(times)), d=rng.normal(3, 1, len(times)), x=rng.normal(size=len(times))
    )


def test_every_user_is_in_one_arm() -> None:
    drawn = pool()
    arms = rerandomise(drawn, [3, 1, 2], runs=200, rng=np.random.default_rng(2))
    for letter in SUMS:
        whole = float((drawn.sums[letter] * drawn.times).sum())
        scale = float((np.abs(drawn.sums[letter]) * drawn.times).sum())
        assert np.allclose(sum(getattr(arm, letter) for arm in arms), whole, rtol=0, atol=1e-12 * scale)


def test_products_are_those_of_deviations() -> None:
    drawn = pool()
    y, x, d = drawn.sums["y"], drawn.sums["x"], drawn.sums["d"]
    assert np.allclose(drawn.sums["xy"], x * y)
    assert np.allclose(drawn.sums["yd"], y * d)
    assert np.allclose(drawn.sums["dx"], d * x)
    assert abs((y * drawn.times).sum()) < 1e-9
    assert drawn.totals.min() > 0


def test_sizes_are_binomial_with_the_weights() -> None:
    """scipy's binomial law: means, variances and the whole distribution (chi-square over its deciles)."""
    runs, drawn = 4000, pool_of_users([1000, 1000, 1, 1], y=[0.0, 1.0, 2.0, 3.0])
    control, treatment = rerandomise(drawn, [9, 1], runs=runs, rng=np.random.default_rng(3))
    law = stats.binom(2002, 0.1)
    edges = law.ppf(np.linspace(0, 1, 11))
    expected = runs * np.diff(law.cdf(edges))
    found = np.histogram(treatment.n, bins=np.concatenate([[-1], edges[1:-1] + 0.5, [2002]]))[0]
    assert stats.chisquare(found, expected * found.sum() / expected.sum()).pvalue > 1e-4
    assert (control.n + treatment.n == 2002).all()


def test_users_who_are_alike_or_not_are_dealt_by_the_same_law() -> None:
    """300 alike in one lot, and the same 300 as rows of one: the same mean and variance of the arm's sum."""
    lot = pool_of_users([300, 300], y=[0.0, 1.0])
    rows = pool_of_users(np.ones(600, dtype=int), y=np.repeat([0.0, 1.0], 300))
    sums = [rerandomise(each, [1, 2], runs=6000, rng=np.random.default_rng(4))[0].y for each in (lot, rows)]
    assert stats.ks_2samp(*sums).pvalue > 1e-4
    assert np.var(sums[1]) == pytest.approx(600 * 0.25 * (1 / 3) * (2 / 3), rel=0.08)


def test_clusters_stay_together() -> None:
    clusters = Pool(
        sums={"n": np.full(50, 4.0), "y": np.zeros(50), "yy": np.ones(50)},
        times=np.ones(50, dtype=np.int64),
        shifts={"y": 1.0},
    )
    one, _ = rerandomise(clusters, [1, 1], runs=300, rng=np.random.default_rng(5))
    assert clusters.users == 200
    assert (one.n % 4 == 0).all()
    assert clusters.totals.tolist() == [4.0] * 50


def test_the_same_seed_deals_the_same() -> None:
    first, second = (
        rerandomise(pool(), [1, 1], runs=150, rng=np.random.default_rng(6))[0].yy for _ in range(2)
    )
    assert (first == second).all()


def test_progress_is_told() -> None:
    done: list[int] = []
    rerandomise(pool(), [1, 1], runs=300, rng=np.random.default_rng(7), advance=done.append)
    assert sum(done) == 300
    assert len(done) > 1


def test_a_thinner_pool_is_a_sample() -> None:
    thin = pool().thinned(0.5, np.random.default_rng(8))
    assert thin.units == pytest.approx(pool().units / 2, rel=0.1)
    assert thin.times.min() > 0
    assert pool().work() == 2 * DEALT_ONE_BY_ONE + 7 + 500
