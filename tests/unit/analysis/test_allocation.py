"""From counts to weights: one coherent estimate, doubts in words, the same answer for the same data."""

from dataclasses import replace

import numpy as np
import pytest
import statsmodels.api as sm

from analysis.stats.allocation import AllocationPolicy, weights, why
from analysis.stats.drift import epoch_weighted
from analysis.stats.estimates import AllocationEvidence, estimate
from tests.unit.analysis.test_drift import drifting

THOMPSON = AllocationPolicy(policy="thompson")


def mature(n: object, total: object, **others: object) -> AllocationEvidence:
    users, sums = np.asarray(n, dtype=float)[..., None], np.asarray(total, dtype=float)[..., None]
    active = np.ones((*users.shape[:-3], users.shape[-2]), dtype=bool)
    kept = {"users": users, "total": sums, "total_squares": sums, "delays": None, "active": active}
    return AllocationEvidence(**{**kept, **others})  # type: ignore[arg-type]


def slow_and_drifting(runs: int, seed: int = 2) -> AllocationEvidence:
    """12 epochs of 2,000 users, two arms of the same rate. It doubles, the second arm grows, and its conversions come three epochs later."""
    rng, epochs, bins = np.random.default_rng(seed), 12, 6
    chances = np.array([[0.6, 0.3, 0.1, 0, 0, 0], [0, 0, 0, 0.5, 0.3, 0.2]])
    share, rate = np.linspace(0.2, 0.8, epochs), np.linspace(0.05, 0.1, epochs)
    ages = np.minimum(epochs - 1 - np.arange(epochs), bins)
    users, total = np.zeros((2, runs, epochs, 2, bins + 1))
    delays = np.zeros((runs, 2, bins + 1, bins))
    for t, age in enumerate(ages):
        second = rng.binomial(2000, share[t], size=runs)
        for k, n in enumerate((2000 - second, second)):
            drawn = rng.multinomial(n, [*(rate[t] * chances[k]), 1 - rate[t]])[:, :age]
            users[:, t, k, age], total[:, t, k, age] = n, drawn.sum(axis=1)
            delays[:, k, age, :age] += drawn
    active = np.ones((runs, 2), dtype=bool)
    return AllocationEvidence(users=users, total=total, total_squares=total, delays=delays, active=active)


def test_drift_and_delay_together_favour_nobody() -> None:
    runs = 3000
    evidence = slow_and_drifting(runs)
    found = estimate(evidence)
    z = (found.mean[:, 1] - found.mean[:, 0]) / np.hypot(found.sd[:, 0], found.sd[:, 1])
    raw = evidence.total.sum(axis=(1, 3)) / evidence.users.sum(axis=(1, 3))
    # Not corrected, the slow arm loses a third; corrected, a tenth of an error at most.
    assert (raw[:, 1] / raw[:, 0]).mean() < 0.8
    assert abs(z.mean()) < 0.2
    assert 0.85 < z.std() < 1.1
    p = weights(evidence, THOMPSON).p_best
    assert (p[:, 1] > 0.975).mean() < 0.05
    assert (p[:, 0] > 0.975).mean() < 0.05


def test_drift_alone_favours_nobody() -> None:
    n, total, _ = drifting(2000)
    found = estimate(mature(n, total))
    z = (found.mean[:, 1] - found.mean[:, 0]) / np.hypot(found.sd[:, 0], found.sd[:, 1])
    assert abs(z.mean()) < 0.1
    assert 0.93 < z.std() < 1.07


def test_with_even_shares_two_arms_are_compared_by_traffic() -> None:
    n, total = np.array([[300, 300], [500, 500]]), np.array([[30, 40], [80, 60]])
    found, by_traffic = estimate(mature(n, total)), epoch_weighted(n, total, total)
    assert found.mean[1] - found.mean[0] == pytest.approx(by_traffic.mean[1] - by_traffic.mean[0], rel=1e-5)
    assert found.mean.mean() == pytest.approx(by_traffic.mean.mean(), rel=1e-6)


