"""Inference over epochs against numbers worked out by hand, row by row, and by the formulas for one pool."""

from typing import Any

import numpy as np
import pytest
from scipy import stats

from analysis.stats import adaptive, welch
from analysis.stats.reasons import Reason
from analysis.stats.welch import Arms

Rows = list[tuple[int, int, float]]
"""Epoch, arm, outcome of each user."""


def arms(n: Any, mean: Any, variance: Any, **more: Any) -> Arms:
    values = {"n": n, "mean": mean, "variance": variance, **more}
    return Arms(**{name: np.asarray(value, dtype=float) for name, value in values.items()})


def drawn(rng: np.random.Generator, *, epochs: int, chances: np.ndarray, users: int) -> Rows:
    return [
        (t, int(k), float(rng.gamma(2, 3 + t + k)))
        for t in range(epochs)
        for k in rng.choice(chances.shape[1], size=users, p=chances[t])
    ]


def summed(rows: Rows, epochs: int, count: int) -> dict[str, np.ndarray]:
    found = {name: np.zeros((epochs, count)) for name in ("n", "mean", "variance")}
    for t in range(epochs):
        for k in range(count):
            y = np.array([value for epoch, arm, value in rows if (epoch, arm) == (t, k)])
            found["n"][t, k] = len(y)
            found["mean"][t, k] = y.mean() if len(y) else 0.0
            found["variance"][t, k] = y.var(ddof=1) if len(y) > 1 else 0.0
    return {"users": found["n"].sum(axis=1), **found}


def by_rows(rows: Rows, chances: np.ndarray, *, constant: bool) -> dict[str, np.ndarray]:
    """AW-AIPW one user at a time, as the paper writes it down."""
    count = chances.shape[1]
    scores, epoch_of = [], []
    for t, own, y in rows:
        epoch_of.append(t)
        score = []
        for k in range(count):
            before = [value for epoch, arm, value in rows if epoch < t and arm == k]
            model = float(np.mean(before)) if before else 0.0
            score.append(model + (y - model) / chances[t, k] if own == k else model)
        scores.append(score)
    g, e = np.array(scores), chances[np.array(epoch_of)]

    def weighted(score: np.ndarray, h: np.ndarray) -> tuple[float, float]:
        estimate = float((h * score).sum() / h.sum())
        return estimate, float(np.sqrt((h**2 * (score - estimate) ** 2).sum()) / h.sum())

    one = np.ones(len(rows))
    alone = [weighted(g[:, k], np.sqrt(e[:, k]) if constant else one) for k in range(count)]
    against = [
        weighted(g[:, k] - g[:, 0], 1 / np.sqrt(1 / e[:, k] + 1 / e[:, 0]) if constant else one)
        for k in range(1, count)
    ]
    return {
        "estimate": np.array([each[0] for each in alone]),
        "standard_error": np.array([each[1] for each in alone]),
        "effect": np.array([each[0] for each in against]),
        "effect_error": np.array([each[1] for each in against]),
    }


@pytest.mark.parametrize("constant", [True, False])
def test_aw_aipw_from_sums_is_aw_aipw_over_rows(constant: bool) -> None:
    rng = np.random.default_rng(5)
    for case in range(20):
        epochs, count = int(rng.integers(1, 6)), int(rng.integers(2, 5))
        chances = rng.dirichlet(np.full(count, 1 + case % 3), size=epochs) * 0.8 + 0.2 / count
        rows = drawn(rng, epochs=epochs, chances=chances, users=int(rng.integers(5, 60)))
        found = adaptive.aw_aipw(**summed(rows, epochs, count), propensity=chances, constant=constant)
        oracle = by_rows(rows, chances, constant=constant)
        assert (found.reason == 0).all()
        assert found.estimate == pytest.approx(oracle["estimate"], rel=1e-9)
        assert found.standard_error == pytest.approx(oracle["standard_error"], rel=1e-9)
        assert found.effect[1:] == pytest.approx(oracle["effect"], rel=1e-9, abs=1e-9)
        assert found.effect_error[1:] == pytest.approx(oracle["effect_error"], rel=1e-9)


