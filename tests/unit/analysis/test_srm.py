import math

import numpy as np
import pytest
from scipy import stats

from analysis.stats import srm
from analysis.stats.errors import InsufficientData
from analysis.stats.srm import chi_square, chi_squares, log_e_value, log_e_values


def test_chi_square_is_scipys():
    assert chi_square([5000, 5300, 4900], [1, 1, 1]) == pytest.approx(
        stats.chisquare([5000, 5300, 4900]).pvalue, rel=1e-12
    )
    assert chi_square([900, 100], [0.9, 0.1]) == pytest.approx(1.0)


def test_a_later_stage_is_the_test_of_equal_shares():
    table = [[900, 950], [100, 70]]
    expected = stats.chi2_contingency(table, correction=False).pvalue
    assert chi_square([900, 950], [1000, 1020], totals=[1000, 1020]) == pytest.approx(expected, rel=1e-10)
    assert chi_square([10, 10], [10, 10], totals=[10, 10]) == 1.0


def test_an_arm_of_weight_zero_is_no_arm_but_its_users_are_an_error():
    assert chi_square([500, 510, 0], [1, 1, 0]) == chi_square([500, 510], [1, 1])
    with pytest.raises(ValueError, match="weight 0"):
        chi_square([500, 510, 3], [1, 1, 0])


@pytest.mark.parametrize(
    ("counts", "weights"), [([0, 0], [1, 1]), ([3, 4], [1, 1]), ([30], [1]), ([30, 0], [1, 0])]
)
def test_too_little_to_tell(counts, weights):
    with pytest.raises(InsufficientData):
        chi_square(counts, weights)


def test_wrong_arguments_are_refused():
    for counts, weights in (([1], [1, 1]), ([1, 2], [1, math.nan]), ([1, -2], [1, 1])):
        with pytest.raises(ValueError, match="counts"):
            log_e_value(counts, weights)


def test_e_value_is_one_before_any_data_and_a_martingale_after():
    assert log_e_value([0, 0], [2, 1]) == pytest.approx(0.0, abs=1e-12)
    now = math.exp(log_e_value([40, 15], [2, 1]))
    following = 2 / 3 * math.exp(log_e_value([41, 15], [2, 1])) + 1 / 3 * math.exp(
        log_e_value([40, 16], [2, 1])
    )
    assert following == pytest.approx(now, rel=1e-10)


def test_ninety_daily_looks_raise_no_false_alarm_and_a_skew_is_found():
    rng = np.random.default_rng(9)
    days = np.arange(1, 91)

    def alarms(share, looks, runs):
        first = rng.binomial(1000, share, size=(runs, looks)).cumsum(axis=1)
        both = np.stack([first, 1000 * days[:looks] - first], axis=-1)
        return np.mean([any(log_e_value(day, [1, 1]) >= math.log(1000) for day in run[::6]) for run in both])

    assert alarms(0.5, 90, 400) <= 0.005
    assert alarms(0.53, 14, 60) >= 0.9


def test_many_sizes_at_once_are_one_by_one():
    rng = np.random.default_rng(3)
    weights = [3.0, 0.0, 1.0, 2.0]
    sizes = rng.multinomial(900, np.array(weights) / 6, size=50)
    assert chi_squares(sizes, weights).tolist() == [chi_square(row, weights) for row in sizes.tolist()]
    assert log_e_values(sizes, weights).tolist() == [log_e_value(row, weights) for row in sizes.tolist()]
    theirs = [stats.chisquare(row[[0, 2, 3]], [450, 150, 300]).pvalue for row in sizes]
    assert chi_squares(sizes, weights) == pytest.approx(theirs, rel=1e-12)
    with pytest.raises(InsufficientData):
        chi_squares([[3, 0, 1, 2]], weights)


def _outcomes(n, arms):
    """Every way in which n users fall on so many arms."""
    if arms == 1:
        return [(n,)]
    return [(first, *rest) for first in range(n + 1) for rest in _outcomes(n - first, arms - 1)]


