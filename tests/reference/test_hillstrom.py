"""A real e-mail experiment with 64,000 customers, and a made-up one of the same shape that is always there.

Expected numbers of the real file: scipy.stats.ttest_ind(equal_var=False) on the columns (Welch), plain 95 % intervals.
"""

from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from analysis.files.files import analyze_file

METRICS = ["visit=proportion:visit", "conversion=proportion:conversion", "spend=mean:spend"]


def analyze(path: Path):
    made = analyze_file(path, variant="treatment", control="No E-Mail", metrics=METRICS)
    return made, {
        (finding.metric, effect.variant): effect for finding in made.metrics for effect in finding.effects
    }


def test_the_real_experiment(shared):
    path = shared / "data" / "hillstrom.csv"
    if not path.exists():
        pytest.skip(f"{path} is absent: the real data were not checked")
    made, effects = analyze(path)
    visit, spend = effects["visit", "Mens E-Mail"], effects["spend", "Mens E-Mail"]
    assert (visit.absolute.estimate, visit.absolute.lower, visit.absolute.upper) == pytest.approx(
        (0.07658956, 0.06995315, 0.08322598), abs=5e-9
    )
    assert (spend.absolute.estimate, spend.absolute.lower, spend.absolute.upper) == pytest.approx(
        (0.76982716, 0.48513973, 1.05451458), abs=5e-9
    )
    assert spend.p_value == pytest.approx(1.1638e-07, rel=5e-5)
    womens = effects["spend", "Womens E-Mail"].absolute
    assert (womens.estimate, womens.lower, womens.upper) == pytest.approx(
        (0.42441222, 0.16895679, 0.67986764), abs=5e-9
    )
    assert [(arm.variant, arm.assigned) for arm in made.arms] == [
        ("No E-Mail", 21306), ("Mens E-Mail", 21307), ("Womens E-Mail", 21387),
    ]  # fmt: skip
    assert (made.decision.action, made.decision.variant) == ("ship", "Mens E-Mail")


def test_a_made_up_experiment_of_the_same_shape(tmp_path):
    rng = np.random.default_rng(2008)
    arms = np.array(["No E-Mail", "Mens E-Mail", "Womens E-Mail"])
    choice = rng.integers(0, 3, 64_000)
    visit = rng.random(64_000) < np.array([0.106, 0.183, 0.151])[choice]
    conversion = visit & (rng.random(64_000) < 0.06)
    spend = np.where(conversion, rng.lognormal(4.4, 0.7, 64_000).round(2), 0.0)
    path = tmp_path / "made_up.csv"
    with path.open("w") as file:
        file.write("recency,treatment,conversion,visit,spend\n")
        for row in zip(rng.integers(1, 13, 64_000), arms[choice], conversion, visit, spend, strict=True):
            file.write(f"{row[0]},{row[1]},{int(row[2])},{int(row[3])},{row[4]!s}\n")
    _, effects = analyze(path)
    assert len(effects) == 6
    for metric, values in (("visit", visit), ("conversion", conversion), ("spend", spend)):
        for k in (1, 2):
            reference = stats.ttest_ind(
                values[choice == k].astype(float), values[choice == 0].astype(float), equal_var=False
            )
            limits = reference.confidence_interval(0.95)
            found = effects[metric, arms[k]]
            assert (found.absolute.lower, found.absolute.upper) == pytest.approx(
                (limits.low, limits.high), rel=1e-9
            )
            assert found.p_value == pytest.approx(reference.pvalue, rel=1e-7)
