"""Chance by key: reproducible, uniform, independent of order."""

import numpy as np
import pytest
from scipy import stats

from delivery.simulator.draws import DELAY_SPAN, amounts, delays, uniform, uniforms

KEYS = [f"user-{number}" for number in range(20_000)]


def test_a_row_depends_on_its_key_only():
    everyone = uniforms(1, "person", KEYS[:100])
    assert np.array_equal(uniforms(1, "person", KEYS[99:49:-1]), everyone[99:49:-1])
    assert not np.any(uniforms(2, "person", KEYS[:100]) == everyone)
    assert not np.any(uniforms(1, "delay", KEYS[:100]) == everyone)
    assert uniforms(1, "person", []).shape == (0, 8)


def test_draws_are_uniform_and_uncorrelated():
    u = uniforms(3, "person", KEYS)
    for column in u.T:
        assert stats.kstest(column, "uniform").pvalue > 1e-4
    others = np.hstack([u, uniforms(3, "other", KEYS)])
    correlations = np.corrcoef(others.T) - np.eye(16)
    assert np.abs(correlations).max() < 5 / np.sqrt(len(KEYS))
    singles = [uniform(3, "post", key) for key in KEYS[:2000]]
    assert stats.kstest(singles, "uniform").pvalue > 1e-4


def test_delays_are_a_cut_exponential():
    # Mean of an exponential distribution cut off at s scales: 1 - s / (e^s - 1).
    drawn = delays(uniforms(4, "delay", KEYS)[:, 0], 10.0)
    assert drawn.min() >= 0
    assert drawn.max() <= 10 * DELAY_SPAN
    assert drawn.mean() == pytest.approx(10 * (1 - DELAY_SPAN / np.expm1(DELAY_SPAN)), rel=0.03)


def test_amounts_have_the_mean_that_was_asked_for():
    size = len(KEYS)
    drawn = amounts(uniforms(5, "person", KEYS)[:, 3], np.full(size, 80.0), np.full(size, 0.5))
    assert drawn.mean() == pytest.approx(80, rel=0.02)
    assert np.log(drawn).std() == pytest.approx(0.5, rel=0.03)
    assert np.all(amounts(np.array([0.0, 0.5]), np.zeros(2), np.ones(2)) == 0)
    assert np.all(np.isfinite(amounts(np.array([0.0, 1.0]), np.ones(2), np.ones(2))))
