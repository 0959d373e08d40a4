"""How one comparison is watched until its planned end: the method, its share of alpha, the looks; and how sure it then is.

Everything is said on the scale of the *drift*: the expected z of the comparison when all planned units are in,

    drift = |effect| sqrt(N) / sqrt( v_C/s_C + v_T/s_T )          (s: share of the N units, v: variance of one unit)

so that what is true of a method is computed once, whatever the metric is.
"""

import math
from dataclasses import dataclass, replace
from functools import lru_cache

from scipy import optimize, stats

from analysis.stats.sequential import AlwaysValid, tightest_at
from analysis.stats.spending import LARGEST_BOUND, exit_probabilities, spending_boundaries

METHODS = ("fixed", "spending", "always_valid")
MOST_LOOKS = 200
LARGEST_ALPHA = 0.499
CERTAIN = 9.0
"""A comparison whose drift is so far above its last bound is found for certain."""
_UNITS = 10**6


@dataclass(frozen=True, slots=True, kw_only=True)
class Monitoring:
    """How a comparison is judged, and when.

    alpha: two-sided error of the whole family. comparisons: how many the family has. Each is planned at alpha / comparisons,
    which is Bonferroni: Holm rejects whatever Bonferroni rejects, so the power found is a lower bound of Holm's, and
    exact when no other comparison of the family has an effect.
    fractions: shares of the units that are in at each look, ascending, the last one 1 (`fixed` looks at that one only).
    tuned_to: units (of both arms) for which `always_valid` is tightest; None: those of the plan.
    tuned_for: the alpha of the plan where `alpha` is another one, for it is the plan's that sequences are tuned for.
    """

    method: str = "spending"
    alpha: float = 0.05
    comparisons: int = 1
    fractions: tuple[float, ...] = (1.0,)
    kind: str = "obrien_fleming"
    tuned_to: int | None = None
    tuned_for: float | None = None

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise ValueError(f"unknown method {self.method!r}; use one of {', '.join(METHODS)}")
        if not 0 < self.alpha < 0.5 or self.comparisons < 1:
            raise ValueError("alpha lies between 0 and 0.5, and there is at least one comparison")
        if not self.fractions or self.fractions[-1] != 1:
            raise ValueError("the last look is at all of the units")

    @property
    def level(self) -> float:
        """The two-sided error of one comparison."""
        return self.alpha / self.comparisons

    @property
    def looks(self) -> tuple[float, ...]:
        """The looks that count."""
        return (1.0,) if self.method == "fixed" else self.fractions

    def one_sided(self) -> "Monitoring":
        """The same with all of alpha on one side, as guardrails are judged: two-sided bounds at twice alpha (below 1/2)."""
        return replace(self, alpha=min(2 * self.alpha, LARGEST_ALPHA), tuned_for=self.tuning)

    @property
    def tuning(self) -> float:
        """The alpha that the report tunes its sequences and bets for: that of the plan, whichever side is asked about."""
        return self.alpha if self.tuned_for is None else self.tuned_for

    def bounds(self, units: float | None = None, *, level: float | None = None) -> tuple[float, ...]:
        """The bounds on |z| at the looks. units: planned for both arms together; only `always_valid` with `tuned_to` asks.

        level: another share of alpha than the Bonferroni one.

        >>> round(Monitoring(method="spending", fractions=evenly(2)).bounds()[1], 4)
        1.9793
        >>> round(Monitoring(method="always_valid").bounds()[0], 4)
        3.0352
        """
        of = self.level if level is None else level
        if self.method == "fixed":
            return (float(stats.norm.isf(of / 2)),)
        if self.method == "spending":
            return _spending(self.fractions, of, self.kind)
        scale = 1.0 if self.tuned_to is None or units is None else units / self.tuned_to
        return _sequence(self.fractions, self.tuning, of, scale)

    def detection(self, drift: float, units: float | None = None, *, one_sided: bool = False) -> float:
        """P(significant at some look) for this drift; one_sided: only upwards, as for a margin that must not be reached."""
        bounds = self.bounds(units)
        if drift >= bounds[-1] + CERTAIN:
            return 1.0
        exits = exit_probabilities(self.looks, bounds, drift)
        return min(1.0, sum(up if one_sided else down + up for down, up in exits))

    def drift_for(self, power: float, units: float | None = None, *, one_sided: bool = False) -> float:
        """The drift at which `detection` is this power.

        >>> round(Monitoring(method="fixed").drift_for(0.8), 4)
        2.8016
        """
        low = self.detection(0.0, units, one_sided=one_sided)
        if not low < power < 1:
            raise ValueError("power lies between the error rate and 1")
        root = optimize.brentq(
            lambda drift: self.detection(drift, units, one_sided=one_sided) - power,
            0.0,
            self.bounds(units)[-1] + CERTAIN,
            xtol=1e-10,
        )
        return float(root)

    def inflation(self, power: float, *, one_sided: bool = False) -> float:
        """How many times the users of one fixed look (at the same level) this needs for the same power. one_sided: as in `detection`.

        R = (drift / (z_{1 - level/2} + z_power))^2      (Jennison and Turnbull 2000, sections 2.3 and 7.2)

        >>> round(Monitoring(method="spending", fractions=evenly(14)).inflation(0.8), 3)
        1.059
        """
        fixed = Monitoring(method="fixed", alpha=self.alpha, comparisons=self.comparisons)
        mine, once = (each.drift_for(power, one_sided=one_sided) for each in (self, fixed))
        return (mine / once) ** 2


def evenly(looks: int) -> tuple[float, ...]:
    """So many looks, after the same number of units each.

    >>> evenly(4)
    (0.25, 0.5, 0.75, 1.0)
    """
    if not 1 <= looks <= MOST_LOOKS:
        raise ValueError(f"looks are 1 to {MOST_LOOKS}")
    return tuple(k / looks for k in range(1, looks + 1))


@lru_cache(maxsize=256)
def _spending(fractions: tuple[float, ...], level: float, kind: str) -> tuple[float, ...]:
    return tuple(spending_boundaries(fractions, level, kind=kind).tolist())


@lru_cache(maxsize=256)
def _sequence(fractions: tuple[float, ...], alpha: float, level: float, scale: float) -> tuple[float, ...]:
    # The bound depends on t N rho^2 alone, so that any N will do for N, with rho to match.
    rho = tightest_at(_UNITS, alpha) * math.sqrt(scale)
    bounds = (AlwaysValid(n=max(round(t * _UNITS), 1), rho=rho).critical(level) for t in fractions)
    # Nobody crosses a bound of 8 by chance, and whoever does so by effect would have been found anyway.
    return tuple(min(bound, LARGEST_BOUND) for bound in bounds)
