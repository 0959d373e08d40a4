"""E-values of two proportions against numbers of the R package safestats (Turner, Ly, Grünwald), as its own tests state them."""

import math

import pytest

from analysis.stats.eprocess import log_bet


def plug_in_stream(blocks, n_c, n_t, prior):
    """The e-value of safestats: before each block the rates are the posterior means of Beta(prior * n, prior * n)."""
    total, x_c, x_t = 0.0, 0, 0
    r = n_t / (n_c + n_t)
    for seen, (c, t) in enumerate(blocks):
        theta_c = (prior * n_c + x_c) / (2 * prior * n_c + seen * n_c)
        theta_t = (prior * n_t + x_t) / (2 * prior * n_t + seen * n_t)
        null = (1 - r) * theta_c + r * theta_t
        stake = r * (theta_t - null) / (null * (1 - null))
        total += float(log_bet(n_c, c, n_t, t, share=r, rate=null, stake=stake))
        x_c, x_t = x_c + c, x_t + t
    return math.exp(total)


def test_two_blocks_with_uniform_priors():
    """safestats, tests/testthat/test-savi2x2Helpers.R, "uniform Beta priors update after one A-only success": 1, 16/9."""
    assert plug_in_stream([(0, 1)], 1, 1, prior=1) == pytest.approx(1)
    assert plug_in_stream([(0, 1), (0, 1)], 1, 1, prior=1) == pytest.approx(16 / 9, rel=1e-12)


def test_equal_arms_are_no_evidence():
    """safestats, its test "no difference, two-sided test": ten blocks of all 0 or all 1 give the e-value 1 (default prior 0.18)."""
    assert plug_in_stream([(0, 0)] * 10, 1, 1, prior=0.18) == pytest.approx(1, rel=1e-12)
    assert plug_in_stream([(1, 1)] * 10, 1, 1, prior=0.18) == pytest.approx(1, rel=1e-12)


@pytest.mark.parametrize(
    ("theta_c", "theta_t", "n_c", "n_t"), [(0.1, 0.3, 1, 1), (0.5, 0.2, 3, 1), (0.01, 0.02, 1, 9)]
)
def test_a_bet_is_the_likelihood_ratio_of_theorem_1(theta_c, theta_t, n_c, n_t):
    """arXiv 2106.02693, Theorem 1: p_theta(y) / p_theta0(y), theta0 = (n_a theta_a + n_b theta_b) / (n_a + n_b)."""
    r = n_t / (n_c + n_t)
    null = (1 - r) * theta_c + r * theta_t
    for c in range(n_c + 1):
        for t in range(n_t + 1):
            ratio = (theta_c**c * (1 - theta_c) ** (n_c - c) * theta_t**t * (1 - theta_t) ** (n_t - t)) / (
                null ** (c + t) * (1 - null) ** (n_c + n_t - c - t)
            )
            stake = r * (theta_t - null) / (null * (1 - null))
            found = log_bet(n_c, c, n_t, t, share=r, rate=null, stake=stake)
            assert math.exp(found) == pytest.approx(ratio, rel=1e-12)
