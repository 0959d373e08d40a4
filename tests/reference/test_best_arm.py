"""P(best) against closed forms and against drawing: Evan Miller's exact sum for two betas, the normal cdf for two normals."""

import numpy as np
import pytest
from scipy import special, stats

from analysis.stats.best_arm import beta_best, gaussian_best

RNG = np.random.default_rng(8)


@pytest.mark.parametrize("_", range(40))
def test_two_normals(_: int) -> None:
    mean, se = RNG.normal(size=2) * 10 ** RNG.uniform(-3, 1), 10 ** RNG.uniform(-4, 2, size=2)
    want = stats.norm.cdf((mean[1] - mean[0]) / np.hypot(*se))
    assert gaussian_best(mean, se)[1] == pytest.approx(want, abs=1e-9)
    assert gaussian_best(mean, se, maximise=False)[0] == pytest.approx(want, abs=1e-9)


def exact(a: int, b: int, c: int, d: int) -> float:
    """P(Beta(c, d) > Beta(a, b)) = sum_{i < c} B(a + i, b + d) / ((d + i) B(1 + i, d) B(a, b)), all whole (Miller 2014)."""
    i = np.arange(c)
    return float(
        np.exp(
            special.betaln(a + i, b + d) - np.log(d + i) - special.betaln(1 + i, d) - special.betaln(a, b)
        ).sum()
    )


@pytest.mark.parametrize("_", range(40))
def test_two_betas(_: int) -> None:
    a, b, c, d = (10 ** RNG.uniform(0, 3.5, size=4)).astype(int).tolist()
    found = beta_best([a - 1, c - 1], [b - 1, d - 1])
    assert found[1] == pytest.approx(exact(a, b, c, d), abs=1e-9)
    # The smallest rate is the largest rate of failures.
    assert beta_best([a - 1, c - 1], [b - 1, d - 1], maximise=False)[0] == pytest.approx(found[1], abs=1e-9)


@pytest.mark.parametrize("arms", range(3, 11))
def test_many_normals_as_drawn(arms: int) -> None:
    rng = np.random.default_rng(arms)
    mean, se, draws = rng.normal(size=arms) / 2, 10 ** rng.uniform(-2, 0.3, size=arms), 1_000_000
    drawn = np.bincount((mean + se * rng.normal(size=(draws, arms))).argmax(axis=1), minlength=arms) / draws
    assert gaussian_best(mean, se) == pytest.approx(drawn, abs=5 * 0.5 / draws**0.5)


@pytest.mark.parametrize("arms", [3, 6, 10])
def test_many_betas_as_drawn(arms: int) -> None:
    rng = np.random.default_rng(arms)
    wins, losses, draws = rng.uniform(0, 40, size=arms), rng.uniform(0, 400, size=arms), 1_000_000
    values = rng.beta(1 + wins, 1 + losses, size=(draws, arms))
    drawn = np.bincount(values.argmax(axis=1), minlength=arms) / draws
    assert beta_best(wins, losses) == pytest.approx(drawn, abs=5 * 0.5 / draws**0.5)


def test_extremes() -> None:
    assert gaussian_best([0.3] * 5, [0.1] * 5) == pytest.approx([0.2] * 5, abs=1e-12)
    assert gaussian_best([0, 0, 0], [0, 0, 0]) == pytest.approx([1 / 3] * 3, abs=1e-12)
    assert gaussian_best([1, 0], [0, 0]).tolist() == [1.0, 0.0]
    assert gaussian_best([1, 1, 0], [0, 0, 1])[2] == pytest.approx(stats.norm.sf(1), abs=1e-6)
    assert gaussian_best([9.0, 0, 0], [0.1, 0.1, 0.1]) == pytest.approx([1, 0, 0], abs=1e-12)
    assert beta_best([0, 0, 0, 0], [0, 0, 0, 0]) == pytest.approx([0.25] * 4, abs=1e-12)
    assert beta_best([1e6, 1e6 + 1e4], [9e6, 9e6]).sum() == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize(
    ("mean", "se"), [([0.0, float("nan")], [1.0, 1.0]), ([0.0, 1.0], [1.0, -1.0]), (1.0, 1.0)]
)
def test_what_is_no_posterior_is_refused(mean: object, se: object) -> None:
    with pytest.raises(ValueError, match="standard error"):
        gaussian_best(mean, se)


@pytest.mark.parametrize(
    "two", [(1e-9, 2e-9), (2.5e-4, 2.5e-4), (1e-3, 3.0), (0.01, 0.03), (0.2, 0.5), (40.0, 70.0)]
)
def test_rates_next_to_0_or_1_are_told_apart_by_their_order(two: tuple[float, float]) -> None:
    """-log(1 - x) of Beta(1, b) is exponential with rate b, and so is -log(x) of Beta(b, 1)."""
    first, second = two
    expected = [second / (first + second), first / (first + second)]
    assert beta_best([0, 0], [0, 0], prior=(1, two)) == pytest.approx(expected, abs=1e-4)
    assert beta_best([0, 0], [0, 0], prior=(two, 1)) == pytest.approx(expected[::-1], abs=1e-4)
    assert beta_best([0, 0], [0, 0], prior=(two, 1), maximise=False) == pytest.approx(expected, abs=1e-4)


def test_an_arm_in_which_everybody_converts_is_not_confused() -> None:
    assert beta_best([1000, 1000], [0, 0], prior=(1, 2.5e-4)).tolist() == [0.5, 0.5]
    assert beta_best([1e6, 1e6 - 1], [0, 1], prior=(1, 1e-6)) == pytest.approx([1, 0], abs=1e-6)


def test_negative_counts_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 0"):
        beta_best([-1, 2], [3, 4])
