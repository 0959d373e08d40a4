"""Delays of conversions: the curve against statsmodels, rates without bias while most users are young."""

import numpy as np
import pytest
from statsmodels.duration.survfunc import SurvfuncRight

from analysis.stats.delays import curve_variance, delay_curve

BINS = 6


def users_of(
    rng: np.random.Generator, rates: np.ndarray, chances: np.ndarray, per_age: int
) -> tuple[np.ndarray, np.ndarray]:
    """Users by age (BINS + 1), conversions by age and delay; rates by age, so that they may drift."""
    users = np.full(BINS + 1, per_age)
    drawn = np.stack([rng.multinomial(per_age, [*(rate * chances), 1 - rate])[:-1] for rate in rates])
    return users, np.where(np.tri(BINS + 1, BINS, -1, dtype=bool), drawn, 0)


def corrected_rate(conversions: int, users: np.ndarray, seen: np.ndarray) -> tuple[float, float]:
    """C / E, E = sum_a n_a F(e_a), of users who were alike; and its error: binomial, and (Greenwood) that of the curve."""
    curve = delay_curve(seen[None], pooling=0)
    watched = users * curve.developed[0]
    effective = watched.sum()
    rate = conversions / effective
    binomial = rate * (effective - rate * (watched * curve.developed[0]).sum()) / effective**2
    return rate, float(np.sqrt(binomial + rate**2 * curve_variance(watched[None] / effective, curve)[0]))


@pytest.mark.parametrize("seed", range(10))
def test_it_is_kaplan_meier_in_reversed_time(seed: int) -> None:
    rng = np.random.default_rng(seed)
    _, seen = users_of(rng, np.full(BINS + 1, 0.3), rng.dirichlet(np.ones(BINS)), 400)
    age, delay = np.nonzero(seen)
    # In reversed time a conversion is at BINS - delay, and is under observation from BINS - age on (its delay is below its age).
    reference = SurvfuncRight(
        (BINS - delay).astype(float),
        np.ones(len(age)),
        entry=(BINS - age).astype(float),
        freq_weights=seen[age, delay],
    )
    curve = delay_curve(seen[None], pooling=0)
    # S(x) = P(BINS - delay > x) = P(delay < BINS - x) = F at the edge BINS - x.
    for at, survived in zip(reference.surv_times, reference.surv_prob, strict=True):
        assert curve.developed[0, int(BINS - at)] == pytest.approx(survived, abs=1e-9)


def test_rates_are_unbiased_while_most_users_are_young() -> None:
    rng, chances, found, errors, naive = (
        np.random.default_rng(3),
        np.array([0.05, 0.1, 0.1, 0.15, 0.3, 0.3]),
        [],
        [],
        [],
    )
    ages = np.array([4000, 4000, 4000, 4000, 4000, 2000, 1000])
    for _ in range(800):
        drawn = np.stack([rng.multinomial(n, [*(0.06 * chances), 0.94])[:-1] for n in ages])
        seen = np.where(np.tri(BINS + 1, BINS, -1, dtype=bool), drawn, 0)
        rate, error = corrected_rate(int(seen.sum()), ages, seen)
        found.append(rate)
        errors.append(error)
        naive.append(seen.sum() / ages.sum())
    assert np.mean(naive) < 0.025
    # Ratio estimates of a curve known from 30 conversions: a bias of a tenth of the error is allowed.
    assert np.mean(found) == pytest.approx(0.06, abs=0.15 * np.std(found))
    covered = np.abs(np.array(found) - 0.06) < 1.96 * np.array(errors)
    assert 0.91 < covered.mean() < 0.98


def test_a_base_rate_that_rises_does_not_bend_the_curve() -> None:
    rng, chances = np.random.default_rng(4), np.array([0.4, 0.2, 0.1, 0.1, 0.1, 0.1])
    rising = np.linspace(0.4, 0.1, BINS + 1)  # the youngest at four times the rate of the oldest
    _, seen = users_of(rng, rising, chances, 200_000)
    assert delay_curve(seen[None]).developed[0] == pytest.approx([0, *np.cumsum(chances)], abs=0.01)


def test_an_arm_with_few_conversions_borrows_the_pooled_curve() -> None:
    rng = np.random.default_rng(5)
    _, fast = users_of(rng, np.full(BINS + 1, 0.3), np.array([0.9, 0.1, 0, 0, 0, 0]), 5000)
    _, slow = users_of(rng, np.full(BINS + 1, 0.3), np.array([0, 0, 0, 0, 0.5, 0.5]), 5000)
    none = np.zeros_like(fast)
    apart = delay_curve(np.stack([fast, slow]))
    assert apart.developed[1, 4] < 0.02
    assert apart.developed[0, 1] == pytest.approx(0.9, abs=0.02)
    borrowed = delay_curve(np.stack([fast, none]))
    assert borrowed.developed[1] == pytest.approx(borrowed.developed[0], abs=0.01)


def test_the_tail_is_unknown_before_a_window_has_closed() -> None:
    seen = np.zeros((1, BINS + 1, BINS))
    seen[0, BINS - 1, 0] = 50
    assert delay_curve(seen).tail == 0
    seen[0, BINS, 2] = 7
    assert delay_curve(seen).tail == 7


@pytest.mark.parametrize("bad", [np.zeros((2, 3)), np.zeros((1, 3, 3)), -np.ones((1, 3, 2))])
def test_what_is_no_count_is_refused(bad: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"conversions have|counts and pooling"):
        delay_curve(bad)


def test_conversions_that_nobody_could_have_watched_are_ignored() -> None:
    watched = np.array([[[0.0, 0.0], [30.0, 0.0], [20.0, 20.0]]])
    beyond = watched + np.array([[[500.0, 500.0], [0.0, 500.0], [0.0, 0.0]]])
    assert delay_curve(beyond).developed.tolist() == delay_curve(watched).developed.tolist()