def test_an_arm_that_nobody_could_be_drawn_into_has_no_weight_there() -> None:
    rng = np.random.default_rng(6)
    chances = np.array([[0.5, 0.5, 0.0], [0.4, 0.3, 0.3]])
    rows = drawn(rng, epochs=2, chances=chances, users=200)
    sums = summed(rows, 2, 3)
    found = adaptive.aw_aipw(**sums, propensity=chances)
    last = {name: values[1:] for name, values in sums.items()}
    # Of the second epoch alone, but for the model, which is 0 for an arm that was not there.
    alone = adaptive.aw_aipw(**last, propensity=chances[1:])
    assert found.estimate[2] == pytest.approx(alone.estimate[2], rel=1e-12)
    never = adaptive.aw_aipw(**sums, propensity=np.array([[0.5, 0.5, 0.0], [0.5, 0.5, 0.0]]))
    assert never.reason.tolist() == [0, 0, Reason.NO_EPOCH]
    assert np.isfinite(never.effect).all()


def test_batched_ols_by_hand() -> None:
    """Two epochs: sigma^2 = 4 in both, so Z_1 = (2 - 1) sqrt(50 50 / 100) / 2 and Z_2 = (1.5 - 1) sqrt(20 80 / 100) / 2."""
    control = arms([50, 20], [1.0, 1.0], [4.0, 4.0])
    treatment = arms([50, 80], [2.0, 1.5], [4.0, 4.0])
    found = adaptive.bols(control, treatment)
    assert found.z.tolist() == pytest.approx([2.5, 1.0])
    assert float(found.combined) == pytest.approx(3.5 / np.sqrt(2))
    assert float(found.p_value) == pytest.approx(2 * stats.norm.sf(3.5 / np.sqrt(2)))


def test_one_epoch_of_batched_ols_is_the_t_statistic() -> None:
    rng = np.random.default_rng(7)
    a, b = rng.normal(1, 2, 30), rng.normal(2, 2, 50)
    found = adaptive.bols(arms([30], [a.mean()], [a.var(ddof=1)]), arms([50], [b.mean()], [b.var(ddof=1)]))
    assert float(found.combined) == pytest.approx(stats.ttest_ind(b, a).statistic, rel=1e-12)


def test_epochs_that_say_nothing_are_not_counted() -> None:
    control = arms([50, 0, 5, 50], [1.0, 0.0, 1.0, 1.0], [4.0, 0.0, 0.0, 4.0])
    treatment = arms([50, 9, 5, 50], [2.0, 1.0, 1.0, 2.0], [4.0, 1.0, 0.0, 4.0])
    assert float(adaptive.bols(control, treatment).combined) == pytest.approx(5 / np.sqrt(2))
    nobody = adaptive.bols(arms([0], [0], [0]), arms([9], [1], [1]))
    assert (int(nobody.reason), float(nobody.combined)) == (Reason.NO_EPOCH, 0.0)


def test_stabilised_by_hand() -> None:
    """N = 400 and 100; both arms of the pair get 100 and 100, then 10 and 40: b = sqrt(400 50) and sqrt(100 8)."""
    control = arms([100, 10], [1.0, 2.0], [4.0, 4.0])
    treatment = arms([100, 40], [1.5, 2.2], [9.0, 1.0])
    found, reason = adaptive.stabilised(np.array([400.0, 100.0]), control, treatment)
    b = np.array([np.sqrt(400 * 50), np.sqrt(100 * 8)])
    b /= b.sum()
    parts = b**2 * np.array([4 / 100, 4 / 10]), b**2 * np.array([9 / 100, 1 / 40])
    square = parts[0].sum() + parts[1].sum()
    assert int(reason) == 0
    assert float(found.estimate) == pytest.approx(b @ [0.5, 0.2])
    assert float(found.standard_error) == pytest.approx(np.sqrt(square))
    assert float(found.control_mean) == pytest.approx(b @ [1.0, 2.0])
    assert float(found.control_variance) == pytest.approx(parts[0].sum())
    assert float(found.covariance) == pytest.approx(-parts[0].sum())
    freedom = square**2 / sum(
        (p**2 / np.array(n)).sum() for p, n in zip(parts, ([99, 9], [99, 39]), strict=True)
    )
    assert float(found.degrees_of_freedom) == pytest.approx(freedom)
    left = adaptive.worth(np.array([400.0, 100.0]), control, treatment)
    assert float(left[0]) == pytest.approx(1 / (b**2 / [100, 10]).sum())
    assert float(left[1]) == pytest.approx(1 / (b**2 / [100, 40]).sum())


