"""Treatment minus control, for anything that is a mean: Welch, ratio of means, CUPED; absolute and relative.

Sign convention throughout: estimate = treatment - control; positive means that the treatment has more.
`level` is the two-sided error of one comparison at one look (nominal alpha); a sequential method turns the alpha of
the whole experiment into the level of this look (`sequential.py`), and nothing here changes.
"""

import math
from dataclasses import dataclass

from scipy import stats

from analysis.stats.aggregates import Aggregate
from analysis.stats.errors import InsufficientData

NEAR_ZERO = 3.0
"""A control mean within so many of its standard errors of 0 cannot be divided by."""
DELTA_METHOD_FROM = 5.0
"""Standard errors above 0 from which on the delta method may stand in for Fieller's interval of a lift. With 3 the
intervals of early looks covered 89.5 % at 2 % and 50 users per arm and look; with 5 they cover 95.5 %."""


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
        values = (
            self.estimate,
            self.standard_error,
            self.control_mean,
            self.control_variance,
            self.covariance,
        )
        if not all(map(math.isfinite, values)):
            raise InsufficientData("the values are too large to compute with")
        if not self.standard_error > 0:
            raise InsufficientData("no outcome varies within an arm, so the spread cannot be estimated")


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
    if arm.mean_d is None or arm.variance_d is None or arm.covariance_yd is None:
        raise ValueError("a ratio needs an aggregate with a denominator")
    if not abs(arm.mean_d) > 0:
        raise InsufficientData("the denominator is 0")
    ratio = arm.mean / arm.mean_d
    total = arm.variance - 2 * ratio * arm.covariance_yd + ratio * ratio * arm.variance_d
    variance = total / arm.mean_d / arm.mean_d
    if not (math.isfinite(ratio) and math.isfinite(variance)):
        raise InsufficientData("the denominator is too near 0")
    with_x = arm.covariance_xy is not None and arm.covariance_dx is not None
    return Aggregate(
        n=arm.n,
        mean=ratio,
        variance=max(variance, 0.0),
        mean_x=arm.mean_x if with_x else None,
        variance_x=arm.variance_x if with_x else None,
        covariance_xy=((arm.covariance_xy or 0.0) - ratio * (arm.covariance_dx or 0.0)) / arm.mean_d
        if with_x
        else None,
    )


def cuped_theta(control: Aggregate, treatment: Aggregate) -> float:
    """The coefficient theta = Cov(Y, X) / Var(X), both pooled over the two arms (weights n - 1), within arms.

    Deng, Xu, Kohavi, Walker 2013, "Improving the sensitivity of online controlled experiments by utilizing
    pre-experiment data" (control variates). In units of Y per unit of X. 0 when X does not vary (nothing can be removed).
    X must be measured before the assignment; one that the treatment can change biases the effect.

    >>> arm = Aggregate(n=9, mean=1.0, variance=4.0, mean_x=1.0, variance_x=2.0, covariance_xy=1.0)
    >>> cuped_theta(arm, arm)
    0.5
    """
    if (
        control.covariance_xy is None
        or control.variance_x is None
        or treatment.covariance_xy is None
        or treatment.variance_x is None
    ):
        raise ValueError("CUPED needs aggregates with a covariate")
    total = control.n + treatment.n - 2
    share_c, share_t = (control.n - 1) / total, (treatment.n - 1) / total
    variance = share_c * control.variance_x + share_t * treatment.variance_x
    covariance = share_c * control.covariance_xy + share_t * treatment.covariance_xy
    return covariance / variance if variance > 0 else 0.0


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
    for arm in (control, treatment):
        if arm.n < 2:
            raise InsufficientData("an arm has no users" if arm.n == 0 else "an arm has only one user")
        if not arm.is_finite:
            raise InsufficientData("the data contain a value that is not a finite number")
        if arm.variance < 0 or (arm.variance_x or 0) < 0 or (arm.variance_d or 0) < 0:
            raise InsufficientData("a variance is negative, so the data were summed up wrongly")
    try:
        return _difference(control, treatment)
    except OverflowError as error:
        raise InsufficientData("the values are too large to compute with") from error


def _difference(control: Aggregate, treatment: Aggregate) -> Difference:
    if control.has_denominator and treatment.has_denominator:
        control, treatment = linearise_ratio(control), linearise_ratio(treatment)
    plain = treatment.variance / treatment.n + control.variance / control.n
    estimate = treatment.mean - control.mean
    part_t, part_c = treatment.variance / treatment.n, control.variance / control.n
    covariance = -control.variance / control.n
    if control.has_covariate and treatment.has_covariate:
        theta = cuped_theta(control, treatment)
        estimate -= theta * (float(treatment.mean_x or 0) - float(control.mean_x or 0))
        part_t, part_c = _adjusted(treatment, theta) / treatment.n, _adjusted(control, theta) / control.n
        covariance = -(control.variance - theta * float(control.covariance_xy or 0)) / control.n
    variance = part_t + part_c
    return Difference(
        estimate=estimate,
        standard_error=math.sqrt(variance) if variance > 0 else variance,
        degrees_of_freedom=_satterthwaite(part_t, treatment.n, part_c, control.n),
        n=control.n + treatment.n,
        control_mean=control.mean,
        control_variance=control.variance / control.n,
        covariance=covariance,
        variance_reduction=1 - variance / plain if plain > 0 else 0.0,
    )


