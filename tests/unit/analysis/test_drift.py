"""Means by epoch: a base rate that doubles favours nobody."""

import numpy as np
import pytest

from analysis.stats.drift import comparable, epoch_weighted


def drifting(runs: int, seed: int = 1) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Two equal arms in 10 epochs; the base rate doubles while the second arm grows from 10 % to 90 %. n, totals, shares."""
    rng = np.random.default_rng(seed)
    share, rate = np.linspace(0.1, 0.9, 10), np.linspace(0.05, 0.1, 10)
    n = np.stack([rng.binomial(1000, 1 - share, size=(runs, 10)), np.zeros((runs, 10), dtype=int)], axis=-1)
    n[..., 1] = 1000 - n[..., 0]
    return n, rng.binomial(n, rate[:, None]), rate


def test_the_pooled_mean_favours_the_arm_that_was_large_on_the_good_days_and_this_one_does_not() -> None:
    n, total, rate = drifting(4000)
    found = epoch_weighted(n, total, total)
    delta = found.mean[:, 1] - found.mean[:, 0]
    pooled = total.sum(axis=1) / n.sum(axis=1)
    bent = (pooled[:, 1] - pooled[:, 0]).mean()
    assert bent > 0.015
    assert abs(delta.mean()) < 4 * delta.std() / 4000**0.5
    assert found.mean.mean() == pytest.approx(rate.mean(), rel=0.01)
    z = delta / np.hypot(found.se[:, 0], found.se[:, 1])
    assert (np.abs(z) > 1.96).mean() == pytest.approx(0.05, abs=0.02)


def test_an_epoch_without_users_of_an_active_arm_is_left_out() -> None:
    n, total = [[100, 0], [50, 50], [0, 0]], [[90, 0], [5, 10], [0, 0]]
    found = epoch_weighted(n, total, total)
    assert found.used.tolist() == [False, True, False]
    assert found.mean.tolist() == [0.1, 0.2]
    assert comparable(n, [True, False]).tolist() == [True, True, False]


def test_nothing_in_common_is_no_mean() -> None:
    found = epoch_weighted([[100, 0], [0, 100]], [[10, 0], [0, 10]], [[10, 0], [0, 10]])
    assert not found.used.any()
    assert found.mean.tolist() == found.se.tolist() == [0.0, 0.0]


def test_negative_counts_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 0"):
        epoch_weighted([[-1, 2]], [[0, 0]], [[0, 0]])