@pytest.mark.parametrize("seed", range(5))
def test_it_is_least_squares_with_epochs_and_arms(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = rng.integers(0, 400, size=(6, 4))
    total = rng.binomial(n, rng.uniform(0.05, 0.2, size=(6, 4)))
    t, k = np.nonzero(n)
    columns = np.concatenate([np.eye(6)[t], np.eye(4)[k, 1:]], axis=1)
    fit = sm.WLS(total[t, k] / n[t, k], columns, weights=n[t, k]).fit()
    found = estimate(mature(n, total)).mean
    assert found - found[0] == pytest.approx([0, *fit.params[6:]], abs=1e-5)


def test_the_same_data_get_the_same_weights_alone_or_among_others() -> None:
    many = slow_and_drifting(5)
    together, again = weights(many, THOMPSON), weights(many, THOMPSON)
    assert together.weights.tolist() == again.weights.tolist()
    for i in range(5):
        one = AllocationEvidence(
            users=many.users[i],
            total=many.total[i],
            total_squares=many.total_squares[i],
            delays=many.delays[i] if many.delays is not None else None,
            active=many.active[i],
        )
        assert weights(one, THOMPSON).weights == pytest.approx(together.weights[i], abs=1e-12)


def test_a_small_rate_is_best_when_less_is_better() -> None:
    evidence = mature([[1000, 1000]], [[50, 80]])
    up, down = weights(evidence, THOMPSON), weights(evidence, replace(THOMPSON, maximise=False))
    assert up.weights[1] > 0.9
    assert down.weights[0] > 0.9
    assert up.p_best == pytest.approx(down.p_best[::-1], abs=1e-9)


def test_a_price_turns_the_order() -> None:
    evidence = mature([[5000, 5000]], [[250, 350]], messages=np.array([0.0, 0.9]))
    dear = weights(evidence, replace(THOMPSON, conversion=2.0, message=0.07))
    assert dear.mean == pytest.approx([2 * 0.05, 2 * 0.07 - 0.07 * 0.9], abs=1e-6)
    assert dear.weights[0] > 0.9
    assert weights(evidence, THOMPSON).weights[1] > 0.9


def test_money_is_weighed_by_its_own_spread() -> None:
    rng = np.random.default_rng(3)
    spent = [rng.gamma(0.5, 20, size=2000) + shift for shift in (0.0, 1.0, 0.9)]
    n = np.full((1, 3), 2000.0)
    total, squares = (np.array([[(x**power).sum() for x in spent]])[..., None] for power in (1, 2))
    evidence = mature(n, total[..., 0], total_squares=squares, proportion=False, conversions=n[0])
    found = estimate(evidence)
    assert found.mean == pytest.approx([x.mean() for x in spent], rel=1e-9)
    assert found.sd == pytest.approx([x.std() / 2000**0.5 for x in spent], rel=0.1)
    assert weights(evidence, THOMPSON).weights.argmin() == 0


def test_inactive_arms_get_nothing_and_do_not_compete() -> None:
    evidence = mature([[1000, 1000, 1000]], [[50, 60, 200]], active=np.array([True, True, False]))
    for policy in ("thompson", "top_two"):
        found = weights(evidence, AllocationPolicy(policy=policy))  # type: ignore[arg-type]
        assert found.weights[2] == found.p_best[2] == 0
        assert found.weights.sum() == found.p_best.sum() == pytest.approx(1, abs=1e-12)
        alone = weights(
            mature([[1000, 1000]], [[50, 60]]),
            AllocationPolicy(policy=policy),  # type: ignore[arg-type]
        )
        assert found.weights[:2] == pytest.approx(alone.weights, abs=0.03)


def test_an_arm_that_came_later_is_compared_where_both_were() -> None:
    # The base rate fell by half before the third arm came; it is as good as the first.
    evidence = mature([[2000, 2000, 0], [1500, 1500, 1500]], [[400, 300, 0], [150, 75, 150]])
    found = weights(evidence, THOMPSON)
    assert found.p_best[2] == pytest.approx(found.p_best[0], abs=0.25)
    assert found.p_best[1] < 0.05


@pytest.mark.parametrize(
    ("evidence", "words"),
    [
        (mature([[1000, 40]], [[50, 12]]), "too thin: arm b has 40 of 100 users"),
        (mature([[1000, 400]], [[50, 9]]), "too thin: arm b has 9 of 10 conversions, of 400 users"),
        (mature([[1000, 0], [0, 1000]], [[50, 0], [0, 50]]), "no users in one and the same epoch"),
        (mature([[1000, 1000]], [[50, 50]], active=np.array([False, False])), "no arm is active"),
    ],
)
def test_doubts_are_words(evidence: AllocationEvidence, words: str) -> None:
    answer = weights(evidence, THOMPSON)
    said = why(answer, evidence, THOMPSON, ["a", "b"])
    assert said is not None
    assert words in said
    assert not answer.told
    assert answer.weights.tolist() == [0.0, 0.0]
    assert np.isfinite(answer.sd).all()


def test_it_waits_until_a_window_has_closed() -> None:
    users, total = np.zeros((2, 1, 2, 3))
    users[0, :, 1], total[0, :, 1] = 5000, 200
    delays = np.zeros((2, 3, 2))
    delays[:, 1, 0] = 200
    evidence = AllocationEvidence(
        users=users, total=total, total_squares=total, delays=delays, active=np.array([True, True])
    )
    said = why(weights(evidence, THOMPSON), evidence, THOMPSON, ["a", "b"])
    assert said is not None
    assert "0 of 10 conversions are of users whose whole window has passed" in said


def test_no_conversion_at_all_is_no_certainty() -> None:
    eager = replace(THOMPSON, burn_in_conversions=0)
    found = weights(mature([[300, 300]], [[0, 0]]), eager)
    assert found.p_best == pytest.approx([0.5, 0.5], abs=1e-9)
    found = weights(mature([[300, 300]], [[0, 6]]), eager)
    assert 0.9 < found.p_best[1] < 1


def test_shapes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="one age"):
        AllocationEvidence(
            users=np.ones((1, 2, 3)),
            total=np.ones((1, 2, 3)),
            total_squares=np.ones((1, 2, 3)),
            delays=None,
            active=np.array([True, True]),
        )


