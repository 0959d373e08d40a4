"""Quantiles dealt near the quantile only: the same as dealing everybody and sorting each arm."""

import numpy as np
import pytest

from analysis.certification import redraw_quantiles as module
from analysis.certification.calibration import Verdict
from analysis.certification.certify import MetricData, certify
from analysis.certification.certify_facts import Drawn
from analysis.certification.redraw_quantiles import redraw_quantiles
from analysis.certification.rerandomise import Pool, pool_of_users
from analysis.stats import difference
from analysis.stats.quantiles import Quantile, quantile_difference
from experiments.vocabulary import MetricKind


def pool_of(y: np.ndarray) -> Pool:
    values, times = np.unique(y, return_counts=True)
    return pool_of_users(times, y=values)


def dealt(y: np.ndarray, level: float, runs: int, share: float) -> tuple[np.ndarray, np.ndarray]:
    """Estimates and p-values of runs in which everybody is dealt and each arm is sorted."""
    rng = np.random.default_rng(8)
    estimates, p = np.zeros(runs), np.zeros(runs)
    for run in range(runs):
        treated = rng.random(len(y)) < share
        arms = (Quantile.from_values(y[chosen], level) for chosen in (~treated, treated))
        effect = quantile_difference(*arms)
        estimates[run], p[run] = effect.estimate, difference.p_value(effect)
    return estimates, p


@pytest.mark.parametrize(("n", "level", "share"), [(3000, 0.5, 0.5), (3000, 0.9, 0.2), (400, 0.7, 0.5)])
def test_the_same_distribution_as_dealing_everybody(n, level, share):
    y = np.random.default_rng(7).gamma(2, 1, n).round(2)
    runs = 4000
    (found,) = redraw_quantiles(
        pool_of(y), [1 - share, share], level=level, runs=runs, rng=np.random.default_rng(9)
    )
    estimates, p = dealt(y, level, runs, share)
    assert found.p.count() == runs
    for alpha in (0.01, 0.05, 0.2, 0.5):
        ours, theirs = float(np.mean(found.p < alpha)), float(np.mean(p < alpha))
        assert abs(ours - theirs) < 4 * np.sqrt(2 * theirs * (1 - theirs) / runs)
    assert float(found.estimate.std()) == pytest.approx(float(estimates.std()), rel=0.06)
    assert abs(float(found.estimate.mean()) - float(estimates.mean())) < 4 * float(estimates.std()) * np.sqrt(
        2 / runs
    )


def test_users_far_from_the_quantile_need_not_be_dealt(monkeypatch):
    y = np.random.default_rng(7).gamma(2, 1, 20_000)
    settings = {"level": 0.5, "runs": 3000}
    near, *_ = redraw_quantiles(pool_of(y), [1, 1], rng=np.random.default_rng(1), **settings)
    monkeypatch.setattr(module, "SURE", 1e9)
    everybody, *_ = redraw_quantiles(pool_of(y), [1, 1], rng=np.random.default_rng(2), **settings)
    assert near.p.count() == everybody.p.count() == 3000
    assert float(near.estimate.std()) == pytest.approx(float(everybody.estimate.std()), rel=0.06)
    assert float(np.ma.median(near.error)) == pytest.approx(float(np.ma.median(everybody.error)), rel=0.02)


def test_ties_and_a_handful_cannot_be_told():
    def verdict(y, level):
        made = certify(
            [MetricData(key="m", kind=MetricKind.QUANTILE, drawn=Drawn(pool=pool_of(y)), level=level)],
            source="s", control="A", weights={"A": 1.0, "B": 1.0}, assigned=len(y), drawn_by=None, runs=500, seed=1,
        )  # fmt: skip
        return made.metrics[0]

    nothing = verdict(np.r_[np.zeros(900), np.ones(100)], 0.5)
    assert nothing.verdict == Verdict.CANNOT_TELL
    assert "most users are tied at the 0.5 quantile" in nothing.because
    few = verdict(np.arange(30.0), 0.95)
    assert few.verdict == Verdict.CANNOT_TELL
    assert "too few for an interval of the 0.95 quantile" in few.because
    fair = verdict(np.random.default_rng(3).normal(size=5000), 0.5)
    assert fair.verdict == Verdict.HOLDS
    assert fair.largest_share is None