def test_over_epochs_the_e_value_is_a_martingale_whatever_chose_the_weights():
    # Exactly, over every outcome: the weights of the second epoch follow the first, and one arm joins late.
    first, total, unlike = np.array([0.7, 0.3, 0.0]), 0.0, []
    for early in _outcomes(3, 2):
        second = np.array([0.1 + 0.2 * early[0], 0.6 - 0.2 * early[0] + 0.2, 0.1])
        second /= second.sum()
        for late in _outcomes(3, 3):
            counts, weights = [[*early, 0], late], [first, second]
            p = stats.multinomial.pmf(early, 3, first[:2]) * stats.multinomial.pmf(late, 3, second)
            e = np.exp(srm.log_e_value_over_epochs(counts, weights))
            total += p * e
            unlike.append(e)
    assert total == pytest.approx(1, abs=1e-12)
    assert max(unlike) > 1.01 > 0.99 > min(unlike)


def test_over_epochs_of_equal_weights_both_tests_are_those_of_one_epoch():
    counts = np.random.default_rng(3).multinomial(500, [0.5, 0.3, 0.2], size=6)
    weights = [[5, 3, 2]] * 6
    whole = counts.sum(axis=0).tolist()
    assert srm.log_e_value_over_epochs(counts, weights) == pytest.approx(
        srm.log_e_value(whole, [5, 3, 2]), rel=1e-9
    )
    assert srm.chi_square_over_epochs(counts, weights) == pytest.approx(
        srm.chi_square(whole, [5, 3, 2]), rel=1e-9
    )


def test_over_epochs_of_other_weights_the_chi_square_keeps_its_level():
    # The pooled test takes the spread of the arms for larger than it is; this one does not.
    rng, weights = np.random.default_rng(5), np.array([[0.9, 0.1], [0.1, 0.9]])
    counts = np.stack([rng.multinomial(1000, w, size=4000) for w in weights], axis=1)
    p = np.array([srm.chi_square_over_epochs(each, weights) for each in counts])
    assert (p < 0.05).mean() == pytest.approx(0.05, abs=0.012)
    pooled = srm.chi_squares(counts.sum(axis=1), [0.5, 0.5])
    assert (pooled < 0.05).mean() < 0.005


def test_a_skew_is_found_over_epochs_and_users_without_weight_are_refused():
    rng = np.random.default_rng(6)
    weights = np.array([[0.5, 0.5], [0.8, 0.2], [0.3, 0.7]])
    drawn = weights * [1.25, 0.75]
    counts = [rng.multinomial(2000, w / w.sum()) for w in drawn]
    assert srm.log_e_value_over_epochs(counts, weights) > np.log(srm.ALARM_E)
    assert srm.chi_square_over_epochs(counts, weights) < 1e-6
    with pytest.raises(ValueError, match="weight 0 has users"):
        srm.log_e_value_over_epochs([[5, 5], [5, 5]], [[1, 1], [1, 0]])
    with pytest.raises(ValueError, match="same shape"):
        srm.chi_square_over_epochs([5, 5], [1, 1])
    with pytest.raises(InsufficientData, match="fewer than two arms"):
        srm.chi_square_over_epochs([[5, 0]], [[1, 0]])
    with pytest.raises(InsufficientData, match="too few users"):
        srm.chi_square_over_epochs([[2, 3]], [[1, 1]])


def test_an_arm_that_hardly_anybody_gets_keeps_no_skew_of_the_others_secret() -> None:
    """Weights by hand may be tiny: the test goes on, and users who should not be there are seen."""
    assert srm.log_e_value([7000, 5000, 0], [0.5, 0.5 - 1e-12, 1e-12]) > np.log(srm.ALARM_E)
    assert srm.log_e_value([5000, 5000, 0], [0.5, 0.5 - 1e-12, 1e-12]) < 0
    assert srm.log_e_value([5000, 5000, 3], [0.5, 0.5 - 1e-12, 1e-12]) > np.log(srm.ALARM_E)
    counts, weights = [[5000, 5000, 0], [7000, 5000, 0]], [[0.5, 0.5, 0.0], [0.5, 0.5 - 1e-12, 1e-12]]
    assert srm.log_e_value_over_epochs(counts, weights) > np.log(srm.ALARM_E)
