"""Many comparisons at once: masks, reasons, shapes. That they equal `difference` is in tests/property."""

import numpy as np
import pytest

from analysis.stats.aggregates import Aggregate
from analysis.stats.comparisons import Sums, absolute, arms_of, differences, p_values, relative
from analysis.stats.reasons import WORDS, Reason

GOOD = Aggregate(n=100, mean=1.0, variance=4.0)
BETTER = Aggregate(n=100, mean=1.5, variance=5.0)


def test_what_cannot_be_told_is_masked_with_its_reason_and_counts_nowhere() -> None:
    constant = Aggregate(n=100, mean=1.0, variance=0.0)
    nobody = Aggregate(n=0, mean=0.0, variance=0.0)
    broken = Aggregate(n=100, mean=float("nan"), variance=1.0)
    found = differences(
        arms_of([GOOD, constant, nobody, broken]), arms_of([BETTER, constant, BETTER, BETTER])
    )
    p = p_values(found)
    assert found.reason.tolist() == [Reason.TOLD, Reason.NO_SPREAD, Reason.NO_USERS, Reason.NOT_FINITE]
    assert p.mask.tolist() == [False, True, True, True]
    assert p.count() == 1
    assert (p < 0.1).sum() == 1
    assert np.isfinite(p.data).all()
    assert not (p.data[1:] == 1).any()


def test_a_lift_that_cannot_be_told_leaves_the_difference_alone() -> None:
    zero, below, near = (Aggregate(n=100, mean=m, variance=4.0) for m in (0.0, -1.0, 0.1))
    found = differences(arms_of([GOOD, zero, below, near]), arms_of([BETTER]))
    lifts = relative(found, 0.05)
    assert absolute(found, 0.05).reason.tolist() == [Reason.TOLD] * 4
    assert lifts.reason.tolist() == [
        Reason.TOLD, Reason.CONTROL_ZERO, Reason.CONTROL_NEGATIVE, Reason.CONTROL_NEAR_ZERO,
    ]  # fmt: skip
    assert lifts.contain(0.5).tolist() == [True, None, None, None]


def test_one_arm_stands_against_many() -> None:
    found = differences(arms_of([GOOD]), arms_of([BETTER, GOOD, BETTER]))
    assert len(found) == 3
    assert found.estimate.tolist() == [0.5, 0.0, 0.5]


def test_levels_may_differ_and_must_make_sense() -> None:
    found = differences(arms_of([GOOD, GOOD]), arms_of([BETTER, BETTER]))
    wide, narrow = (absolute(found, [0.01, 0.2]).upper - absolute(found, [0.01, 0.2]).lower).tolist()
    assert wide > narrow
    with pytest.raises(ValueError, match="level"):
        relative(found, [0.05, 1.0])


def test_aggregates_of_different_shape_are_refused() -> None:
    with_x = Aggregate(n=9, mean=1.0, variance=4.0, mean_x=1.0, variance_x=2.0, covariance_xy=1.0)
    with pytest.raises(ValueError, match="same parts"):
        arms_of([GOOD, with_x])


def test_no_comparisons_are_no_comparisons() -> None:
    found = differences(arms_of([]), arms_of([]))
    assert len(found) == 0
    assert p_values(found).tolist() == []


def test_sums_are_those_of_one_aggregate() -> None:
    rng = np.random.default_rng(5)
    y, d, x = rng.normal(size=(3, 4, 30))
    sums = Sums(
        n=np.full(4, 30.0), y=y.sum(1), yy=(y * y).sum(1), d=d.sum(1), dd=(d * d).sum(1), yd=(y * d).sum(1),
        x=x.sum(1), xx=(x * x).sum(1), xy=(x * y).sum(1), dx=(d * x).sum(1), shift_y=7.0, shift_d=2.0, shift_x=-1.0,
    )  # fmt: skip
    arms = sums.arms()
    for i in range(4):
        one = Aggregate.from_sums(
            30, y[i].sum(), y[i] @ y[i], d=d[i].sum(), dd=d[i] @ d[i], yd=y[i] @ d[i],
            x=x[i].sum(), xx=x[i] @ x[i], xy=x[i] @ y[i], dx=d[i] @ x[i], shift_y=7.0, shift_d=2.0, shift_x=-1.0,
        )  # fmt: skip
        for name, value in one.moments().items():
            assert getattr(arms, name)[i] == pytest.approx(value, rel=1e-12, abs=1e-12), name


def test_sums_of_nobody_and_of_one() -> None:
    arms = Sums(n=np.array([0.0, 1.0]), y=np.array([0.0, 3.0]), yy=np.array([0.0, 9.0]), shift_y=1.0).arms()
    assert arms.mean.tolist() == [0.0, 4.0]
    assert arms.variance.tolist() == [0.0, 0.0]


def test_every_code_has_words() -> None:
    codes = [value for name, value in vars(Reason).items() if name.isupper()]
    assert sorted(codes) == list(range(len(WORDS)))
    assert all(WORDS[code] for code in codes if code)
