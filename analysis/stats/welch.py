"""The formulas of a comparison over numpy values: of one comparison (numpy scalars) or of many (arrays), the same code.

`difference.py` shows them for one comparison and says where each comes from, `comparisons.py` for many. Nothing raises
for data and nothing warns: each function hands on the code of the first thing that is wrong (`reasons.py`), and where
there is one, the numbers beside it mean nothing.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special

from analysis.stats.aggregates import Parts
from analysis.stats.reasons import NOTHING_WRONG, Codes, Reason, blame, choose

NEAR_ZERO = 3.0
"""A control mean within so many of its standard errors of 0 cannot be divided by."""
DELTA_METHOD_FROM = 5.0
"""Standard errors above 0 from which on the delta method may stand in for Fieller's interval of a lift. With 3 the
intervals of early looks covered 89.5 % at 2 % and 50 users per arm and look; with 5 they cover 95.5 %."""

Floats = NDArray[np.float64]
"""One number for each comparison, or one for all; a numpy scalar where there is only one comparison."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arms(Parts):
    """The same arm in many comparisons: the fields of `Aggregate`, one array each (of one length, or one number)."""

    n: Floats
    mean: Floats
    variance: Floats
    mean_d: Floats | None = None
    variance_d: Floats | None = None
    covariance_yd: Floats | None = None
    mean_x: Floats | None = None
    variance_x: Floats | None = None
    covariance_xy: Floats | None = None
    covariance_dx: Floats | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Effects:
    """Treatment minus control: the fields of `Difference`, one array each. degrees_of_freedom: infinite for a normal."""

    estimate: Floats
    standard_error: Floats
    degrees_of_freedom: Floats
    n: Floats
    control_mean: Floats
    control_variance: Floats
    covariance: Floats
    variance_reduction: Floats


def effects(control: Arms, treatment: Arms) -> tuple[Effects, Codes]:
    """`difference.difference`, and why it cannot be told."""
    with np.errstate(all="ignore"):
        reason = _unusable(treatment, _unusable(control, NOTHING_WRONG))
        if control.has_denominator and treatment.has_denominator:
            control, reason = linearised(control, reason)
            treatment, reason = linearised(treatment, reason)
        part_t, part_c = treatment.variance / treatment.n, control.variance / control.n
        plain = part_t + part_c
        estimate = treatment.mean - control.mean
        covariance = -part_c
        if control.has_covariate and treatment.has_covariate:
            theta = common_slope(control, treatment)
            estimate = estimate - theta * (_known(treatment.mean_x) - _known(control.mean_x))
            covariance = -(control.variance - theta * _known(control.covariance_xy)) / control.n
            part_t, part_c = _adjusted(treatment, theta) / treatment.n, _adjusted(control, theta) / control.n
        variance = part_t + part_c
        found = Effects(
            estimate=estimate,
            standard_error=choose(variance > 0, np.sqrt(np.abs(variance)), variance),
            degrees_of_freedom=_satterthwaite(part_t, treatment.n, part_c, control.n),
            n=control.n + treatment.n,
            control_mean=control.mean,
            control_variance=control.variance / control.n,
            covariance=covariance,
            variance_reduction=choose(plain > 0, 1 - variance / plain, np.float64(0)),
        )
        return found, untestable(found, reason)


def _known(values: Floats | None) -> Floats:
    assert values is not None  # noqa: S101  # asked only of arms that have the part
    return values


def _unusable(arm: Arms, reason: Codes) -> Codes:
    reason = blame(reason, arm.n == 0, Reason.NO_USERS)
    reason = blame(reason, arm.n < 2, Reason.ONE_USER)
    reason = blame(reason, _not_finite(*arm.moments().values()), Reason.NOT_FINITE)
    for variance in (arm.variance, arm.variance_x, arm.variance_d):
        if variance is not None:
            reason = blame(reason, variance < 0, Reason.NEGATIVE_VARIANCE)
    return reason


def _not_finite(first: Any, *others: Any) -> Any:
    finite = np.isfinite(first)
    for values in others:
        finite = finite & np.isfinite(values)
    return np.logical_not(finite)


def untestable(found: Effects, reason: Codes) -> Codes:
    """What keeps an effect from being tested, after what was wrong before."""
    wrong = _not_finite(
        found.estimate, found.standard_error, found.control_mean, found.control_variance, found.covariance
    )
    reason = blame(reason, wrong, Reason.TOO_LARGE)
    return blame(reason, np.logical_not(found.standard_error > 0), Reason.NO_SPREAD)


def linearised(arm: Arms, reason: Codes) -> tuple[Arms, Codes]:
    """`difference.linearise_ratio`, and why not. The arm has a denominator."""
    with np.errstate(all="ignore"):
        mean_d, variance_d = _known(arm.mean_d), _known(arm.variance_d)
        reason = blame(reason, np.logical_not(np.abs(mean_d) > 0), Reason.NO_DENOMINATOR)
        ratio = arm.mean / mean_d
        total = arm.variance - 2 * ratio * _known(arm.covariance_yd) + ratio * ratio * variance_d
        variance = total / mean_d / mean_d
        reason = blame(reason, _not_finite(ratio, variance), Reason.SMALL_DENOMINATOR)
        with_x = arm.covariance_xy is not None and arm.covariance_dx is not None
        linear = Arms(
            n=arm.n,
            mean=ratio,
            variance=np.maximum(variance, 0.0),
            mean_x=arm.mean_x if with_x else None,
            variance_x=arm.variance_x if with_x else None,
            covariance_xy=(_known(arm.covariance_xy) - ratio * _known(arm.covariance_dx)) / mean_d
            if with_x
            else None,
        )
        return linear, reason


