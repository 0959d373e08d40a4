"""How soon a guard stops doubled opt-outs, against what the certification measured (docs/certification.md, decision 0046).

Its 4,000 campaigns a cell are drawn by code of its own (`benchmarks/certify_guards.py`): 200 looks over two days, harm known an hour late,
two equal arms, three guards, a margin of 0.1 points, stopped within a quarter of the planned sends.
"""

import math

import pytest

from analysis.stats.harm_power import RUNS, Harm

MEASURED = {
    (0.005, 20_000): 0.094, (0.005, 50_000): 0.391, (0.005, 100_000): 0.738,
    (0.01, 20_000): 0.362, (0.01, 50_000): 0.849, (0.01, 100_000): 0.994,
    (0.02, 20_000): 0.793, (0.02, 50_000): 0.996,
    (0.03, 20_000): 0.951, (0.05, 20_000): 0.998,
}  # fmt: skip
KNOWN = (50 - 5) / 200
"""Of the sends, at a quarter of them: the certification's looks, less its hour in looks, rounded up."""


@pytest.mark.parametrize(("base", "sends"), MEASURED)
def test_it_is_as_the_certification_found(base: float, sends: int) -> None:
    test = Harm(control=base, variant=2 * base, margin=0.001, share=0.5, level=0.05 / 3)
    measured = MEASURED[base, sends]
    error = math.sqrt(measured * (1 - measured) * (1 / RUNS + 1 / 4000)) + 0.002
    assert test.stopped(round(sends * KNOWN)) == pytest.approx(measured, abs=3.5 * error)
