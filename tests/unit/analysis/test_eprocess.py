import math

import numpy as np
import pytest
from scipy import special, stats

from analysis.stats.eprocess import bet_size, exact_sequential, log_bet, log_e_value
from analysis.stats.errors import InsufficientData

USERS = 12


def tables(users):
    """Every outcome of so many users: counts of (control 0, control 1, treatment 0, treatment 1)."""
    some = np.array(np.meshgrid(*[np.arange(users + 1)] * 3, indexing="ij")).reshape(3, -1)
    some = some[:, some.sum(axis=0) <= users]
    return np.vstack([some, users - some.sum(axis=0)])


def chances(cells, share, p_c, p_t):
    """The chance of each outcome when every user is drawn into treatment with this share."""
    each = np.array([(1 - share) * (1 - p_c), (1 - share) * p_c, share * (1 - p_t), share * p_t])
    log = special.xlogy(cells, each[:, None]).sum(axis=0) - special.gammaln(cells + 1).sum(axis=0)
    return np.exp(log + special.gammaln(cells.sum(axis=0) + 1))


@pytest.mark.parametrize("share", [0.5, 0.1])
@pytest.mark.parametrize(("p_c", "p_t"), [(0.02, 0.02), (0.4, 0.4), (0.3, 0.5), (0.9, 0.4)])
@pytest.mark.parametrize("margin", [0.0, 0.2, -0.1])
def test_a_bet_is_fair_exactly_at_its_hypothesis(share, p_c, p_t, margin):
    rate, stake = 0.3, 0.05
    cells = tables(USERS)
    c0, c1, t0, t1 = cells
    won = np.exp(log_bet(c0 + c1, c1, t0 + t1, t1, share=share, rate=rate, stake=stake, margin=margin))
    expected = (won * chances(cells, share, p_c, p_t)).sum()
    assert expected == pytest.approx((1 + stake * (p_t - p_c - margin)) ** USERS, rel=1e-10)


@pytest.mark.parametrize("share", [0.5, 0.2])
@pytest.mark.parametrize("margin", [0.0, 0.1])
def test_the_evidence_has_expectation_at_most_1_under_every_null(share, margin):
    cells = tables(USERS)
    c0, c1, t0, t1 = cells
    told = (c0 + c1 > 0) & (t0 + t1 > 0)  # an empty arm gives no evidence
    c0, c1, t0, t1 = cells[:, told]
    won = np.exp(log_e_value(c0 + c1, c1, t0 + t1, t1, share=share, size=bet_size(80, 0.05), margin=margin))
    assert won.max() > 5  # it can win
    for p_c in (0.01, 0.1, 0.4, 0.8):
        for p_t in np.unique(np.clip([p_c + margin, p_c + margin / 2, p_c, p_c - 0.2], 0, 1)):
            assert (won * chances(cells, share, p_c, p_t)[told]).sum() <= 1 + 1e-12


@pytest.mark.parametrize("share", [None, 0.5, 0.9])
def test_one_look_at_arms_of_any_size_is_valid_whatever_made_them_so(share):
    n_c, n_t, margin = 15, 6, 0.05
    x_c, x_t = (each.ravel() for each in np.meshgrid(np.arange(n_c + 1), np.arange(n_t + 1)))
    won = np.exp(log_e_value(n_c, x_c, n_t, x_t, share=share, size=bet_size(80, 0.05), margin=margin))
    for p_c in (0.01, 0.1, 0.4, 0.8):
        for p_t in (p_c + margin, p_c, p_c / 2):
            chance = stats.binom.pmf(x_c, n_c, p_c) * stats.binom.pmf(x_t, n_t, p_t)
            assert (won * chance).sum() <= 1 + 1e-12


