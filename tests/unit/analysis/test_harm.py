"""Evidence of harm: against its formula user by user, against what it promises, and the verdicts made of it."""

import math

import numpy as np
import pytest

from analysis.bandits.harm import judge
from analysis.facts.guard_facts import GuardFacts
from analysis.stats.harm import RATIOS, log_e_harm
from experiments.guards import Guard
from experiments.metrics import BUILT_IN


def by_user(epochs, shares, margin: float) -> float:
    """The e-value of the docstring's formula, multiplied user by user, with the shares that are given."""
    total, weights = 0.0, sum(weight for _, weight in RATIOS)
    for theta, weight in RATIOS:
        e = 1.0
        for (n_c, x_c, n_t, x_t), r in zip(epochs, shares, strict=True):
            stake = r * theta / (r * theta + 1 - r) - r
            for i in range(n_t):
                e *= 1 + stake / r * ((i < x_t) - margin)
            for i in range(n_c):
                e *= 1 - stake / (1 - r) * (i < x_c)
        total += weight / weights * e
    return math.log(total)


@pytest.mark.parametrize("margin", [0.0, 0.001, 0.05])
def test_it_is_the_product_over_users_mixed_over_bets_once(margin: float) -> None:
    epochs = [(60, 2, 40, 5), (30, 1, 70, 9)]
    designed, seen = (0.45, 0.65), (0.4, 0.7)
    columns = np.array(epochs).T
    found = float(log_e_harm(*columns, share=designed, margin=margin))
    expected = [by_user(epochs, shares, margin) for shares in (designed, seen)]
    assert found == pytest.approx(min(expected), rel=1e-12)
    assert float(log_e_harm(*columns, share=None, margin=margin)) == pytest.approx(expected[1], rel=1e-12)


def test_an_epoch_in_which_an_arm_is_empty_says_nothing() -> None:
    alone = log_e_harm([60], [2], [40], [5], share=[0.4])
    assert log_e_harm([60, 0, 9], [2, 0, 3], [40, 50, 0], [5, 50, 0], share=[0.4, 0.4, 0.4]) == alone
    assert log_e_harm([0], [0], [50], [50], share=[0.5]) == 0.0


def test_more_harm_is_more_evidence_and_a_margin_less() -> None:
    x_t = np.arange(0, 60)[:, None]
    found = log_e_harm([1000], [10], [1000], x_t, share=[0.5])
    assert (np.diff(found) > 0).all()
    assert (log_e_harm([1000], [10], [1000], x_t, share=[0.5], margin=0.01) < found).all()
    assert found[10] < 0 < found[25]


@pytest.mark.parametrize(("rate", "margin", "share"), [(0.01, 0.0, 0.5), (0.01, 0.01, 0.3), (0.2, 0.02, 0.6)])
def test_its_mean_is_at_most_one_where_the_harm_is_the_margin(
    rate: float, margin: float, share: float
) -> None:
    runs, users = 100_000, 300
    rng = np.random.default_rng(4)
    n_t = rng.binomial(users, share, size=runs)
    x_t, x_c = rng.binomial(n_t, rate + margin), rng.binomial(users - n_t, rate)
    e = np.exp(
        log_e_harm(*(part[:, None] for part in (users - n_t, x_c, n_t, x_t)), share=[share], margin=margin)
    )
    assert e.mean() <= 1 + 4 * e.std() / math.sqrt(runs)
    assert e.mean() > 0.3


def facts(users, harmed) -> GuardFacts:
    return GuardFacts(
        epochs=(1, 2), variants=("plain", "pushy", "kind"), users=np.array(users), harmed={"opted_out": np.array(harmed)}
    )  # fmt: skip


def test_a_verdict_holds_the_numbers_of_the_epochs_that_are_compared() -> None:
    guard = Guard(key="opted_out", metric=BUILT_IN["opted_out"], margin=0.001)
    pushy, kind = judge(
        facts([[500, 500, 0], [100, 400, 100]], [[5, 60, 0], [1, 50, 1]]),
        guards=[guard],
        arms=["pushy", "kind"],
        control="plain",
        weights={1: {"plain": 0.5, "pushy": 0.5}, 2: {"plain": 1 / 6, "pushy": 4 / 6, "kind": 1 / 6}},
        alpha=0.05,
        tests=2,
    )
    assert (pushy.users, pushy.harmed, pushy.control_users, pushy.control_harmed) == (900, 110, 600, 6)
    assert pushy.needed == pytest.approx(math.log(40))
    assert pushy.breached
    assert pushy.told().startswith(
        "guardrail opted_out: 110 of 900 users (12.22%) against 6 of 600 of the control (1.00%)"
    )
    # The users of epoch 1 had no chance to get it.
    assert (kind.users, kind.control_users, kind.breached) == (100, 100, False)


def test_nobody_to_compare_and_a_margin_that_allows_everything_breach_nothing() -> None:
    guard = Guard(key="opted_out", metric=BUILT_IN["opted_out"], margin=0.0)
    weights = {1: {"plain": 0.5, "pushy": 0.5}, 2: {"plain": 0.5, "pushy": 0.5}}
    common = {"arms": ["pushy"], "control": "plain", "weights": weights, "alpha": 0.05, "tests": 1}
    (alone,) = judge(facts([[0, 500, 0], [0, 0, 0]], [[0, 400, 0], [0, 0, 0]]), guards=[guard], **common)
    assert (alone.users, alone.log_e, alone.breached) == (0, 0.0, False)
    wide = Guard(key="opted_out", metric=BUILT_IN["opted_out"], margin=1e6)
    (all_of_them,) = judge(
        facts([[500, 500, 0], [0, 0, 0]], [[0, 500, 0], [0, 0, 0]]), guards=[wide], **common
    )
    assert math.isfinite(all_of_them.log_e)
    assert not all_of_them.breached
