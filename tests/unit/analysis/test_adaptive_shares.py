"""Score intervals over epochs: against statsmodels for one epoch, against their own definition for several."""

import numpy as np
import pytest
from scipy import special
from statsmodels.stats.proportion import confint_proportions_2indep, proportions_ztest

from analysis.stats.adaptive_shares import Shares, limits, limits_of_lift, p_values, score, score_of_lift
from analysis.stats.reasons import Reason


def shares(users: list[int], n_c: list[int], x_c: list[int], n_t: list[int], x_t: list[int]) -> Shares:
    parts = zip(("users", "n_c", "x_c", "n_t", "x_t"), (users, n_c, x_c, n_t, x_t), strict=True)
    return Shares(**{name: np.array(values, dtype=float) for name, values in parts})


ONE = shares([3000], [400], [30], [1500], [160])
THREE = shares([900, 1000, 1100], [300, 100, 60], [15, 8, 7], [300, 700, 900], [21, 60, 101])


def test_without_an_effect_one_epoch_is_the_pooled_z_test() -> None:
    z, p = proportions_ztest([160, 30], [1500, 400])
    assert float(score(ONE, np.float64(0))) == pytest.approx(z, rel=1e-12)
    assert float(p_values(ONE)) == pytest.approx(p, rel=1e-10)


def test_one_epoch_is_near_the_score_intervals_of_statsmodels() -> None:
    """They take the rate under the hypothesis by maximum likelihood, we from the pooled counts."""
    for x_t, n_t, x_c, n_c in ((110, 900, 80, 1000), (60, 400, 80, 1000), (40, 300, 150, 1500)):
        one = shares([3000], [n_c], [x_c], [n_t], [x_t])
        for compare, ends, shift in (
            ("diff", limits(one, 0.05), 0),
            ("ratio", limits_of_lift(one, 0.05)[::2], 1),
        ):
            known = confint_proportions_2indep(
                x_t, n_t, x_c, n_c, compare=compare, method="score", correction=False
            )
            near = 0.01 * (known[1] - known[0])
            assert [float(each) + shift for each in ends] == pytest.approx(known, abs=near)


def test_the_limits_are_where_the_score_is_critical() -> None:
    for level in (0.05, 0.001):
        critical = -float(special.ndtri(level / 2))
        lower, upper = limits(THREE, level)
        assert float(score(THREE, lower)) == pytest.approx(critical, rel=1e-9)
        assert float(score(THREE, upper)) == pytest.approx(-critical, rel=1e-9)
        low, lift, high = limits_of_lift(THREE, level)
        assert float(score_of_lift(THREE, low)) == pytest.approx(critical, rel=1e-9)
        assert float(score_of_lift(THREE, high)) == pytest.approx(-critical, rel=1e-9)
        assert float(low) < float(lift) < float(high)


def test_difference_and_lift_say_the_same_about_nothing() -> None:
    zero = np.float64(0)
    assert float(score(THREE, zero)) == pytest.approx(float(score_of_lift(THREE, zero)), rel=1e-12)


def test_by_hand() -> None:
    """b is sqrt(N n_C n_T / n): sqrt(900 150), sqrt(1000 87.5), sqrt(1100 56.25), made to sum to 1."""
    b = np.sqrt(np.array([900 * 150, 1000 * 87.5, 1100 * 56.25]))
    b /= b.sum()
    delta = np.array([21 / 300 - 15 / 300, 60 / 700 - 8 / 100, 101 / 900 - 7 / 60])
    rate = np.array([36 / 600, 68 / 800, 108 / 960])
    square = (b**2 * rate * (1 - rate) * np.array([2 / 300, 1 / 100 + 1 / 700, 1 / 60 + 1 / 900])).sum()
    assert float(THREE.estimate) == pytest.approx(b @ delta, rel=1e-12)
    assert float(score(THREE, np.float64(0))) == pytest.approx(b @ delta / np.sqrt(square), rel=1e-12)


def test_many_worlds_are_the_worlds_one_by_one() -> None:
    rng = np.random.default_rng(3)
    n_c, n_t = (rng.integers(0, 200, (50, 4)).astype(float) for _ in range(2))
    many = Shares(
        users=n_c + n_t + 10.0, n_c=n_c, x_c=rng.binomial(n_c.astype(int), 0.1).astype(float),
        n_t=n_t, x_t=rng.binomial(n_t.astype(int), 0.1).astype(float),
    )  # fmt: skip
    lower, upper = limits(many, 0.05)
    for i in range(50):
        one = Shares(**{name: getattr(many, name)[i] for name in ("users", "n_c", "x_c", "n_t", "x_t")})
        assert [float(each) for each in limits(one, 0.05)] == [lower[i], upper[i]]


def test_ends_of_the_scale() -> None:
    nothing = shares([100, 100], [50, 20], [0, 0], [50, 80], [0, 3])
    lower, upper = limits(nothing, 0.05)
    assert -1 < float(lower) < 0 < float(nothing.estimate) < float(upper) < 1
    everybody = shares([100], [50], [0], [50], [50])
    lower, upper = limits(everybody, 0.05)
    assert (float(everybody.estimate), float(upper)) == (1.0, 1.0)
    assert 0.8 < float(lower) < 1.0
    assert int(shares([10], [5], [0], [5], [0]).reason()) == Reason.NO_SPREAD
    assert int(shares([10], [5], [5], [5], [5]).reason()) == Reason.NO_SPREAD
    assert int(shares([10], [0], [0], [5], [2]).reason()) == Reason.NO_EPOCH
