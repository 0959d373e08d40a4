import math
from itertools import pairwise

import pytest
from scipy import integrate, stats

from analysis.stats.aggregates import Aggregate
from analysis.stats.bayes import beta_binomial, normal_lift
from analysis.stats.difference import difference
from analysis.stats.errors import InsufficientData


@pytest.mark.parametrize(
    ("x_c", "n_c", "x_t", "n_t"),
    [(50, 1000, 65, 1000), (0, 20, 1, 20), (5, 10, 5, 10_000), (3, 200_000, 9, 100), (990, 1000, 1000, 1000)],
)
def test_quadrature_agrees_with_adaptive_integration(x_c, n_c, x_t, n_t):
    c, t = stats.beta(1 + x_c, 1 + n_c - x_c), stats.beta(1 + x_t, 1 + n_t - x_t)
    found = beta_binomial(x_c, n_c, x_t, n_t)
    cuts = sorted({float(v) for law in (c, t) for v in law.ppf([1e-9, 1e-3, 0.5, 1 - 1e-3, 1 - 1e-9])})

    def integral(f):
        edges = [0.0, *cuts, 1.0]
        return sum(integrate.quad(f, a, b, epsabs=1e-13, epsrel=1e-11)[0] for a, b in pairwise(edges))

    assert found.probability_better == pytest.approx(integral(lambda u: t.pdf(u) * c.cdf(u)), abs=1e-9)
    assert found.expected_loss == pytest.approx(integral(lambda u: t.cdf(u) * c.sf(u)), abs=1e-11)
    for end, mass in ((found.lower, 0.025), (found.upper, 0.975)):
        assert integral(lambda u, end=end: c.pdf(u) * t.cdf(u + end)) == pytest.approx(mass, abs=1e-7)


def test_lower_is_better_turns_the_question_round():
    up, down = beta_binomial(50, 1000, 65, 1000), beta_binomial(50, 1000, 65, 1000, lower_is_better=True)
    assert down.probability_better == pytest.approx(1 - up.probability_better)
    # E[max(T - C, 0)] - E[max(C - T, 0)] = E[T - C]
    assert down.expected_loss - up.expected_loss == pytest.approx(66 / 1002 - 51 / 1002, abs=1e-12)


def test_the_same_data_in_both_arms():
    assert beta_binomial(5, 50, 5, 50).probability_better == pytest.approx(0.5, abs=1e-9)
    with pytest.raises(ValueError, match="successes"):
        beta_binomial(5, 4, 1, 4)


def test_means_shrink_towards_no_lift():
    d = difference(Aggregate(n=50, mean=1.0, variance=1.0), Aggregate(n=50, mean=1.5, variance=1.0))
    found = normal_lift(d)
    lift, variance = 0.5, (1 / 50 + 1.5**2 / 50)
    posterior = 1 / (1 / 0.09 + 1 / variance)
    centre = posterior * lift / variance
    assert (found.lower + found.upper) / 2 == pytest.approx(centre)
    assert found.probability_better == pytest.approx(stats.norm.cdf(centre / math.sqrt(posterior)))
    loss = integrate.quad(lambda x: -x * stats.norm.pdf(x, centre, math.sqrt(posterior)), -5, 0)[0]
    assert found.expected_loss == pytest.approx(loss, rel=1e-6)


def test_no_belief_about_a_lift_on_nothing():
    d = difference(Aggregate(n=50, mean=0.1, variance=1.0), Aggregate(n=50, mean=1.5, variance=1.0))
    with pytest.raises(InsufficientData, match="cannot be told from 0"):
        normal_lift(d)


def test_no_belief_about_a_lift_on_a_loss_and_the_reason_is_not_that_it_is_near_nothing():
    d = difference(Aggregate(n=50, mean=-9.0, variance=1.0), Aggregate(n=50, mean=-8.0, variance=1.0))
    with pytest.raises(InsufficientData, match="control mean is negative"):
        normal_lift(d)
