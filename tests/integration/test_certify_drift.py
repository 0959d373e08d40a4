"""The certification of looks under a base rate that drifts: as reports decide, and able to fail."""

from dataclasses import replace

import numpy as np
import pytest

from benchmarks import certify_drift
from benchmarks.certify_drift import Cell
from benchmarks.claims import ALPHA, QUICK, Findings
from benchmarks.simulation import Floats, Twin, cumulative_counts
from benchmarks.variance_bounds import Hits, beyond
from experiments.vocabulary import MetricRole

TINY = replace(QUICK, runs=60)
CELL = Cell(0.05, "up", 6)


def test_an_experiment_is_held_against_its_own_bound_and_no_more_are_drawn_than_decide() -> None:
    z, bounds, drawn = np.array([1.0, 1.99, 2.03, 2.2, 3.0]), np.array([2.0, 1.98, 2.09, 2.3, 2.0]), []

    def own(one: int) -> float:
        drawn.append(one)
        return float(bounds[one])

    def crosses(at: Floats) -> Hits:
        return np.asarray(z > at)

    asked = np.ones(5, dtype=bool)
    assert beyond(crosses, 2.0, own, asked).tolist() == [False, True, False, False, True]
    # 2.09 is too far from 2.0 for the first range, so that the range was widened and 2.2 was looked at as well.
    assert sorted(drawn) == [1, 2, 3]
    assert not beyond(crosses, 2.0, own, ~asked).any()


def test_parts_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(certify_drift, "cells", lambda: [CELL, Cell(0.05, "down", 6)])
    findings = Findings()
    for part in (certify_drift.effects, certify_drift.guardrails):
        part(TINY, 1, findings, lambda: None)
    assert [claim.met for claim in findings.claims] == [True, True]
    assert all("if looks were as alike as their users" in claim.obtained for claim in findings.claims)
    assert [name for name, _ in findings.grids[0].rows] == ["5 % to 10 %, 6 looks", "5 % from 10 %, 6 looks"]


def test_a_twin_that_is_not_production_stops_the_run() -> None:
    rng = np.random.default_rng(3)
    x_c = cumulative_counts(rng, 40, 6, certify_drift.USERS, CELL.rates())
    x_t = cumulative_counts(rng, 40, 6, certify_drift.USERS, CELL.rates() * 1.25)
    crosses = certify_drift._of_effects(x_c, x_t)
    hits = certify_drift.ever(crosses, certify_drift._spread(x_c, x_t), CELL, ALPHA)
    assert 5 < hits.any(axis=1).sum() < 39
    certify_drift._check(rng, CELL, x_c, x_t, hits, MetricRole.PRIMARY)
    wrong = np.zeros_like(hits)
    wrong[:39, 0] = ~hits[:39, 0]
    with pytest.raises(Twin):
        certify_drift._check(rng, CELL, x_c, x_t, wrong, MetricRole.PRIMARY)