def test_one_epoch_is_one_pool_also_with_a_covariate() -> None:
    parts = {"mean_x": [2.0], "variance_x": [3.0], "covariance_xy": [2.0]}
    control = arms(
        [100], [1.0], [6.0], **parts
    )  # the smaller arm varies more, so Welch's variance is the larger one
    treatment = arms([150], [1.5], [5.0], **{**parts, "mean_x": [2.2], "covariance_xy": [2.5]})
    found, reason = adaptive.stabilised(np.array([700.0]), control, treatment)
    whole, _ = welch.effects(control, treatment)
    assert int(reason) == 0
    assert 0.2 < float(found.variance_reduction) < 0.6
    for name in (
        "estimate", "standard_error", "degrees_of_freedom", "n", "control_mean", "control_variance", "covariance",
        "variance_reduction",
    ):  # fmt: skip
        assert float(getattr(found, name)) == pytest.approx(float(getattr(whole, name)[0]), rel=1e-12), name


def test_a_small_cell_without_its_largest_buyers_does_not_look_sure() -> None:
    """Treatment: 10 users with variance 0.1 beside 990 with 4; pooled, the epoch has (9 0.1 + 989 4) / 998."""
    found, _ = adaptive.stabilised(np.array([1000.0]), arms([990], [1.0], [4.0]), arms([10], [0.4], [0.1]))
    shared = (9 * 0.1 + 989 * 4) / 998
    assert float(found.standard_error) == pytest.approx(np.sqrt(shared * (1 / 990 + 1 / 10)), rel=1e-12)


def test_a_cell_of_one_user_borrows_the_spread_of_its_arm() -> None:
    users = np.array([100.0, 100.0])
    control = arms([50, 1], [1.0, 3.0], [4.0, 0.0])
    treatment = arms([50, 99], [1.0, 3.0], [4.0, 4.0])
    found, reason = adaptive.stabilised(users, control, treatment)
    told = arms([50, 1], [1.0, 3.0], [4.0, 4.0])
    b = np.array([np.sqrt(100 * 25), np.sqrt(100 * 0.99)]) / (np.sqrt(2500) + np.sqrt(99))
    square = (b**2 * (told.variance / told.n + treatment.variance / treatment.n)).sum()
    assert (int(reason), float(found.standard_error)) == (0, pytest.approx(np.sqrt(square)))


@pytest.mark.parametrize(
    ("control", "treatment", "reason"),
    [
        (([0, 5], [0, 1], [0, 1]), ([5, 0], [1, 0], [1, 0]), Reason.NO_EPOCH),
        (([1, 1], [0, 1], [0, 0]), ([9, 9], [1, 0], [1, 1]), Reason.ONE_USER),
        (([9, 9], [1, 1], [0, 0]), ([9, 9], [1, 1], [0, 0]), Reason.NO_SPREAD),
        (([9, 9], [1, np.nan], [1, 1]), ([9, 9], [1, 1], [1, 1]), Reason.TOO_LARGE),
    ],
)
def test_what_cannot_be_told_has_a_reason(control: Any, treatment: Any, reason: int) -> None:
    _, found = adaptive.stabilised(np.array([20.0, 20.0]), arms(*control), arms(*treatment))
    assert int(found) == reason


def test_epochs_weigh_alike_whatever_the_split_when_as_many_users_come() -> None:
    """What makes looks on the scale of users valid: b_t^2 (1/n_T + 1/n_C) is proportional to N_t, whoever got the users."""
    rng = np.random.default_rng(8)
    users = np.array([500.0, 900.0, 200.0])
    ones = np.ones(3)
    for _ in range(20):
        n_c, n_t = (rng.integers(1, 90, 3).astype(float) for _ in range(2))
        # A variance of 1 in the cells of one epoch alone shows how much of se^2 that epoch holds.
        held = [
            float(
                adaptive.stabilised(users, arms(n_c, ones, np.eye(3)[t]), arms(n_t, ones, np.eye(3)[t]))[
                    0
                ].standard_error
            )
            ** 2
            for t in range(3)
            if min(n_c.min(), n_t.min()) > 1
        ]
        if held:
            assert np.array(held) / sum(held) == pytest.approx(users / users.sum(), rel=1e-12)
