"""Made-up amounts have the moments that were asked for, drawn one by one or as a sum."""

import numpy as np
import pytest
from scipy import stats

from analysis.stats.simulated_amounts import ONE_BY_ONE, Amounts

CASES = [
    Amounts(40.0, 30.0),
    Amounts(2.5, 0.0),
    Amounts(1.4, 0.8, whole=True),
    Amounts(3.0, float(np.sqrt(2.0)), whole=True),
    Amounts(1.0, 0.0, whole=True),
]


@pytest.mark.parametrize("amounts", CASES)
def test_sums_of_few_and_of_many_have_the_same_moments(amounts: Amounts) -> None:
    rng = np.random.default_rng(3)
    one, two, _ = amounts.moments
    assert one == pytest.approx(amounts.mean)
    assert two == pytest.approx(amounts.mean**2 + amounts.sd**2)
    for users, cells in ((400, 3000), (ONE_BY_ONE + 1, 3000)):
        total, squares = amounts.sums(np.full(cells, users), rng)
        error = np.sqrt(users * max(two - one**2, 0) / cells)
        assert total.mean() == pytest.approx(users * one, abs=4.5 * error + 1e-9)
        assert squares.mean() == pytest.approx(users * two, rel=0.02)
        assert total.std() == pytest.approx(np.sqrt(users) * amounts.sd, rel=0.07, abs=1e-6)
        assert (squares >= total**2 / users * (1 - 1e-12)).all()
        if amounts.whole:
            assert (total == np.rint(total)).all()
            assert (total >= users).all()


def test_third_moments_are_those_of_the_laws() -> None:
    log_normal = stats.lognorm(s=np.sqrt(np.log1p(0.75**2)), scale=40 / np.sqrt(1 + 0.75**2))
    assert Amounts(40.0, 30.0).moments[2] == pytest.approx(log_normal.moment(3))
    # A gamma-Poisson of mean 0.4 and variance 0.64 is this negative binomial.
    n, p = 0.4**2 / (0.64 - 0.4), 0.4 / 0.64
    k = np.arange(400)
    third = ((1 + k) ** 3 * stats.nbinom(n, p).pmf(k)).sum()
    assert Amounts(1.4, 0.8, whole=True).moments[2] == pytest.approx(third)


def test_cells_keep_their_place_and_nobody_spends_nothing() -> None:
    users = np.array([[0, 3], [5000, 1]])
    total, squares = Amounts(10.0, 1e-9).sums(users, np.random.default_rng(1))
    assert total == pytest.approx(users * 10.0)
    assert squares == pytest.approx(users * 100.0)


def test_a_great_many_are_drawn_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    users = np.random.default_rng(1).integers(0, 50, 300)
    whole = Amounts(4.0, 2.0).sums(users, np.random.default_rng(2))
    monkeypatch.setattr("analysis.stats.simulated_amounts.AT_A_TIME", 100)
    in_pieces = Amounts(4.0, 2.0).sums(users, np.random.default_rng(2))
    # The same numbers in the same order, however many at a time.
    assert in_pieces[0] == pytest.approx(whole[0])
    assert in_pieces[1] == pytest.approx(whole[1])


@pytest.mark.parametrize(("mean", "sd", "whole"), [(0.0, 1.0, False), (1.0, -1.0, False), (0.9, 1.0, True), (3.0, 1.0, True), (np.nan, 1.0, False)])  # fmt: skip
def test_impossible_amounts_are_refused(mean: float, sd: float, whole: bool) -> None:
    with pytest.raises(ValueError, match="at least"):
        Amounts(mean, sd, whole=whole)
