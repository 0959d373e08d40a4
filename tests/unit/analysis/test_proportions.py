import pytest

from analysis.stats.aggregates import Aggregate
from analysis.stats.errors import InsufficientData
from analysis.stats.proportions import BOSCHLOO_LIMIT, exact_p_value, is_small, newcombe_interval, successes

counts = Aggregate.from_counts


def test_small_means_an_expected_cell_below_ten():
    assert is_small(counts(100, 9), counts(100, 10))  # 9.5 expected
    assert not is_small(counts(100, 10), counts(100, 10))
    assert is_small(counts(100, 95), counts(100, 90))  # few failures count as well
    assert is_small(counts(0, 0), counts(0, 0))


def test_exact_tests_agree_in_either_order():
    for n in (40, 1000):
        p = exact_p_value(counts(n, 2), counts(n, 9))
        assert exact_p_value(counts(n, 9), counts(n, 2)) == pytest.approx(p, rel=1e-9)
    assert 1000 * 1000 > BOSCHLOO_LIMIT > 40 * 40


def test_boschloo_is_not_weaker_than_fisher():
    from scipy import stats

    fisher = stats.fisher_exact([[9, 2], [31, 38]]).pvalue
    assert exact_p_value(counts(40, 2), counts(40, 9)) <= fisher


@pytest.mark.parametrize("x", [0, 50])
def test_without_any_difference_in_outcomes_there_is_no_test_but_an_interval(x):
    with pytest.raises(InsufficientData, match="same"):
        exact_p_value(counts(50, x), counts(50, x))
    interval = newcombe_interval(counts(50, x), counts(50, x), 0.05)
    assert interval.lower < 0 == interval.estimate < interval.upper
    assert interval.upper < 0.1


def test_empty_arms_are_refused():
    for call in (
        lambda: exact_p_value(counts(0, 0), counts(5, 1)),
        lambda: newcombe_interval(counts(5, 1), counts(0, 0), 0.05),
    ):
        with pytest.raises(InsufficientData, match="no users"):
            call()


def test_the_interval_stays_possible():
    interval = newcombe_interval(counts(3, 0), counts(3, 3), 1e-6)
    assert -1 <= interval.lower <= interval.estimate == 1.0
    assert interval.upper <= 1 + 1e-12


def test_a_mean_outside_the_unit_interval_is_no_proportion():
    with pytest.raises(InsufficientData, match="between 0 and 1"):
        successes(Aggregate(n=10, mean=1.5, variance=1.0))