@pytest.mark.parametrize(("share", "rate", "alpha"), [(0.5, 0.5, 0.05), (0.3, 0.2, 0.3), (0.5, 0.05, 0.5)])
def test_a_look_after_every_user_keeps_the_promise(share, rate, alpha):
    """Exact, by walking through all sequences of 20 users: how likely is p < alpha at any of 20 looks?"""
    users, size = 20, bet_size(80, alpha)
    alive, rejected = {(0, 0, 0, 0): 1.0}, 0.0
    steps = {
        (1, 0, 0, 0): (1 - share) * (1 - rate), (0, 1, 0, 0): (1 - share) * rate,
        (0, 0, 1, 0): share * (1 - rate), (0, 0, 0, 1): share * rate,
    }  # fmt: skip
    for _ in range(users):
        after: dict[tuple[int, ...], float] = {}
        for state, chance in alive.items():
            for step, odds in steps.items():
                reached = tuple(a + b for a, b in zip(state, step, strict=True))
                after[reached] = after.get(reached, 0.0) + chance * odds
        c0, c1, t0, t1 = np.array(list(after)).T
        n_c, n_t, both = c0 + c1, t0 + t1, (c0 + c1 > 0) & (t0 + t1 > 0)
        won = np.full(len(both), -np.inf)
        c, t = (n_c[both], c1[both]), (n_t[both], t1[both])
        won[both] = np.maximum(
            log_e_value(*c, *t, share=share, size=size), log_e_value(*t, *c, share=1 - share, size=size)
        )
        out = won > math.log(2 / alpha)
        rejected += sum(chance for chance, hit in zip(after.values(), out, strict=True) if hit)
        alive = {state: chance for (state, chance), hit in zip(after.items(), out, strict=True) if not hit}
    assert 0 < rejected <= alpha


def test_far_more_users_than_planned_still_shrink_the_interval():
    widths = []
    for n in (5_000, 500_000, 10_000_000):
        interval = exact_sequential(n, n // 100, n, n // 100, share=0.5).interval(0.05)
        widths.append(interval.upper - interval.lower)
        assert interval.upper - interval.lower < 2.4 * 2 * 1.96 * math.sqrt(2 * 0.01 * 0.99 / n)
    assert widths == sorted(widths, reverse=True)


def test_a_designed_share_that_was_not_kept_is_not_taken_for_an_effect():
    skewed = exact_sequential(9_000, 900, 1_000, 100, share=0.5)
    assert skewed.p_value() == 1.0
    assert skewed.interval(0.05).lower < 0 < skewed.interval(0.05).upper


@pytest.mark.parametrize(
    "counts",
    [
        (1, 0, 1, 1),
        (50, 0, 50, 0),
        (50, 50, 50, 50),
        (50, 0, 50, 50),
        (1, 0, 10**7, 3),
        (10**7, 0, 10**7, 10**7),
    ],
)
def test_extreme_counts(counts):
    found = exact_sequential(*counts, share=0.5)
    interval = found.interval(0.05)
    assert -1 <= interval.lower <= interval.estimate == found.estimate <= interval.upper <= 1
    assert math.isfinite(found.log_e())
    if counts[1] + counts[3] in (0, counts[0] + counts[2]):
        with pytest.raises(InsufficientData, match="every outcome is the same"):
            found.p_value()
    else:
        assert 0 <= found.p_value() <= 1


def test_the_size_is_the_same_while_the_expected_number_moves_a_little():
    assert bet_size(None, 0.05) == bet_size(0, 0.05) == bet_size(5000, 0.05) == bet_size(4_500, 0.05)
    assert bet_size(20_000, 0.05) == bet_size(5000, 0.05) / 2


def test_what_is_impossible_is_refused():
    with pytest.raises(InsufficientData, match="no users"):
        exact_sequential(0, 0, 5, 1, share=0.5)
    with pytest.raises(ValueError, match="successes"):
        exact_sequential(5, 6, 5, 1, share=0.5)
    with pytest.raises(ValueError, match="share"):
        exact_sequential(5, 1, 5, 1, share=1.0)
    with pytest.raises(ValueError, match="level"):
        exact_sequential(5, 1, 5, 1, share=0.5).interval(0.0)
