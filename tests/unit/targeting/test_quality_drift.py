"""Drift: the published thresholds, and no alarm where chance explains the difference."""

import math

import numpy as np
import pytest
from scipy import stats

from targeting.imports.quality_drift import (
    Light,
    _chi_square_999,
    category_shares,
    mean_shift,
    rows_light,
    share_light,
    stability,
    variance_ratio,
    worst,
)


def share_at(h: float) -> float:
    """The share that is `h` of Cohen away from one half."""
    return math.sin(math.asin(math.sqrt(0.5)) + h / 2) ** 2


@pytest.mark.parametrize(
    ("h", "light"), [(0.19, Light.OK), (0.21, Light.LOOK), (0.49, Light.LOOK), (0.51, Light.BAD)]
)
def test_shares_are_compared_by_cohens_h(h: float, light: Light) -> None:
    assert share_light(0.5, 10_000, share_at(h), 10_000) is light
    assert share_light(share_at(h), 10_000, 0.5, 10_000) is light
    # Twenty rows say nothing of the kind.
    assert share_light(0.5, 20, share_at(h), 20) is Light.OK


def test_no_rows_no_drift() -> None:
    assert share_light(0.0, 0, 1.0, 100) is Light.OK
    assert rows_light(0, 100) is Light.OK


@pytest.mark.parametrize(("moved", "light"), [(0.19, Light.OK), (-0.21, Light.LOOK), (0.51, Light.BAD)])
def test_means_move_by_standard_deviations(moved: float, light: Light) -> None:
    assert mean_shift((10, 2, 5_000), (10 + 2 * moved, 2, 5_000)) == (pytest.approx(moved), light)
    assert mean_shift((10, 2, 99), (10 + 2 * moved, 2, 5_000))[1] is Light.OK


def test_a_value_that_never_varied_may_not_move() -> None:
    assert mean_shift((1, 0, 500), (1, 0, 500)) == (0.0, Light.OK)
    assert mean_shift((1, 0, 500), (2, 0, 500)) == (None, Light.BAD)
    assert variance_ratio((1, 0, 500), (1, 1, 500)) == (None, Light.BAD)


@pytest.mark.parametrize(
    ("ratio", "light"),
    [
        (1.2, Light.OK),
        (0.81, Light.OK),
        (1.3, Light.LOOK),
        (0.75, Light.LOOK),
        (2.1, Light.BAD),
        (0.49, Light.BAD),
    ],
)
def test_variances_are_compared_by_their_ratio(ratio: float, light: Light) -> None:
    found, told = variance_ratio((0, 1, 50_000), (0, math.sqrt(ratio), 50_000))
    assert (found, told) == (pytest.approx(ratio), light)
    assert variance_ratio((0, 1, 50), (0, 9, 50))[1] is Light.OK


def test_the_stability_index_is_the_sum_of_its_definition() -> None:
    index, light = stability([0.5, 0.5], 1_000_000, [0.75, 0.25], 1_000_000)
    assert index == pytest.approx(0.25 * math.log(1.5) - 0.25 * math.log(0.5), rel=1e-4)
    assert light is Light.BAD
    assert stability([0.5, 0.5], 100_000, [0.65, 0.35], 100_000)[1] is Light.OK
    assert stability([0.5, 0.5], 100_000, [0.68, 0.32], 100_000)[1] is Light.LOOK


def test_an_empty_cell_is_no_infinity() -> None:
    index, light = stability([1.0, 0.0], 1_000, [0.0, 1.0], 1_000)
    assert math.isfinite(index)
    assert light is Light.BAD


@pytest.mark.parametrize("degrees", [1, 2, 9, 49])
def test_the_noise_of_the_index_is_that_of_a_chi_square(degrees: int) -> None:
    assert _chi_square_999(degrees) == pytest.approx(stats.chi2.ppf(0.999, degrees), rel=0.04)


def test_the_same_population_twice_raises_no_alarm() -> None:
    rng = np.random.default_rng(3)
    alarms = 0
    for _ in range(300):
        before, now = (rng.multinomial(150, [0.05] * 20) for _ in range(2))
        alarms += stability(list(before / 150), 150, list(now / 150), 150)[1] is not Light.OK
    # By the threshold of 0.1 alone nearly all of them would be.
    assert alarms <= 6


def test_categories_of_two_imports_share_their_cells() -> None:
    names, before, now, n_before, n_now = category_shares({"a": 6, "b": 4}, 0, {"b": 5, "c": 5}, 10)
    assert (names, n_before, n_now) == (["a", "b", "c"], 10, 20)
    assert before == [0.6, 0.4, 0.0, 0.0]
    assert now == [0.0, 0.25, 0.25, 0.5]


@pytest.mark.parametrize(
    ("now", "light"), [(100, Light.OK), (49, Light.LOOK), (201, Light.LOOK), (9, Light.BAD), (0, Light.BAD)]
)
def test_row_counts(now: int, light: Light) -> None:
    assert rows_light(100, now) is light


def test_the_worst_light_wins() -> None:
    assert worst([]) is Light.OK
    assert worst([Light.LOOK, Light.BAD, Light.OK]) is Light.BAD
