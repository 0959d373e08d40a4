"""Certificates of made-up users: sound data hold, data that break the promise are named with their cause."""

import json

import numpy as np
import pytest

from analysis.certification.calibration import Verdict
from analysis.certification.certify import Certificate, MetricData, certify, check_runs, concentration
from analysis.certification.certify_facts import Drawn
from analysis.certification.rerandomise import Pool, pool_of_users
from experiments.errors import Invalid
from experiments.vocabulary import MetricKind

RUNS = 2000


def certificate(pool: Pool | None, kind: MetricKind = MetricKind.MEAN, **changes: object) -> Certificate:
    settings = {
        "source": "made-up", "control": "A", "weights": {"A": 1.0, "B": 1.0}, "assigned": 4000, "drawn_by": None,
        "runs": RUNS, "seed": 1,
    }  # fmt: skip
    return certify([MetricData(key="m", kind=kind, drawn=Drawn(pool=pool))], **{**settings, **changes})


def users(n: int = 4000, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).gamma(2, 1, n)


def of(y: np.ndarray, **more: np.ndarray) -> Pool:
    return pool_of_users(np.ones(len(y), dtype=int), y=y, **more)


def test_sound_data_hold_within_the_error_of_the_simulation() -> None:
    y = users()
    x = y + np.random.default_rng(2).normal(size=len(y))
    for pool in (of(y), of(y, x=x), of(y, d=1 + 0.1 * x**2)):
        found = certificate(pool).metrics[0]
        assert found.verdict == Verdict.HOLDS
        assert found.because.startswith("intervals hold: 9")
        for alpha, share in found.calibration.below.items():
            assert abs(share.share - float(alpha)) < 4 * share.error
        assert abs(found.calibration.scatter - 1) < 0.07


def test_one_user_with_most_of_the_total() -> None:
    y = users()
    y[0] = 0.7 * y.sum()
    found = certificate(of(y)).metrics[0]
    assert found.verdict == Verdict.TOO_WIDE
    assert found.largest_share == pytest.approx(0.41, abs=0.01)
    assert "one user holds 41% of the total; use a cap" in found.because


def test_a_heavy_tail_and_unequal_arms() -> None:
    y = np.random.default_rng(9).lognormal(0, 2.5, 4000)
    found = certificate(of(y), weights={"A": 19.0, "B": 1.0}).metrics[0]
    assert found.verdict == Verdict.TOO_NARROW
    assert "use a cap" in found.because


def test_users_who_were_drawn_together_and_are_alike() -> None:
    rng = np.random.default_rng(3)
    shared = rng.normal(size=500)[:, None] + rng.normal(size=(500, 8))
    clusters = Pool(
        sums={"n": np.full(500, 8.0), "y": shared.sum(1), "yy": (shared**2).sum(1)},
        times=np.ones(500, dtype=np.int64),
        shifts={"y": 0.0},
    )
    found = certificate(clusters, drawn_by="household").metrics[0]
    assert found.verdict == Verdict.TOO_NARROW
    # Design effect: 1 + (8 - 1) * 1/2, and the scatter is its root.
    assert found.calibration.scatter == pytest.approx(np.sqrt(4.5), rel=0.08)
    assert "who share a household" in found.because


def test_few_conversions_are_tested_exactly() -> None:
    found = certificate(pool_of_users([3990, 10], y=[0.0, 1.0]), MetricKind.PROPORTION).metrics[0]
    assert found.calibration.runs == 2000
    assert found.calibration.below["0.05"].share <= 0.05
    assert found.calibration.lift_covers is None


def test_many_conversions_are_tested_by_welch() -> None:
    found = certificate(pool_of_users([3000, 1000], y=[0.0, 1.0]), MetricKind.PROPORTION).metrics[0]
    assert found.verdict == Verdict.HOLDS
    assert found.calibration.lift_covers.share == pytest.approx(0.95, abs=0.02)


@pytest.mark.parametrize(
    ("pool", "why"),
    [
        (None, "no user's window has closed yet"),
        (pool_of_users([4000], y=[1.0]), "no outcome varies"),
        (pool_of_users([1], y=[1.0]), "only one user"),
    ],
)
def test_what_cannot_be_told_says_why(pool: Pool | None, why: str) -> None:
    found = certificate(pool).metrics[0]
    assert found.verdict == Verdict.CANNOT_TELL
    assert found.calibration is None
    assert why in found.because


def test_nobody_converted() -> None:
    found = certificate(pool_of_users([4000], y=[0.0]), MetricKind.PROPORTION).metrics[0]
    assert found.because == "cannot tell: every outcome is the same in both arms"


def test_every_variant_stands_against_the_control() -> None:
    found = certificate(of(users()), weights={"B": 1.0, "A": 2.0, "C": 1.0})
    assert [one.variant for one in found.metrics] == ["B", "C"]
    assert found.weights == {"A": 0.5, "B": 0.25, "C": 0.25}


def test_sample_ratio_alarms_are_rare() -> None:
    ratio = certificate(None, runs=10_000, weights={"A": 9.0, "B": 1.0}).ratio
    assert ratio.chi_square.share <= 0.001 + 4 * np.sqrt(0.001 / 10_000)
    assert ratio.e_value.share <= 0.001
    assert certificate(None, assigned=4).ratio.chi_square is None


def test_a_certificate_is_json_and_the_same_again() -> None:
    first, second = (json.dumps(certificate(of(users())).to_json(), allow_nan=False) for _ in range(2))
    assert first == second
    assert json.loads(first)["metrics"][0]["verdict"] == "holds"
    assert json.dumps(certificate(of(users()), seed=2).to_json()) != first


def test_how_much_the_largest_hold() -> None:
    assert concentration(of(np.array([-5.0, 3.0, 2.0]))) == (0.5, 0.5)
    assert concentration(of(np.zeros(5))) == (None, None)
    assert concentration(pool_of_users([198, 1, 1], y=[1.0, 100.0, 102.0])) == (102 / 400, 202 / 400)


@pytest.mark.parametrize("runs", [0, 99, 1_000_000])
def test_the_number_of_runs_is_bounded(runs: int) -> None:
    with pytest.raises(Invalid, match="between") as refused:
        check_runs(runs)
    assert refused.value.problems[0].field == "--runs"
