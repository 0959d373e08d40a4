"""Power of the e-process for two shares, which has no formula: the experiment is drawn thousands of times and judged as the report judges it.

Units are drawn into the two arms, conversions accrue from look to look, and at each look `eprocess.log_e_value` says what the
report would: significant when max(E_up, E_down) >= 2 / level, a margin cleared when the one-sided evidence against it is >= 2 / level.
The same seed gives the same answer. What is solved for (users, effect) is solved on the probit scale, on which power is nearly a line:

    probit(power) = a + b sqrt(N)        probit(power) = a + b effect        (least squares over the points that were drawn)
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from analysis.stats import power as formulas
from analysis.stats.eprocess import bet_size, log_e_value
from analysis.stats.errors import InsufficientData
from analysis.stats.monitoring import Monitoring
from analysis.stats.power import EQUAL_HALVES, MOST_UNITS, Outcome, Shares
from analysis.stats.sequential import AlwaysValid, tightest_at

RUNS: Final = 4_000
SEED: Final = 20_261_201
ROUNDS: Final = 2
AROUND: Final = (0.88, 1.0, 1.12)
"""Where the curve is drawn around a guess, in units of sqrt(N) or of the effect."""
FLATTEST: Final = 1e-9
SCREEN: Final = 0.5
"""Evidence of log E needs about z^2 = 2 log E; below this share of it nobody has to look."""
FEW: Final = 150
"""Conversions in an arm (or units without one) below which `always_valid` leaves shares to the e-process (`compare.FEW_CONVERSIONS`)."""
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class ExactPower:
    """The answers of `power.py`, by simulation, for shares that are judged by the e-process.

    monitoring: alpha, comparisons, looks and what the bets are tuned to (its bounds are not used; its method says nothing).
    while_few: whether an asymptotic sequence takes over once all arms have FEW conversions, as under `always_valid`; a guardrail and the
    method `exact` never do. one_sided: evidence of harm alone (a guardrail); its monitoring has been `one_sided` too.
    Counts take no covariate, so rho counts for nothing. runs: experiments for each point. A power has a Monte-Carlo standard error of at most 0.5 / sqrt(runs).
    """

    monitoring: Monitoring
    while_few: bool = False
    one_sided: bool = False
    runs: int = RUNS
    seed: int = SEED

    @property
    def words(self) -> str:
        """How the answers are found."""
        return f"simulated, {self.runs:,} runs, seed {self.seed}: the e-process that judges it has no formula"

    def power(self, outcome: Outcome, *, effect: float, n: float, shares: Shares = EQUAL_HALVES) -> float:
        """P(significant at some look) for a relative effect on those who are reached; n: units of all arms."""
        delta = outcome.effect_of(formulas.possible(outcome, effect))
        return self._found(outcome, delta=delta, n=n, shares=shares, towards=delta)

    def sample_size(
        self, outcome: Outcome, *, effect: float, power: float, shares: Shares = EQUAL_HALVES
    ) -> int:
        """Units of all arms with which `power` is reached, to about 1 %. Raises InsufficientData as `power.sample_size` does."""
        guess = formulas.sample_size(
            _of_counts(outcome), self._asymptotic, effect=effect, power=power, shares=shares
        )
        return self._size(
            lambda n: self.power(outcome, effect=effect, n=n, shares=shares), guess=guess, power=power
        )

    def minimum_detectable_effect(
        self, outcome: Outcome, *, n: float, power: float, shares: Shares = EQUAL_HALVES, falls: bool = False
    ) -> float:
        """The smallest relative effect that n units find with `power`; negative when `falls`."""
        guess = formulas.minimum_detectable_effect(
            _of_counts(outcome), self._asymptotic, n=n, power=power, shares=shares, falls=falls
        )
        most = formulas.largest(outcome, falls=falls)

        def found(size: float) -> float:
            return self.power(outcome, effect=math.copysign(min(size, most), guess), n=n, shares=shares)

        if found(most) < power:
            raise InsufficientData(
                f"with {n:,.0f} users not even the largest effect there can be would be found this surely"
            )
        return math.copysign(min(solved(found, abs(guess), power), most), guess)

    def non_inferiority_power(
        self, outcome: Outcome, *, margin: float, n: float, shares: Shares = EQUAL_HALVES
    ) -> float:
        """P(the margin of harm is cleared at some look) when there is no harm at all."""
        if not margin > 0:
            raise InsufficientData("a margin of 0 cannot be shown to be kept by any number of users")
        return self._found(outcome, delta=0.0, n=n, shares=shares, towards=margin, margin=margin)

    def non_inferiority_size(
        self, outcome: Outcome, *, margin: float, power: float, shares: Shares = EQUAL_HALVES
    ) -> int:
        """Units of all arms with which a margin is cleared with `power` when there is no harm."""
        guess = formulas.non_inferiority_size(
            _of_counts(outcome), self._asymptotic, margin=margin, power=power, shares=shares
        )
        return self._size(
            lambda n: self.non_inferiority_power(outcome, margin=margin, n=n, shares=shares),
            guess=guess,
            power=power,
        )

    @property
    def _asymptotic(self) -> Monitoring:
        return replace(self.monitoring, method="always_valid")

    def _size(self, found: Callable[[float], float], *, guess: int, power: float) -> int:
        root = solved(lambda root: found(max(root * root, 2.0)), math.sqrt(guess), power)
        if root * root > MOST_UNITS:
            raise InsufficientData("it would take more than 1e12 users")
        return max(math.ceil(root * root), 2)

    def _found(
        self, outcome: Outcome, *, delta: float, n: float, shares: Shares, towards: float, margin: float = 0.0
    ) -> float:
        """The share of runs in which the evidence sufficed at some look. towards: the sign of what is looked for."""
        if not outcome.is_proportion:
            raise InsufficientData("an e-process is for shares")
        if n < 2:
            return 0.0
        rng = np.random.default_rng(self.seed)
        share = shares.treatment / shares.both
        counts = Counts.drawn(
            rng, rates=(outcome.mean, outcome.mean + delta), share=share, runs=self.runs,
            units=np.floor(np.array(self.monitoring.looks) * n * shares.both + 1e-9).astype(np.int64),
        )  # fmt: skip
        if margin:
            # Harm is a rise for one metric and a fall for another; both are the same question with the arms exchanged.
            return float(self.clears(counts, share, margin=margin).mean())
        rises = self._ever(counts, share)
        if self.one_sided:
            return float((rises if towards > 0 else self._ever(counts.swapped(), 1 - share)).mean())
        return float((rises | self._ever(counts.swapped(), 1 - share)).mean())

    def clears(self, counts: "Counts", share: float, *, margin: float) -> NDArray[np.bool_]:
        """Runs in which the margin was cleared at some look of these counts; the planned end is that of `monitoring.tuned_to`, or their last look."""
        return self._ever(counts.swapped(), 1 - share, margin=-margin)

    def _ever(self, counts: "Counts", share: float, *, margin: float = 0.0) -> NDArray[np.bool_]:
        """Runs in which delta > margin was established at some look, from the last look backwards: whoever was found needs no more."""
        watched = self.monitoring
        needed = math.log(2 / watched.level)
        units = int(counts.n_c[0, -1] + counts.n_t[0, -1])
        planned = watched.tuned_to if watched.tuned_to is not None else units
        size, rho = bet_size(planned, watched.tuning), tightest_at(planned, watched.tuning)
        ever = np.zeros(counts.n_c.shape[0], dtype=bool)
        for k in reversed(range(counts.n_c.shape[1])):
            n_c, x_c, n_t, x_t = (each[:, k] for each in (counts.n_c, counts.x_c, counts.n_t, counts.x_t))
            z = _z(n_c, x_c, n_t, x_t, margin)
            asked = ~ever & (np.minimum(n_c, n_t) > 0) & (z * np.abs(z) > 2 * SCREEN * needed)
            if self.while_few:
                least = np.minimum.reduce([x_c, n_c - x_c, x_t, n_t - x_t])
                many = asked & (least >= FEW)
                together = int(n_c[0] + n_t[0])
                ever |= many & (z >= AlwaysValid(n=max(together, 1), rho=rho).critical(watched.level))
                asked &= least < FEW
            if asked.any():
                some = (each[asked] for each in (n_c, x_c, n_t, x_t))
                ever[asked] = log_e_value(*some, share=share, size=size, margin=margin) >= needed
        return ever


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """Units and conversions of many drawn experiments so far, each of shape (runs, looks)."""

    n_c: Floats
    x_c: Floats
    n_t: Floats
    x_t: Floats

    @classmethod
    def drawn(
        cls, rng: np.random.Generator, *, rates: tuple[float, float], share: float, runs: int, units: NDArray[np.int64]
    ) -> "Counts":  # fmt: skip
        step = np.diff(units, prepend=0)
        n_t = rng.binomial(step, share, size=(runs, len(step)))
        n_c = step - n_t
        x_c, x_t = (
            rng.binomial(n, min(max(rate, 0.0), 1.0)) for n, rate in zip((n_c, n_t), rates, strict=True)
        )
        far = [np.cumsum(each, axis=1, dtype=np.float64) for each in (n_c, x_c, n_t, x_t)]
        return cls(n_c=far[0], x_c=far[1], n_t=far[2], x_t=far[3])

    def at(self, runs: NDArray[np.bool_], look: int) -> "Counts":
        """Of these runs, at one look alone."""
        return Counts(
            **{name: getattr(self, name)[runs, look : look + 1] for name in ("n_c", "x_c", "n_t", "x_t")}
        )

    def swapped(self) -> "Counts":
        return Counts(n_c=self.n_t, x_c=self.x_t, n_t=self.n_c, x_t=self.x_c)


def evidence(
    n_c: Floats, x_c: Floats, n_t: Floats, x_t: Floats, *, share: float, planned: int | None, alpha: float
) -> Floats:
    """Log max(E_up, E_down) of each cell of counts, any shape: two-sided, significant at `level` from log(2 / level) on.

    0 where z^2 is so small that no bet can have gained much, and where an arm is empty. planned, alpha: as in `exact_sequential`.
    """
    z, size = _z(n_c, x_c, n_t, x_t, 0.0), bet_size(planned, alpha)
    found = np.zeros(np.shape(z))
    asked = (np.minimum(n_c, n_t) > 0) & (z * z > 2 * SCREEN * math.log(2 / alpha))
    for up, arms, chance in (
        (asked & (z > 0), (n_c, x_c, n_t, x_t), share),
        (asked & (z < 0), (n_t, x_t, n_c, x_c), 1 - share),
    ):
        if up.any():
            found[up] = log_e_value(*(each[up] for each in arms), share=chance, size=size)
    return found


def _of_counts(outcome: Outcome) -> Outcome:
    return replace(outcome, rho=0.0)


def _z(n_c: Floats, x_c: Floats, n_t: Floats, x_t: Floats, margin: float) -> Floats:
    """(p_T - p_C - margin) / se with the variance of each arm (Agresti and Caffo 2000 add a conversion to each, so that none is 0)."""
    a, b = (x_c + 1) / (n_c + 2), (x_t + 1) / (n_t + 2)
    return np.asarray((b - a - margin) / np.sqrt(a * (1 - a) / (n_c + 2) + b * (1 - b) / (n_t + 2)))


def solved(found: Callable[[float], float], guess: float, power: float) -> float:
    """Where a drawn curve reaches `power`, near a guess."""
    wanted = float(stats.norm.ppf(power))
    places, heights, at = list[float](), list[float](), guess
    for _ in range(ROUNDS):
        for factor in AROUND:
            share = found(at * factor)
            # A curve at its floor or ceiling says nothing about where it rises.
            places.append(at * factor)
            heights.append(float(stats.norm.ppf(min(max(share, 1e-4), 1 - 1e-4))))
        near = np.abs(np.array(heights) - wanted) < 1.5
        if near.sum() >= len(AROUND) - 1:
            x, y = np.array(places)[near], np.array(heights)[near]
            slope, level = np.polyfit(x, y, 1)
            if slope > FLATTEST:
                at = min(max(float((wanted - level) / slope), at / 2), at * 2)
                continue
        at = at * (1.5 if heights[-2] < wanted else 0.75)
    return at
