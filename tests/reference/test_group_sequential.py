"""Group-sequential boundaries against published tables."""

import numpy as np
import pytest

from analysis.stats.spending import alpha_spent, boundaries_of, crossing_probability, spending_boundaries

FIVE = [0.2, 0.4, 0.6, 0.8, 1.0]


def test_obrien_fleming_type_of_two_one_sided_halves():
    """Reboussin, DeMets, Kim, Lan 2000 (program ld98; also ldbounds and gsDesign sfLDOF at one-sided 0.025), five looks."""
    spent = [2 * alpha_spent(t, 0.025) for t in FIVE]
    assert boundaries_of(FIVE, spent) == pytest.approx([4.8769, 3.3569, 2.6803, 2.2898, 2.0310], abs=2e-4)


def test_pocock_type():
    """The same programs, Pocock-type spending, two-sided 0.05, five looks."""
    found = spending_boundaries(FIVE, 0.05, kind="pocock")
    assert found == pytest.approx([2.4380, 2.4268, 2.4101, 2.3966, 2.3859], abs=1e-4)


@pytest.mark.parametrize(
    ("looks", "rate"), [(1, 0.05), (2, 0.083), (3, 0.107), (4, 0.126), (5, 0.142), (10, 0.193), (20, 0.248)]
)
def test_repeated_significance_tests(looks, rate):
    """Armitage, McPherson, Rowe 1969, table 2: error of repeated tests at 5 %."""
    times = np.arange(1, looks + 1) / looks
    assert crossing_probability(times, [1.959964] * looks) == pytest.approx(rate, abs=6e-4)


@pytest.mark.parametrize(
    ("looks", "pocock", "obrien"),
    [(2, 2.178, 1.977), (3, 2.289, 2.004), (5, 2.413, 2.040), (10, 2.555, 2.087)],
)
def test_classical_designs(looks, pocock, obrien):
    """Jennison and Turnbull 2000, tables 2.1 (C_P) and 2.3 (C_B), alpha 0.05."""
    k = np.arange(1, looks + 1)
    assert crossing_probability(k / looks, [pocock] * looks) == pytest.approx(0.05, abs=1e-4)
    assert crossing_probability(k / looks, obrien * np.sqrt(looks / k)) == pytest.approx(0.05, abs=1e-4)


def test_obrien_fleming_spending_at_quarters():
    """SeqBounds.jl README: function values of the O'Brien-Fleming-type function at alpha 0.05."""
    found = [alpha_spent(t, 0.05) for t in (0.25, 0.5, 0.75, 1.0)]
    assert found == pytest.approx([8.85754e-5, 0.0055746, 0.0236251, 0.05], rel=1e-5)
