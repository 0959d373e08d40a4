"""An arm that is ahead of all others: the sequential test of section 3 where it applies, no false winners, no winners from nothing."""

import numpy as np
import pytest

from analysis.stats.leading import ahead
from analysis.stats.sequential import AlwaysValid, tightest_at
from tests.unit.analysis.test_drift import drifting


def test_one_epoch_of_even_arms_gives_the_always_valid_p() -> None:
    sold = np.array([500.0, 590.0])
    found = ahead([[5000, 5000]], [sold], [sold], planned_n=8000)
    s2 = (sold - sold**2 / 5000) / 4999
    z = (sold[1] - sold[0]) / 5000 / np.sqrt(s2.sum() / 5000)
    rule = AlwaysValid(n=10_000, rho=tightest_at(8000, 0.05))
    scaled = 10_000 * rule.rho**2
    want = np.sqrt(scaled + 1) * np.exp(-(z**2) * scaled / (2 * (scaled + 1)))
    assert found.p_values[0, 1] == pytest.approx(want, rel=1e-9)
    # The same at the level of the interval: p < alpha exactly where z is beyond the critical value.
    assert (want < 0.05) == (z > rule.critical(0.05))


def test_the_winner_is_ahead_of_every_other_arm() -> None:
    n, sold = [[5000] * 3], [[300, 420, 410]]
    assert ahead(n, sold, sold).winner == -1, "second and third cannot be told apart"
    assert ahead(n, [[300, 420, 250]], [[300, 420, 250]]).winner == 1
    assert ahead(n, [[300, 420, 200]], [[300, 420, 200]], maximise=False).winner == 2
    assert ahead(n, sold, sold, active=[True, True, False]).winner == 1
    assert ahead(n, sold, sold, active=[True, False, False]).winner == -1


def test_a_drift_makes_no_winner() -> None:
    n, total, _ = drifting(1500)
    won = np.zeros(1500, dtype=bool)
    for look in range(1, 11):
        won |= ahead(n[:, :look], total[:, :look], total[:, :look]).winner >= 0
    assert won.mean() < 0.05
    pooled_n, pooled = n.sum(axis=1, keepdims=True), total.sum(axis=1, keepdims=True)
    assert (ahead(pooled_n, pooled, pooled).winner >= 0).mean() > 0.15, "the pooled counts would make many"


def test_few_conversions_are_not_compared() -> None:
    assert ahead([[9000, 9000]], [[0, 300]], [[0, 300]]).winner == -1
    assert ahead([[9000, 0]], [[90, 0]], [[90, 0]]).p_values.tolist() == [[1, 1], [1, 1]]


def test_of_amounts_the_larger_variance_counts() -> None:
    """An arm with few users, in which no large amount was met yet, is no surer for that; with even arms it makes no difference."""
    n, total, squares = [[9500, 500]], [[19_000, 400]], [[900_000, 2_000]]
    sold = [[500, 25]]
    own = ahead(n, total, squares, converters=sold).p_values[0, 1]
    larger = ahead(n, total, squares, converters=sold, amounts=True).p_values[0, 1]
    assert own < 1e-6
    assert larger > 0.05
    even = ([[5000, 5000]], [[9_000, 10_000]], [[450_000, 500_000]])
    one, other = (
        ahead(*even, converters=[[250, 260]], amounts=amounts).p_values for amounts in (False, True)
    )
    assert other == pytest.approx(one, rel=1e-9)
