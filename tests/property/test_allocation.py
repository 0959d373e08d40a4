"""What holds of P(best), top-two and floors for any arms."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.stats.best_arm import beta_best, gaussian_best, top_two, with_floor

ARMS = st.lists(st.tuples(st.floats(-5, 5), st.floats(0, 3)), min_size=2, max_size=6)
COUNTS = st.lists(st.tuples(st.floats(0, 1e4), st.floats(0, 1e5)), min_size=2, max_size=5)


@settings(max_examples=60, deadline=None)
@given(ARMS, st.randoms(use_true_random=False))
def test_p_best_sums_to_one_and_moves_with_its_arm(arms: list[tuple[float, float]], random) -> None:
    mean, se = np.array(arms).T
    p = gaussian_best(mean, se)
    order = list(range(len(arms)))
    random.shuffle(order)
    assert p.sum() == pytest.approx(1, abs=1e-12)
    assert gaussian_best(mean[order], se[order]) == pytest.approx(p[order], abs=1e-9)
    assert gaussian_best(-mean, se, maximise=False) == pytest.approx(p, abs=1e-9)
    # Batches give what each gives alone.
    assert gaussian_best([mean, mean[order]], [se, se[order]])[0] == pytest.approx(p, abs=1e-12)


@settings(max_examples=40, deadline=None)
@given(COUNTS)
def test_p_best_of_rates_sums_to_one_and_moves_with_its_arm(arms: list[tuple[float, float]]) -> None:
    wins, losses = np.array(arms).T
    p = beta_best(wins, losses)
    assert p.sum() == pytest.approx(1, abs=1e-12)
    assert beta_best(wins[::-1], losses[::-1]) == pytest.approx(p[::-1], abs=1e-9)


SHARES = st.lists(st.floats(0, 1), min_size=2, max_size=8).filter(lambda shares: sum(shares) > 0.01)


@given(SHARES, st.floats(0, 1))
def test_top_two_is_its_formula(shares: list[float], leader: float) -> None:
    p = np.array(shares) / sum(shares)
    psi = top_two(p, leader=leader)
    assert psi.sum() == pytest.approx(1, abs=1e-12)
    assert (psi >= 0).all()
    if p.max() < 0.999:
        want = [
            p[i] * (leader + (1 - leader) * sum(p[j] / (1 - p[j]) for j in range(len(p)) if j != i))
            for i in range(len(p))
        ]
        assert psi == pytest.approx(want, abs=1e-9)
    assert top_two(p, leader=1.0) == pytest.approx(p, abs=1e-12)


def test_top_two_when_one_arm_is_certain() -> None:
    assert top_two([1.0, 0.0]).tolist() == [0.5, 0.5]
    near = top_two([1 - 3e-14, 2e-14, 1e-14])
    assert near == pytest.approx([0.5, 1 / 3, 1 / 6], abs=1e-9)
    with pytest.raises(ValueError, match="sum to 1"):
        top_two([0.5, 0.4])


@given(SHARES, st.floats(0, 1), st.data())
def test_every_active_arm_keeps_its_floor(shares: list[float], part: float, data) -> None:
    active = np.array(
        data.draw(st.lists(st.booleans(), min_size=len(shares), max_size=len(shares)).filter(any))
    )
    floor = part / active.sum()
    given_out = with_floor(np.array(shares), floor, active)
    assert given_out.sum() == pytest.approx(1, abs=1e-12)
    assert (given_out[active] >= floor - 1e-12).all()
    assert (given_out[~active] == 0).all()


def test_floors_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="fit into the traffic"):
        with_floor([0.5, 0.5], 0.51)
    with pytest.raises(ValueError, match="one arm at least is active"):
        with_floor([0.5, 0.5], 0.1, [False, False])
