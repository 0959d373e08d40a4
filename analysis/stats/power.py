"""Before there are data: how sure a comparison will be, how many units it needs, and the smallest effect that it would find.

An `Outcome` is what one unit of the control is expected to be; `Monitoring` is how the comparison is judged; shares say how the
N units of all arms are split between the two that are compared. N counts every unit of every arm.

    delta  = relative effect * reach * mean                                     (intention to treat, see `Outcome.effect_of`)
    drift  = |delta| sqrt(N) / sqrt( v_C/s_C + v_T/s_T )
    power  = P(|Z_k| >= b_k at some look k),  Z_k normal with mean drift sqrt(t_k), variance 1 and the increments of a
             Brownian motion                                  (Jennison and Turnbull 2000, sections 3.1 and 19.2)

For one look that is 1 - Phi(z - drift) + Phi(-z - drift), z = z_{1 - alpha/2}: statsmodels' NormalIndPower, and with
N = (z_{1 - alpha/2} + z_{power})^2 (v_C/s_C + v_T/s_T) / delta^2 the sample size of every textbook. The variances are those of
each arm, not pooled, as in the report's own test.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

from scipy import optimize, stats

from analysis.stats.errors import InsufficientData
from analysis.stats.monitoring import CERTAIN, Monitoring

SMALL_ARM = 500
"""Up to so many units in the smaller arm the test of one look is planned with Student's t instead of the normal."""
MOST_UNITS = 10**12
SMALLEST_LIFT, LARGEST_LIFT = 1e-12, 1e6
ITERATIONS = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What one unit of the control is expected to be.

    mean, sd: of the control, in units of the metric; a ratio gives its R and the sd of its linearised outcome
    (`difference.linearise_ratio`). is_proportion: outcomes are 0 or 1, and sd follows from the mean (`rate` makes one).
    rho: correlation with the covariate of CUPED, which leaves the share 1 - rho^2 of the variance (Deng et al. 2013, eq 4).
    reach: share of the treated arm that its message gets to, in (0, 1].
    """

    mean: float
    sd: float
    is_proportion: bool = False
    rho: float = 0.0
    reach: float = 1.0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.mean) and math.isfinite(self.sd)) or self.sd < 0:
            raise ValueError("mean and sd are finite, and sd is not negative")
        if not -1 < self.rho < 1 or not 0 < self.reach <= 1:
            raise ValueError("rho lies between -1 and 1, reach in (0, 1]")
        if self.is_proportion and not 0 <= self.mean <= 1:
            raise ValueError("a proportion lies in [0, 1]")

    @classmethod
    def rate(cls, mean: float, *, rho: float = 0.0, reach: float = 1.0) -> "Outcome":
        """A proportion.

        >>> Outcome.rate(0.1).sd
        0.3
        """
        if not 0 <= mean <= 1:
            raise ValueError("a proportion lies in [0, 1]")
        sd = math.sqrt(mean * (1 - mean))
        return cls(mean=mean, sd=round(sd, 15), is_proportion=True, rho=rho, reach=reach)

    def effect_of(self, relative: float) -> float:
        """The intention-to-treat difference of a relative effect on those who are reached: delta = relative * reach * mean.

        Whoever is not reached is as in the control, so that the assigned arm as a whole differs by the share reached.
        """
        return relative * self.reach * self.mean

    def variances(self, delta: float) -> tuple[float, float]:
        """Of one unit in the control and in the treatment, when their means differ by delta (intention to treat).

            proportion   v_C = p (1 - p) (1 - rho^2),  v_T = (p + delta)(1 - p - delta)(1 - rho^2)
            others       v_C = sd^2 (1 - rho^2),       v_T = v_C + delta^2 (1 - reach)/reach

        The last term is the variance of who is reached: those move by delta/reach, the others not at all.
        """
        left = 1 - self.rho * self.rho
        if self.is_proportion:
            rate = min(max(self.mean + delta, 0.0), 1.0)
            return self.mean * (1 - self.mean) * left, rate * (1 - rate) * left
        own = self.sd * self.sd * left
        return own, own + delta * delta * (1 - self.reach) / self.reach


@dataclass(frozen=True, slots=True, kw_only=True)
class Shares:
    """The shares of all units that are in the control and in the treatment; the rest is in other arms."""

    control: float
    treatment: float

    def __post_init__(self) -> None:
        if not (self.control > 0 and self.treatment > 0 and self.control + self.treatment <= 1 + 1e-9):
            raise ValueError("both shares are positive, and together at most 1")

    @property
    def both(self) -> float:
        return self.control + self.treatment


EQUAL_HALVES = Shares(control=0.5, treatment=0.5)


def power(
    outcome: Outcome, monitoring: Monitoring, *, effect: float, n: float, shares: Shares = EQUAL_HALVES
) -> float:
    """P(the comparison becomes significant by the planned end) for a relative effect on those who are reached.

    n: units of all arms. Two-sided; at an effect of 0 it is the error rate. Small fixed samples (up to 500 units in an arm) use
    the noncentral t with the degrees of freedom of Satterthwaite, which for equal arms is statsmodels' TTestIndPower.
    Not for a handful of conversions (the report then tests exactly) nor for quantiles.
    Raises InsufficientData when the effect would push a rate out of [0, 1], or when nothing varies.

    >>> round(power(Outcome.rate(0.1), Monitoring(method="fixed"), effect=0.1, n=14_000), 3)
    0.488
    """
    delta = outcome.effect_of(possible(outcome, effect))
    return _detected(outcome, monitoring, delta=delta, distance=abs(delta), n=n, shares=shares)


def sample_size(
    outcome: Outcome, monitoring: Monitoring, *, effect: float, power: float, shares: Shares = EQUAL_HALVES
) -> int:
    """The fewest units of all arms with which `power` is reached.

    Raises InsufficientData when there is no effect (a mean or an effect of 0), when the effect cannot be, or when more than
    1e12 units would be needed.

    >>> sample_size(Outcome.rate(0.1), Monitoring(method="fixed"), effect=0.1, power=0.8)
    29497
    """
    delta = outcome.effect_of(possible(outcome, effect))
    if delta == 0:
        raise InsufficientData("an effect of 0 is found by no number of users")
    return _fewest(outcome, monitoring, delta=delta, distance=abs(delta), power=power, shares=shares)


def minimum_detectable_effect(
    outcome: Outcome,
    monitoring: Monitoring,
    *,
    n: float,
    power: float,
    shares: Shares = EQUAL_HALVES,
    falls: bool = False,
) -> float:
    """The smallest relative effect on those who are reached that n units find with `power`; negative when `falls`.

    Raises InsufficientData when the mean is not positive (nothing is relative to it) or when no effect is large enough.

    >>> round(minimum_detectable_effect(Outcome.rate(0.1), Monitoring(method="fixed"), n=29_497, power=0.8), 4)
    0.1
    """
    if not outcome.mean > 0:
        raise InsufficientData("the base is not above 0, so that no effect is relative to it")
    sign = -1.0 if falls else 1.0
    most = largest(outcome, falls=falls)

    def missing(effect: float) -> float:
        delta = outcome.effect_of(sign * effect)
        found = _detected(outcome, monitoring, delta=delta, distance=abs(delta), n=n, shares=shares)
        return found - power

    if missing(most) < 0:
        raise InsufficientData(
            f"with {n:,.0f} users not even the largest effect there can be would be found this surely"
        )
    low = most
    while missing(low) >= 0:
        low /= 4
        if low < SMALLEST_LIFT:
            return sign * low
    return sign * float(optimize.brentq(missing, low, min(low * 4, most), xtol=1e-12))


def non_inferiority_power(
    outcome: Outcome, monitoring: Monitoring, *, margin: float, n: float, shares: Shares = EQUAL_HALVES
) -> float:
    """P(the interval ends before the margin of harm) when there is no harm at all.

        one look:  Phi( margin sqrt(N) / sqrt(v_C/s_C + v_T/s_T) - z_{1 - alpha/2} )         (v_T = v_C)

    margin: in units of the metric, above 0. Only the side of harm counts, at half of the two-sided level; the report spends all of alpha on
    that side (`Monitoring.one_sided`) and does not split it over the guardrails (leave `comparisons` at 1). Reach does not matter where nothing happens.

    >>> round(non_inferiority_power(Outcome.rate(0.01), Monitoring(method="fixed"), margin=0.002, n=80_000), 3)
    0.811
    """
    if not margin > 0:
        raise InsufficientData("a margin of 0 cannot be shown to be kept by any number of users")
    return _detected(outcome, monitoring, delta=0.0, distance=margin, n=n, shares=shares, one_sided=True)


def non_inferiority_size(
    outcome: Outcome, monitoring: Monitoring, *, margin: float, power: float, shares: Shares = EQUAL_HALVES
) -> int:
    """The fewest units of all arms with which `non_inferiority_power` is reached; raises as `sample_size` does.

    >>> non_inferiority_size(Outcome.rate(0.01), Monitoring(method="fixed"), margin=0.002, power=0.8)
    77704
    """
    if not margin > 0:
        raise InsufficientData("a margin of 0 cannot be shown to be kept by any number of users")
    return _fewest(
        outcome, monitoring, delta=0.0, distance=margin, power=power, shares=shares, one_sided=True
    )


def possible(outcome: Outcome, effect: float) -> float:
    """The effect, if there can be such a one; raises InsufficientData when it would push a rate out of [0, 1]."""
    if not math.isfinite(effect):
        raise ValueError("an effect is a finite number")
    if outcome.is_proportion and abs(effect) > largest(outcome, falls=effect < 0) * (1 + 1e-12):
        raise InsufficientData(
            f"a rate of {outcome.mean:.4g} cannot change by {effect:+.4g} of itself: it would leave 0 to 1"
        )
    return effect


def largest(outcome: Outcome, *, falls: bool) -> float:
    """The largest relative effect on those who are reached."""
    if not outcome.is_proportion:
        return LARGEST_LIFT
    return 1.0 if falls or outcome.mean == 0 else (1 - outcome.mean) / outcome.mean


def _spread(outcome: Outcome, delta: float, shares: Shares) -> tuple[float, float]:
    """The two parts of the variance of the difference, times N."""
    of_control, of_treatment = outcome.variances(delta)
    parts = of_control / shares.control, of_treatment / shares.treatment
    if not sum(parts) > 0:
        raise InsufficientData("the outcome does not vary, so there is no chance to plan with")
    return parts


def _detected(
    outcome: Outcome,
    monitoring: Monitoring,
    *,
    delta: float,
    distance: float,
    n: float,
    shares: Shares,
    one_sided: bool = False,
) -> float:
    if n <= 0:
        return 0.0
    parts = _spread(outcome, delta, shares)
    drift = distance * math.sqrt(n / sum(parts))
    n_c, n_t = shares.control * n, shares.treatment * n
    if len(monitoring.looks) == 1 and monitoring.method != "always_valid" and min(n_c, n_t) <= SMALL_ARM:
        return _student(drift, parts, n_c, n_t, level=monitoring.level, one_sided=one_sided)
    return monitoring.detection(drift, shares.both * n, one_sided=one_sided)


def _student(
    drift: float, parts: tuple[float, float], n_c: float, n_t: float, *, level: float, one_sided: bool
) -> float:
    if min(n_c, n_t) < 2:
        return 0.0
    share = parts[1] / sum(parts)
    freedom = 1 / (share * share / (n_t - 1) + (1 - share) * (1 - share) / (n_c - 1))
    critical = float(stats.t.isf(level / 2, freedom))
    if drift > critical + CERTAIN:
        return 1.0
    above = float(stats.nct.sf(critical, freedom, drift))
    below = 0.0 if one_sided else float(stats.nct.cdf(-critical, freedom, drift))
    # The noncentral t loses its far tail to rounding.
    return min(1.0, above + (below if math.isfinite(below) else 0.0))


def _fewest(
    outcome: Outcome,
    monitoring: Monitoring,
    *,
    delta: float,
    distance: float,
    power: float,
    shares: Shares,
    one_sided: bool = False,
) -> int:
    total = sum(_spread(outcome, delta, shares))

    def enough(n: float) -> bool:
        found = _detected(
            outcome, monitoring, delta=delta, distance=distance, n=n, shares=shares, one_sided=one_sided
        )
        return found >= power

    guess, units = 0.0, None
    for _ in range(ITERATIONS):
        # A sequence that is tuned to another number of users has bounds that depend on theirs.
        drift = monitoring.drift_for(power, units, one_sided=one_sided)
        times = drift / distance
        before, guess = guess, times * times * total
        if not guess <= MOST_UNITS:
            raise InsufficientData("it would take more than 1e12 users")
        units = shares.both * guess
        if monitoring.tuned_to is None or abs(guess - before) < 0.25:
            break
    return _first(enough, max(math.ceil(guess), 2))


def _first(enough: Callable[[float], bool], guess: int) -> int:
    """The smallest whole number (above 1) that is enough, looked for around a guess that is nearly right."""
    high, stride = guess, 1
    while not enough(high):
        if high > MOST_UNITS:
            raise InsufficientData("it would take more than 1e12 users")
        high, stride = high + stride, stride * 2
    low, stride = high - 1, 1
    while low > 1 and enough(low):
        high, low, stride = low, low - stride, stride * 2
    low = max(low, 1)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high
