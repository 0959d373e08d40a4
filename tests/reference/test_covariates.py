"""Several covariates against statsmodels on the users' rows: Lin's interacted OLS."""

import math

import numpy as np
import pytest
import statsmodels.api as sm

from analysis.stats.covariates import Moments, with_covariates
from analysis.stats.difference import absolute, difference

CLOSE = 1e-9


def moments(y, x):
    rows = np.column_stack([y, x])
    shift = rows[0]
    z = rows - shift
    return Moments.from_sums(len(y), z.sum(axis=0), z.T @ z, shift=shift, maximum=float(y.max()))


def users(rng, k, sizes=None):
    """Correlated covariates; slopes and spreads that differ between the arms."""
    mix, scale, shift = (
        rng.normal(size=(k, k)) + 2 * np.eye(k),
        10 ** rng.uniform(-2, 2, k),
        rng.uniform(-50, 50, k),
    )
    arms = []
    for n in sizes if sizes is not None else rng.integers(30, 400, 2):
        x = rng.gamma(2, 1, (n, k)) @ mix * scale + shift
        standard = (x - x.mean(axis=0)) / x.std(axis=0)
        y = 100 + standard @ rng.normal(1, 0.5, k) + rng.normal(0, 1 + abs(standard[:, 0]), n)
        arms.append((y, x))
    return arms


def interacted(arms):
    """The fit of Lin's eq 4; its second coefficient is the effect."""
    y = np.concatenate([arms[0][0], arms[1][0]])
    x = np.vstack([arms[0][1], arms[1][1]])
    t = np.repeat([0.0, 1.0], [len(arms[0][0]), len(arms[1][0])])
    centred = x - x.mean(axis=0)
    centred = centred / centred.std(axis=0)
    design = np.column_stack([np.ones(len(y)), t, centred, t[:, None] * centred])
    return sm.OLS(y, design)


def prediction_variance(y, x, at):
    """Of the arm's own OLS at the point `at`, by statsmodels."""
    fit = sm.OLS(y, np.column_stack([np.ones(len(y)), x - at])).fit()
    return fit.bse[0] ** 2


def test_the_effect_is_lins_and_the_spread_that_of_each_arms_own_regression():
    rng = np.random.default_rng(20261203)
    checked = 0
    for _ in range(60):
        arms = users(rng, int(rng.integers(2, 6)))
        made = with_covariates([moments(*arm) for arm in arms])
        if not all(arm.variance_x for arm in made):
            continue  # an arm in which the covariates tell nothing is left as it is
        checked += 1
        found = difference(*made)
        reference = interacted(arms).fit(cov_type="HC2")
        assert found.estimate == pytest.approx(reference.params[1], rel=CLOSE, abs=1e-8)
        at = np.vstack([x for _, x in arms]).mean(axis=0)
        variance = sum(prediction_variance(y, x, at) for y, x in arms)
        assert found.standard_error == pytest.approx(math.sqrt(variance), rel=1e-7)
        assert found.control_mean == pytest.approx(arms[0][0].mean(), rel=CLOSE)
    assert checked > 50


def test_it_is_hc2_to_first_order_where_the_spread_depends_on_the_covariate():
    rng = np.random.default_rng(5)
    ratios = []
    for _ in range(8):
        arms = users(rng, 3, sizes=(4000, 6000))
        found = difference(*with_covariates([moments(*arm) for arm in arms]))
        ratios.append(found.standard_error / interacted(arms).fit(cov_type="HC2").bse[1])
    assert max(abs(np.array(ratios) - 1)) < 0.006


def test_intervals_hold_the_truth_in_small_arms():
    """60 and 90 users, three covariates, spread that depends on them: 95 % intervals, 500 experiments."""
    rng = np.random.default_rng(6)
    hits = 0
    for _ in range(500):
        arms = []
        for n, gain in ((60, 0.0), (90, 0.4)):
            x = rng.normal(size=(n, 3))
            y = x @ np.array([1.0, 0.5, -0.5]) + rng.normal(0, 0.7 + 0.3 * abs(x[:, 0]), n) + gain
            arms.append(moments(y, x))
        interval = absolute(difference(*with_covariates(arms)), 0.05)
        hits += interval.lower <= 0.4 <= interval.upper
    assert 0.92 <= hits / 500 <= 0.975


def test_with_one_covariate_and_equal_arms_it_is_nearly_cuped():
    rng = np.random.default_rng(7)
    ((a, x), (b, z)) = users(rng, 1, sizes=(5000, 5000))
    found = difference(*with_covariates([moments(a, x), moments(b, z)]))
    joined = sm.OLS(
        np.concatenate([a, b]),
        np.column_stack([np.ones(10_000), np.repeat([0.0, 1.0], 5000), np.concatenate([x, z])[:, 0]]),
    ).fit()
    assert found.estimate == pytest.approx(joined.params[1], abs=0.02 * found.standard_error)


def test_repetitions_and_constants_change_nothing():
    rng = np.random.default_rng(8)
    arms = users(rng, 2)
    more = [(y, np.column_stack([x, x[:, 0] * 3 - 7, np.full(len(y), 4.0), x.sum(axis=1)])) for y, x in arms]
    plain, doubled = (difference(*with_covariates([moments(*arm) for arm in each])) for each in (arms, more))
    assert doubled.estimate == pytest.approx(plain.estimate, rel=1e-6)
    assert doubled.standard_error == pytest.approx(plain.standard_error, rel=1e-6)


def test_an_arm_that_cannot_be_adjusted_keeps_its_mean():
    few = Moments(n=4, mean=(1.0, 2.0, 3.0), covariance=((1.0, 0.9, 0.9), (0.9, 1.0, 0.5), (0.9, 0.5, 1.0)))
    flat = Moments(n=90, mean=(1.0, 2.0, 3.0), covariance=((1.0, 0.0, 0.0), (0.0, 0.0, 0.0), (0.0, 0.0, 0.0)))
    nobody = Moments(n=0, mean=(0.0, 0.0, 0.0), covariance=((0.0,) * 3,) * 3)
    for arm in with_covariates([few, flat, nobody]):
        assert (arm.mean_x, arm.variance_x, arm.covariance_xy) == (0.0, 0.0, 0.0)
    assert [arm.n for arm in with_covariates([nobody, nobody])] == [0, 0]
    broken = Moments(n=90, mean=(math.nan, 0.0), covariance=((math.nan, 0.0), (0.0, 1.0)))
    assert math.isnan(with_covariates([broken, broken])[0].mean)


def test_more_arms_are_centred_together():
    rng = np.random.default_rng(9)
    arms = users(rng, 2, sizes=(200, 300, 250))
    made = with_covariates([moments(*arm) for arm in arms])
    centre = np.vstack([x for _, x in arms]).mean(axis=0)
    for arm, (y, x) in zip(made, arms, strict=True):
        fit = sm.OLS(y, np.column_stack([np.ones(len(y)), x - centre])).fit()
        assert arm.mean - arm.mean_x == pytest.approx(fit.params[0], rel=CLOSE)
