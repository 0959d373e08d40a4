import math

import numpy as np
import pytest

from analysis.stats.aggregates import Aggregate
from analysis.stats.difference import (
    Difference,
    absolute,
    critical_value,
    cuped_theta,
    difference,
    linearise_ratio,
    p_value,
    relative,
    relative_by_mapping,
)
from analysis.stats.errors import InsufficientData
from tests.unit.analysis.test_aggregates import of_values


def arm(n=100, mean=1.0, variance=1.0, **more):
    return Aggregate(n=n, mean=mean, variance=variance, **more)


@pytest.mark.parametrize(
    ("control", "treatment", "reason"),
    [
        (arm(n=0), arm(), "no users"),
        (arm(n=1, variance=0.0), arm(), "only one user"),
        (arm(variance=0.0), arm(variance=0.0), "varies"),
        (arm(mean=math.nan), arm(), "finite"),
        (arm(), arm(variance=math.inf), "finite"),
        (arm(variance=1e308), arm(variance=1.7e308, n=2), "large|finite"),
    ],
)
def test_what_cannot_be_told_has_a_reason(control, treatment, reason):
    if reason == "large|finite":
        # Still finite after division by n: it must either work or say why.
        assert math.isfinite(difference(control, treatment).standard_error)
        return
    with pytest.raises(InsufficientData, match=reason):
        difference(control, treatment)


def test_one_arm_without_spread_is_still_comparable():
    found = difference(arm(variance=0.0), arm(mean=2.0))
    assert found.standard_error == pytest.approx(0.1)
    assert found.degrees_of_freedom == pytest.approx(99)


def test_lift_by_the_delta_method_is_the_formula():
    c, t = arm(n=400, mean=2.0, variance=3.0), arm(n=300, mean=2.5, variance=5.0)
    found = relative(difference(c, t), 0.05)
    variance = 5 / (300 * 2.0**2) + 3 * 2.5**2 / (400 * 2.0**4)
    half = critical_value(0.05, difference(c, t).degrees_of_freedom) * math.sqrt(variance)
    assert found.estimate == pytest.approx(0.25)
    assert found.upper - found.lower == pytest.approx(2 * half, rel=1e-12)


def test_lift_near_zero_is_fieller_and_agrees_with_the_test_of_no_effect():
    c, t = arm(n=100, mean=0.25, variance=1.0), arm(n=100, mean=0.80, variance=1.0)
    d = difference(c, t)
    assert 2 < d.control_mean / math.sqrt(d.control_variance) < 3
    found = relative(d, 0.05)
    assert found.lower > 0  # p < 0.05, and Fieller's set excludes 0 exactly then
    assert p_value(d) < 0.05
    assert found.upper - found.estimate > found.estimate - found.lower  # skewed, as it should be


@pytest.mark.parametrize("mean", [0.0, -1.0, 0.05])
def test_no_lift_without_a_clear_control_mean(mean):
    found = difference(arm(mean=mean), arm(mean=0.3))
    with pytest.raises(InsufficientData, match="control mean"):
        relative(found, 0.05)
    with pytest.raises(InsufficientData, match="control mean"):
        relative_by_mapping(found, absolute(found, 0.05))


def test_mapped_lift_decides_as_the_absolute_interval():
    found = difference(arm(n=1000), arm(n=1000, mean=1.09))
    interval = absolute(found, 0.05)
    lift = relative_by_mapping(found, interval)
    assert (lift.lower > 0) == (interval.lower > 0)
    assert lift.upper == pytest.approx(interval.upper)


def test_ratio_is_the_ratio_of_sums():
    rng = np.random.default_rng(2)
    d = rng.poisson(5, 4000) + 1.0
    y = d * 0.3 + rng.normal(0, 1, 4000)
    found = linearise_ratio(of_values(y, d))
    assert found.mean == pytest.approx(y.sum() / d.sum())
    residual = (y - found.mean * d) / d.mean()
    assert found.variance == pytest.approx(np.var(residual, ddof=1), rel=1e-9)


def test_ratio_without_denominator():
    with pytest.raises(InsufficientData, match="denominator"):
        linearise_ratio(arm(mean_d=0.0, variance_d=0.0, covariance_yd=0.0))
    with pytest.raises(ValueError, match="denominator"):
        linearise_ratio(arm())


def test_cuped_removes_the_share_that_the_covariate_explains():
    rng = np.random.default_rng(3)
    arms = []
    for shift in (0.0, 0.2):
        x = rng.normal(10, 2, 20_000)
        arms.append(of_values(shift + 0.8 * x + rng.normal(0, 1.2, x.size), x=x))
    found, plain = (
        difference(*arms),
        difference(*(arm(n=a.n, mean=a.mean, variance=a.variance) for a in arms)),
    )
    rho2 = 0.8**2 * 4 / (0.8**2 * 4 + 1.2**2)
    assert found.variance_reduction == pytest.approx(rho2, abs=0.01)
    assert found.standard_error == pytest.approx(plain.standard_error * math.sqrt(1 - rho2), rel=0.02)
    assert found.control_mean == plain.control_mean


def test_cuped_of_a_ratio_uses_the_linearised_covariance():
    rng = np.random.default_rng(4)
    arms, raw = [], []
    for shift in (0.0, 0.05):
        x = rng.normal(0, 1, 5000)
        d = rng.poisson(4, 5000) + 1.0
        y = d * (0.5 + shift) + x + rng.normal(0, 1, 5000)
        arms.append(of_values(y, d, x))
        raw.append((y, d, x))
    found = difference(*arms)
    linear = []
    for (y, d, x), a in zip(raw, arms, strict=True):
        ratio = a.mean / a.mean_d
        linear.append(of_values(ratio + (y - ratio * d) / d.mean(), x=x))
    expected = difference(*linear)
    assert found.estimate == pytest.approx(expected.estimate, rel=1e-9)
    assert found.standard_error == pytest.approx(expected.standard_error, rel=1e-9)
    assert found.variance_reduction > 0.3


def test_a_covariate_that_never_varies_changes_nothing():
    flat = {"mean_x": 3.0, "variance_x": 0.0, "covariance_xy": 0.0}
    assert cuped_theta(arm(**flat), arm(**flat)) == 0.0
    assert difference(arm(**flat), arm(mean=2.0, **flat)).estimate == 1.0
    with pytest.raises(ValueError, match="covariate"):
        cuped_theta(arm(), arm())


def test_a_level_is_a_probability():
    with pytest.raises(ValueError, match="level"):
        critical_value(0.0, None)


def test_an_interval_that_cannot_be_written_down_is_refused():
    found = Difference(
        estimate=1e300,
        standard_error=1e300,
        degrees_of_freedom=1.0,
        n=4,
        control_mean=1.0,
        control_variance=1.0,
        covariance=0.0,
    )
    with pytest.raises(InsufficientData):
        absolute(found, 1e-12)
