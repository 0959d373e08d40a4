"""Looking more than once: what one look may claim so that all looks together keep their promise.

A rule turns the alpha of the whole experiment into the *level* of one comparison at this look, and the p-value of
this look into one that is valid at every look. The two are inverse: `overall_p(p) < alpha` exactly when
`p < level(alpha)`, so intervals, p-values and decisions agree whatever the comparison (Welch, exact, quantile) is.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Protocol, Self

import numpy as np
from scipy import interpolate, optimize, stats

from analysis.stats.spending import spending_boundaries
from analysis.stats.variance_clock import VarianceClock, looks_that_count

LOOK_RESOLUTION = 0.01
"""Looks nearer to the last counted one than this share of the information are not counted as looks of their own."""
SIEGMUND = 0.5826
"""-zeta(1/2)/sqrt(2 pi): how far, in steps, a walk overshoots a boundary (Siegmund 1985, chapter X)."""
DEFAULT_PLANNED_N = 5000
_SMALLEST_P = 1e-300
_CURVE = (
    1e-9, 1e-7, 1e-6, 1e-5, 1e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 0.01, 0.0167, 0.025, 0.035, 0.05, 0.075, 0.1, 0.15, 0.2,
    0.3, 0.5, 0.7, 0.9, 0.99,
)  # fmt: skip


class Rule(Protocol):
    """How a comparison at this look is judged."""

    def level(self, alpha: float) -> float:
        """The two-sided error that an interval at this look may have."""
        ...

    def overall_p(self, p: float) -> float:
        """The p-value that is valid at every look, from the p-value of this look."""
        ...


@dataclass(frozen=True, slots=True)
class FixedHorizon:
    """One look, at the planned end. Not valid when somebody looks earlier and acts on it."""

    def level(self, alpha: float) -> float:
        return alpha

    def overall_p(self, p: float) -> float:
        return p


@dataclass(frozen=True, slots=True)
class EveryLook:
    """For a comparison whose own p-value and interval hold at every look (`eprocess.ExactSequential`): nothing to add."""

    def level(self, alpha: float) -> float:
        return alpha

    def overall_p(self, p: float) -> float:
        return p


@dataclass(frozen=True, slots=True, kw_only=True)
class AlwaysValid:
    """An asymptotic confidence sequence: valid at every sample size, with no maximum.

    Waudby-Smith, Arbour, Sinha, Kennedy, Ramdas (arXiv 2103.06476), Theorem 2.2, with se sqrt(N) for the standard
    deviation: estimate -+ se c,  c^2 = 2 (N rho^2 + 1) / (N rho^2) log( sqrt(N rho^2 + 1) / alpha ), and its inverse
    p = min(1, sqrt(N rho^2 + 1) exp( -rho^2 z^2 N / (2 (N rho^2 + 1)) )).
    n: units in both arms now. rho: where the sequence is tightest (`tightest_at`); it is fixed before the first look.
    Asymptotic: not for a handful of units or successes. Wider than `spending` when a maximum is known.
    """

    n: int
    rho: float

    def __post_init__(self) -> None:
        if self.n < 1 or not self.rho > 0:
            raise ValueError("n and rho must be positive")

    def critical(self, alpha: float) -> float:
        """The multiplier c of the standard error.

        >>> round(AlwaysValid(n=5000, rho=tightest_at(5000, 0.05)).critical(0.05), 3)
        3.035
        """
        scaled = self.n * self.rho**2
        return math.sqrt(2 * (scaled + 1) / scaled * (0.5 * math.log1p(scaled) - math.log(alpha)))

    def level(self, alpha: float) -> float:
        return max(float(2 * stats.norm.sf(self.critical(alpha))), _SMALLEST_P)

    def overall_p(self, p: float) -> float:
        z, scaled = _z(p), self.n * self.rho**2
        return float(
            min(1.0, math.exp(min(0.0, 0.5 * math.log1p(scaled) - z**2 * scaled / (2 * (scaled + 1)))))
        )


def tightest_at(planned_n: int | None, alpha: float) -> float:
    """The parameter rho for which the confidence sequence is tightest when `planned_n` units (both arms) are in.

    rho = sqrt( (-2 log alpha + log(1 - 2 log alpha)) / N_star )   (arXiv 2103.06476, on tuning rho). Default N_star 5000.

    >>> round(tightest_at(5000, 0.05), 6)
    0.03984
    """
    at = planned_n if planned_n and planned_n > 0 else DEFAULT_PLANNED_N
    return math.sqrt((-2 * math.log(alpha) + math.log1p(-2 * math.log(alpha))) / at)


@dataclass(frozen=True, slots=True, kw_only=True)
class Spending:
    """Group-sequential boundaries from an alpha-spending function; repeated confidence intervals and p-values.

    The interval at look k is estimate -+ b_k se (Jennison and Turnbull 2000, chapter 9); the p-value is the smallest
    alpha whose boundary this look crosses (ibid., the repeated p-value). Built by `spending_rule`.
    fractions: of the looks that count, this one last. allowance: added to the bound at a look that does not count.
    times: the variance of what is tested at those looks, as shares of the last one's; None: the share of users is the share of variance.
    """

    fractions: tuple[float, ...]
    alpha: float
    kind: str = "obrien_fleming"
    final: bool = False
    allowance: float = 0.0
    times: tuple[float, ...] | None = None

    def on(self, clock: VarianceClock) -> Self:
        """The same spending of alpha, with looks as alike as their variances say (`VarianceClock`), not their users.

        >>> early, late = VarianceClock.of_looks([0.5, 1.0], [0.02, 0.06]), spending_rule([0.5], 1.0, 0.05)
        >>> round(late.bound(0.05), 4), round(late.on(early).bound(0.05), 4)
        (1.9793, 1.9992)
        """
        times = clock.times(self.fractions)
        kept = looks_that_count(times)
        return replace(
            self, fractions=tuple(self.fractions[k] for k in kept), times=tuple(times[k] for k in kept)
        )

    def bound(self, alpha: float) -> float:
        """The bound on |z| at this look.

        >>> round(spending_rule([0.5], 1.0, 0.05).bound(0.05), 4)
        1.9793
        """
        wanted = math.log(min(max(alpha, _CURVE[0]), _CURVE[-1]))
        return float(self._curve()(wanted)) + self.allowance

    def level(self, alpha: float) -> float:
        return float(2 * stats.norm.sf(self.bound(alpha)))

    def overall_p(self, p: float) -> float:
        z, curve = _z(p) - self.allowance, self._curve()
        smallest, largest = math.log(_CURVE[0]), math.log(_CURVE[-1])
        if z <= float(curve(largest)):
            return 1.0
        if z >= float(curve(smallest)):
            return _CURVE[0]
        return float(math.exp(optimize.brentq(lambda x: float(curve(x)) - z, smallest, largest, xtol=1e-12)))

    def _curve(self) -> interpolate.PchipInterpolator:
        return _boundary_curve(self.fractions, self.times, self.alpha, self.kind, self.final)


def spending_rule(
    looks: Sequence[float],
    now: float,
    alpha: float,
    *,
    kind: str = "obrien_fleming",
    final: bool = False,
) -> Spending:
    """The rule at information fraction `now`, after earlier looks at `looks` (any order; repeats are one look).

    Fractions above 1 (more data than planned) count as 1. A dashboard looks far more often than information arrives:
    a look less than 0.01 after the last counted one takes that one's bound plus 0.5826 sqrt(0.01 / t), Siegmund's
    allowance for watching in between. final: this is the last look, which spends what is left.
    ValueError when `now` is not positive.
    """
    if not now > 0:
        raise ValueError("the information fraction must be positive")
    now = min(now, 1.0)
    counted: list[float] = []
    for look in sorted(min(look, 1.0) for look in looks if look > 0):
        if look < now - 1e-9 and (not counted or look >= counted[-1] + LOOK_RESOLUTION):
            counted.append(look)
    if final or now == 1.0:
        counted = [look for look in counted if look <= now - 1e-4]
        return Spending(fractions=(*counted, now), alpha=alpha, kind=kind, final=final)
    if counted and now < counted[-1] + LOOK_RESOLUTION:
        allowance = SIEGMUND * math.sqrt(LOOK_RESOLUTION / now)
        return Spending(fractions=tuple(counted), alpha=alpha, kind=kind, allowance=allowance)
    return Spending(fractions=(*counted, now), alpha=alpha, kind=kind)


@lru_cache(maxsize=64)
def _boundary_curve(
    fractions: tuple[float, ...], times: tuple[float, ...] | None, alpha: float, kind: str, final: bool
) -> interpolate.PchipInterpolator:
    # The bound of this look as a monotone function of log alpha; exact at the plan's own alpha.
    alphas = sorted({*_CURVE, alpha})
    bounds = [
        spending_boundaries(fractions, each, kind=kind, final=final, times=times)[-1] for each in alphas
    ]
    return interpolate.PchipInterpolator(np.log(alphas), np.minimum.accumulate(bounds))


def _z(p: float) -> float:
    return float(stats.norm.isf(max(p, _SMALLEST_P) / 2))
