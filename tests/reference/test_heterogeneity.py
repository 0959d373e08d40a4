"""Cochran's Q against statsmodels' meta-analysis and against sums that a pencil can check."""

import math

import numpy as np
import pytest
from statsmodels.stats.meta_analysis import combine_effects

from analysis.stats.errors import InsufficientData
from analysis.stats.heterogeneity import cochran_q


def test_by_hand() -> None:
    # w = 1, 1/4; dbar = (0 + 5/4) / (5/4) = 1; Q = 1 * 1 + 1/4 * 16 = 5; with one degree p = erfc(sqrt(Q / 2)).
    found = cochran_q([0.0, 5.0], [1.0, 2.0])
    assert (found.q, found.pooled, found.degrees_of_freedom) == (pytest.approx(5), pytest.approx(1), 1)
    assert found.p_value == pytest.approx(math.erfc(math.sqrt(2.5)), rel=1e-12)


@pytest.mark.parametrize("seed", range(20))
def test_against_statsmodels(seed: int) -> None:
    rng = np.random.default_rng(seed)
    k = int(rng.integers(2, 30))
    effects, errors = rng.normal(rng.normal(0, 100), 2, k), rng.gamma(2, 1, k) + 0.01
    reference = combine_effects(effects, errors**2)
    test = reference.test_homogeneity()
    found = cochran_q(list(effects), list(errors))
    assert found.q == pytest.approx(test.statistic, rel=1e-9)
    assert found.p_value == pytest.approx(test.pvalue, rel=1e-7, abs=1e-300)
    assert found.degrees_of_freedom == test.df
    assert found.pooled == pytest.approx(reference.mean_effect_fe, rel=1e-9)


def test_units_do_not_matter() -> None:
    plain = cochran_q([1.0, 2.0, 4.0], [0.5, 0.7, 0.9])
    for unit in (1e-150, 1e150):
        scaled = cochran_q([unit * d for d in (1.0, 2.0, 4.0)], [unit * se for se in (0.5, 0.7, 0.9)])
        assert scaled.q == pytest.approx(plain.q, rel=1e-12)


@pytest.mark.parametrize(
    ("effects", "errors"),
    [
        ([1.0], [1.0]),
        ([], []),
        ([1.0, 2.0], [0.0, 1.0]),
        ([1.0, math.inf], [1.0, 1.0]),
        ([1, 2], [1, math.nan]),
    ],
)
def test_what_cannot_be_told_has_a_reason(effects: list[float], errors: list[float]) -> None:
    with pytest.raises(InsufficientData):
        cochran_q(effects, errors)