def test_arms_that_never_met_are_not_compared_by_their_epochs() -> None:
    """Two pairs, each in an epoch of its own: nothing but the drift between the epochs would tell them apart."""
    apart = mature([[400, 400, 0, 0], [0, 0, 400, 400]], [[20, 24, 0, 0], [0, 0, 60, 64]])
    answer = weights(apart, THOMPSON)
    assert "nothing compares them" in str(why(answer, apart, THOMPSON, ["a", "b", "c", "d"]))
    # One arm that was in both epochs is the bridge, also one that gets no traffic any more.
    bridge = mature([[400, 400, 0, 0, 400], [0, 0, 400, 400, 400]], [[20, 24, 0, 0, 22], [0, 0, 60, 64, 62]])
    bridged = replace(bridge, active=np.array([True, True, True, True, False]))
    found = weights(bridged, THOMPSON)
    assert why(found, bridged, THOMPSON, list("abcde")) is None
    assert found.weights[2] == pytest.approx(found.weights[0], abs=0.1)


def test_failures_are_weighed_where_most_convert_as_conversions_are_where_few_do() -> None:
    """199 of 200 against 200 of 200 is no more certain than one conversion against none."""
    few = weights(mature([[200, 200]], [[1, 0]]), replace(THOMPSON, burn_in_conversions=0)).p_best
    most = weights(mature([[200, 200]], [[199, 200]]), replace(THOMPSON, burn_in_conversions=0)).p_best
    assert most == pytest.approx(few[::-1], abs=1e-6)
    assert most[1] < 0.95


@pytest.mark.parametrize(
    ("total", "squares"),
    [
        ((-5e9, -6e9), (5e16, 5e16)),
        ((-500, -400), (2000, 2000)),
        ((1000, -949), (2000, 2000)),
        ((0, 0), (3, 4)),
    ],
)
def test_amounts_may_be_negative(total: tuple[float, float], squares: tuple[float, float]) -> None:
    """Refunds and losses: the spread of each arm is its own, as with amounts that are all positive."""
    n = np.full((1, 2, 1), 1000.0)
    seen = AllocationEvidence(
        users=n,
        total=np.array(total, dtype=float).reshape(1, 2, 1),
        total_squares=np.array(squares, dtype=float).reshape(1, 2, 1),
        delays=None,
        active=np.array([True, True]),
        proportion=False,
    )
    found = estimate(seen)
    mean = np.array(total) / 1000
    assert found.mean == pytest.approx(mean, rel=1e-6, abs=1e-9)
    assert found.sd == pytest.approx(np.sqrt((np.array(squares) / 1000 - mean**2) / 1000), rel=0.1)


def test_users_of_a_moment_ago_are_no_burn_in() -> None:
    """Two slow arms are known well. The third has just joined; a few bought at once, and nobody knows what that is worth."""
    bins = 4
    users = np.array([[[0, 0, 0, 0, 2000]] * 2 + [[0] * 5], [[0, 500, 0, 0, 0]] * 3], dtype=float)
    delays = np.zeros((3, bins + 1, bins))
    delays[:2, 4] = [1, 19, 40, 40]
    delays[2, 1, 0] = 12
    total = np.zeros((2, 3, bins + 1))
    total[0, :2, 4] = 100
    total[1, 2, 1] = 12
    seen = AllocationEvidence(users=users, total=total, total_squares=total, delays=delays, active=np.array([True, True, True]))  # fmt: skip
    answer = weights(seen, THOMPSON)
    assert 0 < answer.effective_n[2] < 6
    assert answer.weights.tolist() == [0, 0, 0]
    assert why(answer, seen, THOMPSON, ["a", "b", "c"]) == (
        f"too early: the 500 users of arm c are so young that they are worth {answer.effective_n[2]:.0f} of 100 watched ones"
    )
    others = replace(seen, active=np.array([True, True, False]))
    assert weights(others, THOMPSON).told