def _adjusted(arm: Aggregate, theta: float) -> float:
    variance_x, covariance = float(arm.variance_x or 0), float(arm.covariance_xy or 0)
    return max(arm.variance + theta * theta * variance_x - 2 * theta * covariance, 0.0)


def _satterthwaite(part_t: float, n_t: int, part_c: float, n_c: int) -> float | None:
    total = part_t + part_c
    if not total > 0 or not math.isfinite(total):
        return None
    share = part_t / total
    return 1 / (share * share / (n_t - 1) + (1 - share) * (1 - share) / (n_c - 1))


def critical_value(level: float, degrees_of_freedom: float | None) -> float:
    """The two-sided critical value: t_{1 - level/2} with these degrees of freedom, or z_{1 - level/2} for None.

    >>> round(critical_value(0.05, None), 4)
    1.96
    """
    if not 0 < level < 1:
        raise ValueError("level lies strictly between 0 and 1")
    law = stats.norm if degrees_of_freedom is None else stats.t(degrees_of_freedom)
    return _finite(float(law.isf(level / 2)))


def p_value(effect: Difference, *, null: float = 0.0) -> float:
    """Two-sided p of H0: difference = `null` (units of the metric): 2 P(T > |estimate - null| / se).

    Valid at one look only; `sequential.py` turns it into one that is valid at every look.

    >>> d = difference(Aggregate(n=100, mean=1.0, variance=4.0), Aggregate(n=100, mean=1.5, variance=5.0))
    >>> round(p_value(d), 6)
    0.097181
    """
    statistic = abs(effect.estimate - null) / effect.standard_error
    law = stats.norm if effect.degrees_of_freedom is None else stats.t(effect.degrees_of_freedom)
    return float(min(1.0, 2 * law.sf(statistic)))


def absolute(effect: Difference, level: float) -> Interval:
    """The interval estimate -+ t_{1 - level/2} se, in units of the metric (Welch 1947).

    >>> d = difference(Aggregate(n=100, mean=1.0, variance=4.0), Aggregate(n=100, mean=1.5, variance=5.0))
    >>> round(absolute(d, 0.05).lower, 6), round(absolute(d, 0.05).upper, 6)
    (-0.09165, 1.09165)
    """
    half = _finite(critical_value(level, effect.degrees_of_freedom) * effect.standard_error)
    return Interval(effect.estimate, _finite(effect.estimate - half), _finite(effect.estimate + half))


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
    mean, t = _positive_mean(effect), critical_value(level, effect.degrees_of_freedom)
    lift = effect.estimate / mean
    v = effect.control_variance
    if mean > max(DELTA_METHOD_FROM, t) * math.sqrt(v):
        half = t * math.sqrt(lift_variance(effect))
        return Interval(_finite(lift), _finite(lift - half), _finite(lift + half))
    a = mean * mean - t * t * v
    b = effect.estimate * mean - t * t * effect.covariance
    discriminant = b * b - a * (
        effect.estimate * effect.estimate - t * t * effect.standard_error * effect.standard_error
    )
    if not (a > 0 and discriminant >= 0):
        raise InsufficientData(
            "the control mean cannot be told from 0, so a relative lift has no bounded interval"
        )
    root = math.sqrt(discriminant)
    return Interval(_finite(lift), _finite(min((b - root) / a, lift)), _finite(max((b + root) / a, lift)))


def lift_variance(effect: Difference) -> float:
    """Var(L) of `relative` by the delta method, as a share squared; the control mean must not be 0.

    Raises InsufficientData when it is too large to be written down.
    """
    mean, lift = effect.control_mean, effect.estimate / effect.control_mean
    spread = effect.standard_error * effect.standard_error + lift * lift * effect.control_variance
    return max(_finite((spread - 2 * lift * effect.covariance) / mean / mean), 0.0)


def relative_by_mapping(effect: Difference, interval: Interval) -> Interval:
    """A lift interval from an absolute one: both limits divided by the control mean, taken as known.

    Keeps the decision of the absolute interval exactly, which is why confidence sequences use it: a delta-method
    variance fails at low counts under peeking. It does not cover the uncertainty of the control mean.
    Raises InsufficientData unless the control mean is more than 3 of its standard errors above 0.
    """
    mean = _positive_mean(effect)
    if mean <= NEAR_ZERO * math.sqrt(effect.control_variance):
        raise InsufficientData(
            "the control mean cannot be told from 0, so a relative lift has no bounded interval"
        )
    return Interval(*(_finite(value / mean) for value in (interval.estimate, interval.lower, interval.upper)))


def _positive_mean(effect: Difference) -> float:
    if effect.control_mean == 0:
        raise InsufficientData("the control mean is 0, so there is no relative lift")
    if effect.control_mean < 0:
        raise InsufficientData("the control mean is negative, so a relative lift has no direction")
    return effect.control_mean


def _finite(value: float) -> float:
    if not math.isfinite(value):
        raise InsufficientData("the interval is too wide to be written down")
    return value
