"""From p-values to a verdict."""

import numpy as np
import pytest
from scipy import stats

from analysis.certification.calibration import Verdict, calibrate, judged, share_of
from analysis.certification.certify_text import histogram


def calibration_of(p: np.ndarray, *, mask: np.ndarray | None = None, scatter: float = 1.0):
    told = np.ma.array(p, mask=np.zeros(len(p), dtype=bool) if mask is None else mask)
    z = np.ma.array(scatter * stats.norm.isf(p / 2) * np.where(np.arange(len(p)) % 2, 1, -1), mask=told.mask)
    return calibrate(
        p=told,
        covers=told >= 0.05,
        lift_covers=told >= 0.05,
        estimate=z,
        error=np.ma.array(np.ones(len(p)), mask=told.mask),
    )


def test_uniform_p_values_hold() -> None:
    p = np.random.default_rng(1).random(10_000)
    found = calibration_of(p)
    assert found.verdict == Verdict.HOLDS
    assert found.distance == pytest.approx(stats.kstest(p, "uniform").statistic)
    assert sum(found.histogram) == found.runs == 10_000
    assert found.covers.share == 1 - found.below["0.05"].share
    assert found.below["0.05"].error == pytest.approx(0.00218, abs=1e-5)
    assert found.scatter == pytest.approx(1, abs=0.03)


def test_a_verdict_on_sound_p_values_is_hardly_ever_wrong() -> None:
    rng = np.random.default_rng(2)
    verdicts = [calibration_of(rng.random(2000)).verdict for _ in range(200)]
    assert set(verdicts) == {Verdict.HOLDS}


@pytest.mark.parametrize(("power", "verdict"), [(2.0, Verdict.TOO_NARROW), (0.5, Verdict.TOO_WIDE)])
def test_p_values_that_are_too_small_or_too_large(power: float, verdict: Verdict) -> None:
    assert calibration_of(np.random.default_rng(3).random(5000) ** power).verdict == verdict


def test_what_could_not_be_told_is_counted_and_left_out() -> None:
    p = np.random.default_rng(4).random(1000)
    found = calibration_of(p, mask=p < 0.3)
    assert found.untold == 1000 - found.runs == (p < 0.3).sum()
    assert calibration_of(p, mask=np.arange(1000) > 50) is None


def test_a_lift_that_exists_only_by_chance_is_not_judged() -> None:
    p = np.random.default_rng(5).random(1000)
    told = np.ma.array(p, mask=False)
    lifts = np.ma.array(p > 0, mask=p < 0.2)
    assert (
        calibrate(p=told, covers=told > 0.05, lift_covers=lifts, estimate=told, error=told).lift_covers
        is None
    )


def test_shares_leave_masked_runs_out() -> None:
    found = share_of(np.ma.array([True, False, True, True], mask=[False, False, False, True]))
    assert found.share == pytest.approx(2 / 3)
    assert share_of(np.ma.array([True], mask=[True])).share == 0


def test_small_deviations_are_within_the_bar() -> None:
    assert judged([(0.05, 0.058)], 1_000_000) == Verdict.HOLDS
    assert judged([(0.05, 0.062)], 1_000_000) == Verdict.TOO_NARROW
    assert judged([(0.05, 0.038)], 1_000_000) == Verdict.TOO_WIDE


def test_the_picture_has_a_bar_for_each_step() -> None:
    assert histogram([1] * 20) == "▄" * 20
    assert histogram([0, 100]) == " █"
    assert histogram([0, 0]) == "  "
