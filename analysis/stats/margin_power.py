"""Power of clearing a margin of harm: the planned experiment is drawn thousands of times and judged as the report judges it.

A normal formula with the variance of no harm promises too much where events are few and the margin is large beside the rate: the tests
of `noninferiority` stand on the rates *under the margin*, whose variance is larger, and an interval of few events is skewed (1 % in both arms,
margin 2 points, 800 users, one look: 0.88 by the formula, 0.80 in truth). So there is no formula here, for few events or many, and
one way for all of them. Users are drawn into the arms; what they do accrues from look to look; a margin is cleared

    spending: at look k when `is_surely_below` says so at the bound b_k of all of alpha on one side, and while an arm is
              smaller than `FEWEST_USERS` when the e-process does
    fixed:    when the interval ends before it: Newcombe's with an expected cell below 10, else Welch's
"""

import math
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from analysis.stats import power as formulas
from analysis.stats.errors import InsufficientData
from analysis.stats.exact_power import RUNS, SEED, Counts, ExactPower, solved
from analysis.stats.monitoring import Monitoring
from analysis.stats.noninferiority import FEWEST_USERS, is_surely_below, newcombe_upper
from analysis.stats.power import EQUAL_HALVES, MOST_UNITS, Outcome, Shares
from analysis.stats.proportions import SMALL_CELL

NO_MARGIN: Final = "a margin of 0 cannot be shown to be kept by any number of users"
Hits = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class MarginPower:
    """What `power.non_inferiority_power` and `_size` answer, by simulation, for a share.

    monitoring: of `spending` or `fixed`, made `one_sided`. Harm is taken for a rise; where it is a fall and the arms are uneven, the answer
    differs by what the skewness of the smaller arm does. The same seed gives the same answer, with a Monte-Carlo standard error of
    at most 0.5 / sqrt(runs) of a power, and about 1 % of a number of users. Counts take no covariate; under `fixed` the report adjusts shares, and the formula answers.
    """

    monitoring: Monitoring
    runs: int = RUNS
    seed: int = SEED

    @property
    def words(self) -> str:
        """How the answers are found."""
        return (
            f"simulated, {self.runs:,} runs, seed {self.seed}: the tests that clear a margin have no formula"
        )

    def power(self, outcome: Outcome, *, margin: float, n: float, shares: Shares = EQUAL_HALVES) -> float:
        """P(the margin is cleared at some look) when there is no harm at all. n: units of all arms; margin > 0, in shares of users."""
        if not margin > 0:
            raise InsufficientData(NO_MARGIN)
        if n < 2:
            return 0.0
        if self._is_adjusted(outcome):
            return formulas.non_inferiority_power(outcome, self.monitoring, margin=margin, n=n, shares=shares)
        share = shares.treatment / shares.both
        counts = Counts.drawn(
            np.random.default_rng(self.seed), rates=(outcome.mean, outcome.mean), share=share, runs=self.runs,
            units=np.floor(np.array(self.monitoring.looks) * n * shares.both + 1e-9).astype(np.int64),
        )  # fmt: skip
        return float(self._ever(counts, share, margin).mean())

    def size(self, outcome: Outcome, *, margin: float, power: float, shares: Shares = EQUAL_HALVES) -> int:
        """Units of all arms with which the margin is cleared with `power`, to about 1 %. Raises InsufficientData as the formula does."""
        adjusted = self._is_adjusted(outcome)
        guess = formulas.non_inferiority_size(
            outcome if adjusted else replace(outcome, rho=0.0),
            self.monitoring,
            margin=margin,
            power=power,
            shares=shares,
        )
        if adjusted:
            return guess

        def found(root: float) -> float:
            return self.power(outcome, margin=margin, n=max(root * root, 2.0), shares=shares)

        root = solved(found, math.sqrt(guess), power)
        if root * root > MOST_UNITS:
            raise InsufficientData("it would take more than 1e12 users")
        return max(math.ceil(root * root), 2)

    def _is_adjusted(self, outcome: Outcome) -> bool:
        return self.monitoring.method == "fixed" and outcome.rho != 0

    def _ever(self, counts: Counts, share: float, margin: float) -> Hits:
        """Runs in which the margin was cleared at some look, from the last look backwards: whoever was cleared needs no more."""
        if self.monitoring.method == "fixed":
            return _interval_ends_before(counts, margin, level=self.monitoring.level)
        ever = np.zeros(counts.n_c.shape[0], dtype=bool)
        end = int(counts.n_c[0, -1] + counts.n_t[0, -1])
        tuned = replace(self.monitoring, method="always_valid", tuned_to=self.monitoring.tuned_to or end)
        while_small = ExactPower(monitoring=tuned, one_sided=True)
        for k, bound in reversed(tuple(enumerate(self.monitoring.bounds()))):
            n_c, x_c, n_t, x_t = (each[:, k] for each in (counts.n_c, counts.x_c, counts.n_t, counts.x_t))
            many = ~ever & (np.minimum(n_c, n_t) >= FEWEST_USERS)
            if many.any():
                ever[many] = is_surely_below(
                    n_c[many], x_c[many], n_t[many], x_t[many], margin=margin, z=bound
                )
            few = ~ever & (np.minimum(n_c, n_t) < FEWEST_USERS)
            if few.any():
                ever[few] = while_small.clears(counts.at(few, k), share, margin=margin)
        return ever


def _interval_ends_before(counts: Counts, margin: float, *, level: float) -> Hits:
    """Of the last look: whether the two-sided interval at `level` that `compare` would show ends before the margin."""
    n_c, x_c, n_t, x_t = (each[:, -1] for each in (counts.n_c, counts.x_c, counts.n_t, counts.x_t))
    has_both = np.minimum(n_c, n_t) >= 2
    n_c, n_t = np.maximum(n_c, 2), np.maximum(n_t, 2)
    p_c, p_t, total, n = x_c / n_c, x_t / n_t, x_c + x_t, n_c + n_t
    parts = p_c * (1 - p_c) / (n_c - 1), p_t * (1 - p_t) / (n_t - 1)
    variance = parts[0] + parts[1]
    is_small = (np.minimum(n_c, n_t) * np.minimum(total, n - total) < SMALL_CELL * n) | (variance <= 0)
    upper = newcombe_upper(n_c, x_c, n_t, x_t, z=float(stats.norm.isf(level / 2)))
    freedom = variance**2 / np.maximum(parts[0] ** 2 / (n_c - 1) + parts[1] ** 2 / (n_t - 1), 1e-300)
    welch = p_t - p_c + stats.t.isf(level / 2, np.maximum(freedom, 1.0)) * np.sqrt(variance)
    return np.asarray(has_both & (np.where(is_small, upper, welch) < margin))