def common_slope(control: Arms, treatment: Arms) -> Floats:
    """`difference.cuped_theta`. Both arms have a covariate."""
    with np.errstate(all="ignore"):
        total = control.n + treatment.n - 2
        share_c, share_t = (control.n - 1) / total, (treatment.n - 1) / total
        variance = share_c * _known(control.variance_x) + share_t * _known(treatment.variance_x)
        covariance = share_c * _known(control.covariance_xy) + share_t * _known(treatment.covariance_xy)
        slope: Floats = choose(variance > 0, covariance / variance, np.float64(0))
        return slope


def _adjusted(arm: Arms, theta: Floats) -> Floats:
    variance_x, covariance = _known(arm.variance_x), _known(arm.covariance_xy)
    variance: Floats = np.maximum(arm.variance + theta * theta * variance_x - 2 * theta * covariance, 0.0)
    return variance


def _satterthwaite(part_t: Floats, n_t: Floats, part_c: Floats, n_c: Floats) -> Floats:
    total = part_t + part_c
    share = part_t / total
    degrees = 1 / (share * share / (n_t - 1) + (1 - share) * (1 - share) / (n_c - 1))
    known: Floats = choose((total > 0) & np.isfinite(total), degrees, np.float64(np.inf))
    return known


def critical_values(level: Floats, degrees_of_freedom: Floats) -> Floats:
    """`difference.critical_value`; not finite when it is too large to be written down."""
    value: Floats = choose(
        np.isinf(degrees_of_freedom),
        -special.ndtri(level / 2),
        -special.stdtrit(degrees_of_freedom, level / 2),
    )
    return value


def two_sided(effect: Effects, null: Floats) -> Floats:
    """`difference.p_value`."""
    with np.errstate(all="ignore"):
        beyond = -np.abs(effect.estimate - null) / effect.standard_error
        degrees = effect.degrees_of_freedom
        one_sided = choose(np.isinf(degrees), special.ndtr(beyond), special.stdtr(degrees, beyond))
        p: Floats = np.minimum(1.0, 2 * one_sided)
        return p


def absolute_limits(effect: Effects, level: Floats) -> tuple[Floats, Floats, Codes]:
    """`difference.absolute`: lower, upper, and why not."""
    with np.errstate(all="ignore"):
        half = critical_values(level, effect.degrees_of_freedom) * effect.standard_error
        lower, upper = effect.estimate - half, effect.estimate + half
        return lower, upper, blame(NOTHING_WRONG, _not_finite(lower, upper), Reason.TOO_WIDE)


def lift_variances(effect: Effects) -> Floats:
    """`difference.lift_variance`; not finite when it is too large to be written down."""
    with np.errstate(all="ignore"):
        mean, lift = effect.control_mean, effect.estimate / effect.control_mean
        spread = effect.standard_error * effect.standard_error + lift * lift * effect.control_variance
        variance: Floats = np.maximum((spread - 2 * lift * effect.covariance) / mean / mean, 0.0)
        return variance


def no_lift(effect: Effects) -> Codes:
    """Why nothing can be said relative to the control mean."""
    reason = blame(NOTHING_WRONG, effect.control_mean == 0, Reason.CONTROL_ZERO)
    return blame(reason, effect.control_mean < 0, Reason.CONTROL_NEGATIVE)


def relative_limits(effect: Effects, level: Floats) -> tuple[Floats, Floats, Floats, Codes]:
    """`difference.relative`: lift, lower, upper, and why not. Delta method or Fieller is chosen for each comparison."""
    with np.errstate(all="ignore"):
        mean, v = effect.control_mean, effect.control_variance
        t = critical_values(level, effect.degrees_of_freedom)
        reason = blame(no_lift(effect), _not_finite(t), Reason.TOO_WIDE)
        lift = effect.estimate / mean
        by_delta = mean > np.maximum(DELTA_METHOD_FROM, t) * np.sqrt(v)
        half = t * np.sqrt(lift_variances(effect))
        a = mean * mean - t * t * v
        b = effect.estimate * mean - t * t * effect.covariance
        discriminant = b * b - a * (
            effect.estimate * effect.estimate - t * t * effect.standard_error * effect.standard_error
        )
        bounded = by_delta | ((a > 0) & (discriminant >= 0))
        reason = blame(reason, np.logical_not(bounded), Reason.CONTROL_NEAR_ZERO)
        root = np.sqrt(np.maximum(discriminant, 0.0))
        lower = choose(by_delta, lift - half, np.minimum((b - root) / a, lift))
        upper = choose(by_delta, lift + half, np.maximum((b + root) / a, lift))
        return lift, lower, upper, blame(reason, _not_finite(lift, lower, upper), Reason.TOO_WIDE)
