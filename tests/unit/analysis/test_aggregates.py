import math
from decimal import Decimal

import numpy as np
import pytest

from analysis.stats.aggregates import Aggregate


def of_values(y, d=None, x=None):
    """The aggregate computed by numpy, as an independent oracle."""

    def cov(a, b):
        return float(np.cov(a, b, ddof=1)[0, 1]) if len(a) > 1 else 0.0

    fields = {"n": len(y), "mean": float(np.mean(y)), "variance": float(np.var(y, ddof=1))}
    if d is not None:
        fields |= {"mean_d": float(np.mean(d)), "variance_d": cov(d, d), "covariance_yd": cov(y, d)}
    if x is not None:
        fields |= {"mean_x": float(np.mean(x)), "variance_x": cov(x, x), "covariance_xy": cov(x, y)}
    if d is not None and x is not None:
        fields["covariance_dx"] = cov(d, x)
    return Aggregate(**fields)


def test_from_sums_agrees_with_numpy():
    rng = np.random.default_rng(1)
    y, d, x = rng.normal(3, 1, 500), rng.normal(9, 2, 500), rng.normal(1, 4, 500)
    made = Aggregate.from_sums(
        500, y.sum(), y @ y, d=d.sum(), dd=d @ d, yd=y @ d, x=x.sum(), xx=x @ x, xy=x @ y, dx=d @ x
    )
    expected = of_values(y, d, x)
    for name in (
        "mean",
        "variance",
        "mean_d",
        "variance_d",
        "covariance_yd",
        "mean_x",
        "variance_x",
        "covariance_xy",
        "covariance_dx",
    ):
        assert getattr(made, name) == pytest.approx(getattr(expected, name), rel=1e-10), name
    assert made.has_denominator
    assert made.has_covariate


def test_a_shift_keeps_the_digits_that_a_large_mean_would_lose():
    y = 1e9 + np.arange(100.0)
    assert Aggregate.from_sums(
        100, (y - 1e9).sum(), ((y - 1e9) ** 2).sum(), shift_y=1e9
    ).variance == pytest.approx(np.var(np.arange(100.0), ddof=1), rel=1e-14)


def test_rounding_of_equal_values_is_not_taken_for_spread():
    values = [0.1] * 100_000
    total = square = 0.0
    for value in values:
        total += value
        square += value * value
    assert Aggregate.from_sums(len(values), total, square).variance == 0.0


def test_sums_may_be_decimals_as_databases_return_them():
    assert Aggregate.from_sums(4, Decimal(10), Decimal(30)).mean == 2.5


def test_small_samples_have_no_variance():
    assert Aggregate.from_sums(0, 0, 0) == Aggregate(n=0, mean=0.0, variance=0.0)
    assert Aggregate.from_sums(1, 5, 25) == Aggregate(n=1, mean=5.0, variance=0.0)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_broken_source_is_seen(bad):
    assert not Aggregate.from_sums(10, bad, 1.0).is_finite
    assert not Aggregate.from_sums(10, 1.0, bad).is_finite


def test_a_ratio_with_a_covariate_needs_all_three_covariances():
    known = {"n": 3, "mean": 1.0, "variance": 1.0, "mean_x": 1.0, "variance_x": 1.0, "covariance_xy": 0.5}
    assert Aggregate(**known).has_covariate
    assert not Aggregate(**known, mean_d=1.0, variance_d=1.0, covariance_yd=0.1).has_covariate


@pytest.mark.parametrize(("n", "successes"), [(3, 4), (3, -1)])
def test_impossible_counts_are_refused(n, successes):
    with pytest.raises(ValueError, match="successes"):
        Aggregate.from_counts(n, successes)
    with pytest.raises(ValueError, match="negative"):
        Aggregate.from_sums(-1, 0, 0)
