"""The e-process over epochs: one epoch is `eprocess.py`, several keep the promise under a bandit that cheats."""

import numpy as np
import pytest

from analysis.stats.eprocess import bet_size, exact_sequential, log_e_by_epoch
from analysis.stats.eprocess_epochs import ExactByEpoch
from analysis.stats.errors import InsufficientData


def exact(
    *, n_c: list[int], x_c: list[int], n_t: list[int], x_t: list[int], share: list[float]
) -> ExactByEpoch:
    return ExactByEpoch(n_c=n_c, x_c=x_c, n_t=n_t, x_t=x_t, share=share, size=bet_size(5000, 0.05))


@pytest.mark.parametrize("share", [0.5, 0.55])
def test_one_epoch_is_the_exact_sequential_test(share: float) -> None:
    one = exact(n_c=[900], x_c=[20], n_t=[1000], x_t=[60], share=[share])
    whole = exact_sequential(900, 20, 1000, 60, share=share, planned_n=5000)
    assert one.p_value() == pytest.approx(whole.p_value(), rel=1e-12)
    assert one.estimate == pytest.approx(whole.estimate, rel=1e-12)
    ours, theirs = one.interval(0.05), whole.interval(0.05)
    assert (ours.lower, ours.upper) == (
        pytest.approx(theirs.lower, abs=1e-9),
        pytest.approx(theirs.upper, abs=1e-9),
    )


def test_swapping_the_arms_turns_everything_round() -> None:
    one = exact(n_c=[90, 20], x_c=[9, 1], n_t=[110, 180], x_t=[2, 30], share=[0.5, 0.9])
    ours, theirs = one.interval(0.05), one.swapped().interval(0.05)
    assert (ours.lower, ours.estimate, ours.upper) == pytest.approx(
        (-theirs.upper, -theirs.estimate, -theirs.lower)
    )
    assert one.p_value() == pytest.approx(one.swapped().p_value())


def test_a_cheating_bandit_does_not_make_evidence() -> None:
    """The base rate doubles when the treatment gets nine tenths; E stays an e-value, where one pool would be sure."""
    rng = np.random.default_rng(1)
    worlds = 2000
    n_c = np.stack([rng.binomial(500, 0.5, worlds), rng.binomial(500, 0.1, worlds)], axis=1)
    n_t = 500 - n_c
    rates = np.array([0.02, 0.10])
    x_c, x_t = rng.binomial(n_c, rates), rng.binomial(n_t, rates)
    counts = [each.astype(float) for each in (n_c, x_c, n_t, x_t)]
    size = bet_size(1000, 0.05)
    log_e = log_e_by_epoch(*counts, share=np.array([0.5, 0.9]), size=size, margin=np.zeros(worlds))
    assert np.exp(log_e).mean() < 1.1
    assert (log_e >= np.log(20)).mean() <= 0.05
    pooled = [exact_sequential(int(a), int(b), int(c), int(d), share=0.7, planned_n=1000).log_e() for a, b, c, d in
              zip(*(each.sum(axis=1) for each in (n_c, x_c, n_t, x_t)), strict=True)]  # fmt: skip
    assert (np.array(pooled) >= np.log(20)).mean() > 0.2


def test_what_cannot_be_told() -> None:
    with pytest.raises(InsufficientData, match="both arms have users"):
        exact(n_c=[0, 5], x_c=[0, 1], n_t=[5, 0], x_t=[1, 0], share=[0.5, 0.5])
    with pytest.raises(InsufficientData, match="every outcome is the same"):
        exact(n_c=[5], x_c=[0], n_t=[5], x_t=[0], share=[0.5]).p_value()
    with pytest.raises(ValueError, match="share"):
        exact(n_c=[5], x_c=[0], n_t=[5], x_t=[0], share=[1.0])
