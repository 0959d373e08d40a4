"""Treatment minus control, for anything that is a mean: Welch, ratio of means, CUPED; absolute and relative.

The formulas are in `welch.py`, which computes one comparison or many (`comparisons.py`) with the same code; here they
are shown for one, with an exception in words where there is no answer. Sign convention throughout: estimate = treatment - control; positive means that the treatment has more.
`level` is the two-sided error of one comparison at one look (nominal alpha); a sequential method turns the alpha of
the whole experiment into the level of this look (`sequential.py`), and nothing here changes.
"""

import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from analysis.stats import welch
from analysis.stats.aggregates import Aggregate
from analysis.stats.errors import InsufficientData
from analysis.stats.reasons import NOTHING_WRONG, Reason, raise_for, words
from analysis.stats.welch import DELTA_METHOD_FROM, NEAR_ZERO

__all__ = [
    "DELTA_METHOD_FROM", "NEAR_ZERO", "Difference", "Interval", "absolute", "critical_value", "cuped_theta",
    "difference", "lift_variance", "linearise_ratio", "p_value", "relative", "relative_by_mapping",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate with its confidence limits, in the same units; lower <= estimate <= upper."""

    estimate: float
    lower: float
    upper: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """Treatment minus control, ready to be tested.

    estimate, standard_error: units of the metric. degrees_of_freedom: of Student's t; None for a normal.
    n: units in both arms. control_mean, control_variance: the unadjusted control mean and the variance of that mean.
    covariance: of the estimate with the control mean. variance_reduction: share of the variance that CUPED removed.
    """

    estimate: float
    standard_error: float
    degrees_of_freedom: float | None
    n: int
    control_mean: float
    control_variance: float
    covariance: float
    variance_reduction: float = 0.0

    def __post_init__(self) -> None:
        raise_for(welch.untestable(_effects(self), NOTHING_WRONG))


def linearise_ratio(arm: Aggregate) -> Aggregate:
    """A ratio of means M/D as the mean of a linearised outcome, so that it is compared like a mean.

        R = mu_M / mu_D        s2_R = (s2_M - 2 R s_MD + R^2 s2_D) / mu_D^2        s_RX = (s_MX - R s_DX) / mu_D

    Delta method: Deng, Knoblich, Lu 2018, "Applying the delta method in metric analytics" (metrics by unit).
    Takes an aggregate with a denominator (n units); returns one without, mean R and variance s2_R; the covariate is
    kept. Not for denominators whose mean is near 0. Raises InsufficientData when the mean denominator is 0.

    >>> arm = Aggregate(n=50, mean=3.0, variance=2.0, mean_d=2.0, variance_d=1.0, covariance_yd=0.5)
    >>> linearise_ratio(arm).mean, linearise_ratio(arm).variance
    (1.5, 0.6875)
    """
    if not arm.has_denominator:
        raise ValueError("a ratio needs an aggregate with a denominator")
    linear, reason = welch.linearised(_arms(arm), NOTHING_WRONG)
    raise_for(reason)
    return Aggregate(n=arm.n, **{name: float(value) for name, value in linear.moments().items()})


def cuped_theta(control: Aggregate, treatment: Aggregate) -> float:
    """The coefficient theta = Cov(Y, X) / Var(X), both pooled over the two arms (weights n - 1), within arms.

    Deng, Xu, Kohavi, Walker 2013, "Improving the sensitivity of online controlled experiments by utilizing
    pre-experiment data" (control variates). In units of Y per unit of X. 0 when X does not vary (nothing can be removed).
    X must be measured before the assignment; one that the treatment can change biases the effect.

    >>> arm = Aggregate(n=9, mean=1.0, variance=4.0, mean_x=1.0, variance_x=2.0, covariance_xy=1.0)
    >>> cuped_theta(arm, arm)
    0.5
    """
    for arm in (control, treatment):
        if arm.variance_x is None or arm.covariance_xy is None:
            raise ValueError("CUPED needs aggregates with a covariate")
    return float(welch.common_slope(_arms(control), _arms(treatment)))


def difference(control: Aggregate, treatment: Aggregate) -> Difference:
    """Treatment minus control: of means, of ratios (where there is a denominator), with CUPED (where there is a covariate).

        estimate = m_T - m_C                            se^2 = s2_T/n_T + s2_C/n_C            (Welch 1947)
        dof = se^4 / ((s2_T/n_T)^2/(n_T - 1) + (s2_C/n_C)^2/(n_C - 1))                      (Satterthwaite 1946, eq 17)
        CUPED:  m_adj = m_Y - theta (m_X - pooled m_X),  s2_adj = s2_Y + theta^2 s2_X - 2 theta s_XY

    n per arm in units, means in the units of the metric. Not for a handful of successes (see `proportions`), for
    quantiles, or for rows that are not independent (sum them per unit first).
    Raises InsufficientData when an arm has fewer than two units, when nothing varies, or when a value is not finite.

    >>> control = Aggregate(n=100, mean=1.0, variance=4.0)
    >>> treatment = Aggregate(n=100, mean=1.5, variance=5.0)
    >>> d = difference(control, treatment)
    >>> d.estimate, d.standard_error, round(d.degrees_of_freedom, 2)
    (0.5, 0.3, 195.59)
    """
    found, reason = welch.effects(_arms(control), _arms(treatment))
    raise_for(reason)
    return Difference(
        **{name: float(getattr(found, name)) for name in _NUMBERS},
        degrees_of_freedom=float(found.degrees_of_freedom),
        n=control.n + treatment.n,
    )


def critical_value(level: float, degrees_of_freedom: float | None) -> float:
    """The two-sided critical value: t_{1 - level/2} with these degrees of freedom, or z_{1 - level/2} for None.

    >>> round(critical_value(0.05, None), 4)
    1.96
    """
    _check_level(level)
    return _finite(float(welch.critical_values(_one(level), _degrees(degrees_of_freedom))))


def p_value(effect: Difference, *, null: float = 0.0) -> float:
    """Two-sided p of H0: difference = `null` (units of the metric): 2 P(T > |estimate - null| / se).

    Valid at one look only; `sequential.py` turns it into one that is valid at every look.

    >>> d = difference(Aggregate(n=100, mean=1.0, variance=4.0), Aggregate(n=100, mean=1.5, variance=5.0))
    >>> round(p_value(d), 6)
    0.097181
    """
    return float(welch.two_sided(_effects(effect), _one(null)))


def absolute(effect: Difference, level: float) -> Interval:
    """The interval estimate -+ t_{1 - level/2} se, in units of the metric (Welch 1947).

    >>> d = difference(Aggregate(n=100, mean=1.0, variance=4.0), Aggregate(n=100, mean=1.5, variance=5.0))
    >>> round(absolute(d, 0.05).lower, 6), round(absolute(d, 0.05).upper, 6)
    (-0.09165, 1.09165)
    """
    _check_level(level)
    lower, upper, reason = welch.absolute_limits(_effects(effect), _one(level))
    raise_for(reason)
    return Interval(effect.estimate, float(lower), float(upper))


def relative(effect: Difference, level: float) -> Interval:
    """The lift L = (m_T - m_C) / m_C as a share of the *unadjusted* control mean (0.1 is +10 %), with its interval.

    Control mean more than 5 of its standard errors (and more than t of them) above 0: delta method (Deng, Knoblich,
    Lu 2018, percent change),
        Var(L) = (se^2 + L^2 v_C - 2 L c) / m_C^2,  v_C = Var(m_C), c = Cov(m_T - m_C, m_C),
    which without CUPED is s2_T/(n_T m_C^2) + s2_C m_T^2/(n_C m_C^4). Nearer to 0: Fieller 1954, the roots of
        (m_C^2 - t^2 v_C) L^2 - 2 (delta m_C - t^2 c) L + (delta^2 - t^2 se^2) = 0.
    Raises InsufficientData when the control mean is not positive or Fieller's set is unbounded.

    >>> d = difference(Aggregate(n=400, mean=1.0, variance=4.0), Aggregate(n=400, mean=1.5, variance=5.0))
    >>> lift = relative(d, 0.05)
    >>> lift.estimate, round(lift.lower, 4), round(lift.upper, 4)
    (0.5, 0.1328, 0.8672)
    """
    _check_level(level)
    lift, lower, upper, reason = welch.relative_limits(_effects(effect), _one(level))
    raise_for(reason)
    return Interval(float(lift), float(lower), float(upper))


def lift_variance(effect: Difference) -> float:
    """Var(L) of `relative` by the delta method, as a share squared; the control mean must not be 0.

    Raises InsufficientData when it is too large to be written down.
    """
    return _finite(float(welch.lift_variances(_effects(effect))))


def relative_by_mapping(effect: Difference, interval: Interval) -> Interval:
    """A lift interval from an absolute one: both limits divided by the control mean, taken as known.

    Keeps the decision of the absolute interval exactly, which is why confidence sequences use it: a delta-method
    variance fails at low counts under peeking. It does not cover the uncertainty of the control mean.
    Raises InsufficientData unless the control mean is more than 3 of its standard errors above 0.
    """
    raise_for(welch.no_lift(_effects(effect)))
    mean = effect.control_mean
    if mean <= NEAR_ZERO * math.sqrt(effect.control_variance):
        raise_for(Reason.CONTROL_NEAR_ZERO)
    return Interval(*(_finite(value / mean) for value in (interval.estimate, interval.lower, interval.upper)))


_NUMBERS: Final = (
    "estimate", "standard_error", "control_mean", "control_variance", "covariance", "variance_reduction",
)  # fmt: skip


def _one(value: float) -> Any:
    # A numpy scalar computes like an array (no exception for 1/0) at a tenth of the cost of an array of length 1.
    try:
        return np.float64(value)
    except OverflowError as error:
        raise InsufficientData(words(Reason.TOO_LARGE)) from error


def _arms(arm: Aggregate) -> welch.Arms:
    parts: dict[str, Any] = {name: _one(value) for name, value in arm.moments().items()}
    return welch.Arms(n=_one(arm.n), **parts)


def _effects(effect: Difference) -> welch.Effects:
    return welch.Effects(
        **{name: _one(getattr(effect, name)) for name in _NUMBERS},
        degrees_of_freedom=_degrees(effect.degrees_of_freedom),
        n=_one(effect.n),
    )


def _degrees(degrees_of_freedom: float | None) -> Any:
    return _one(math.inf if degrees_of_freedom is None else degrees_of_freedom)


def _check_level(level: float) -> None:
    if not 0 < level < 1:
        raise ValueError("level lies strictly between 0 and 1")


def _finite(value: float) -> float:
    if not math.isfinite(value):
        raise_for(Reason.TOO_WIDE)
    return value
