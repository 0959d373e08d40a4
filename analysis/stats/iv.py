"""The effect on those who were reached: the complier average causal effect (CACE), by an instrument of two arms.

Intention-to-treat stays the effect of a variant. This is the same effect told per user whom a message reached.
"""

import math
from dataclasses import dataclass

from analysis.stats.aggregates import Aggregate
from analysis.stats.difference import Interval, critical_value, cuped_theta
from analysis.stats.errors import InsufficientData


@dataclass(frozen=True, slots=True, kw_only=True)
class ComplierEffect:
    """Effect per unit reached. estimate, standard_error: units of the outcome. degrees_of_freedom: of Student's t, or None.

    compliance: tau_D, the difference in the share reached. first_stage: |tau_D| / se(tau_D), infinite where D does not vary.
    """

    estimate: float
    standard_error: float
    degrees_of_freedom: float | None
    compliance: float
    first_stage: float

    def interval(self, level: float) -> Interval:
        """Estimate -+ t_{1 - level/2} se, in units of the outcome. Raises InsufficientData when it cannot be written down."""
        half = critical_value(level, self.degrees_of_freedom) * self.standard_error
        if not math.isfinite(half):
            raise InsufficientData("the interval is too wide to be written down")
        return Interval(self.estimate, self.estimate - half, self.estimate + half)


def complier_effect(control: Aggregate, treatment: Aggregate) -> ComplierEffect:
    """The Wald ratio of two arms, with a delta-method standard error.

        beta = tau_Y / tau_D,   tau_Y = mean_T(Y) - mean_C(Y),   tau_D = mean_T(D) - mean_C(D)
        se^2 = sum over arms of s2_e / n / tau_D^2,   s2_e = s2_Y + beta^2 s2_D - 2 beta s_YD

    Angrist, Imbens, Rubin 1996, "Identification of causal effects using instrumental variables", JASA 91, eq 9 (the
    estimand); the delta method on (tau_Y, tau_D) with Cov(tau_Y, tau_D) = sum s_YD / n. It is two-stage least squares with
    the arm as instrument and the HC2 covariance. With a covariate X, Y - theta X stands for Y (CUPED, theta pooled), so that
    estimate * tau_D is the adjusted difference that the report shows.
    Aggregates: D (1 for a unit reached, else 0) as the denominator part, over the same n units as Y.
    Assumes that arms are drawn at random, that the arm acts on Y only through D (exclusion), and that no unit is reached
    only because it is in the control. Not for a weak instrument (`first_stage` below about 4): the ratio is not normal then.
    Raises InsufficientData for an arm below two units, values that are not finite, tau_D = 0, and data without spread.

    >>> control = Aggregate(n=1000, mean=0.10, variance=0.09, mean_d=0.0, variance_d=0.0, covariance_yd=0.0)
    >>> treatment = Aggregate(n=1000, mean=0.14, variance=0.12, mean_d=0.8, variance_d=0.16, covariance_yd=0.01)
    >>> effect = complier_effect(control, treatment)
    >>> round(effect.estimate, 4), round(effect.standard_error, 4)
    (0.05, 0.0181)
    """
    for arm in (control, treatment):
        if not arm.has_denominator:
            raise ValueError("an aggregate needs D, whether a unit was reached")
        if arm.n < 2:
            raise InsufficientData("an arm has no users" if arm.n == 0 else "an arm has only one user")
        if not arm.is_finite:
            raise InsufficientData("the data contain a value that is not a finite number")
    compliance = float(treatment.mean_d or 0) - float(control.mean_d or 0)
    if compliance == 0:
        raise InsufficientData("as many users were reached in both arms")
    try:
        return _ratio(control, treatment, compliance)
    except OverflowError as error:
        raise InsufficientData("the values are too large to compute with") from error


def _ratio(control: Aggregate, treatment: Aggregate, compliance: float) -> ComplierEffect:
    theta = 0.0
    difference = treatment.mean - control.mean
    if control.has_covariate and treatment.has_covariate:
        theta = cuped_theta(control, treatment)
        difference -= theta * (float(treatment.mean_x or 0) - float(control.mean_x or 0))
    beta = difference / compliance
    parts = [_residual_variance(arm, beta, theta) / arm.n for arm in (control, treatment)]
    total = sum(parts)
    if not (total > 0 and math.isfinite(total) and math.isfinite(beta)):
        raise InsufficientData("no outcome varies within an arm, so the spread cannot be estimated")
    spread_d = sum(float(arm.variance_d or 0) / arm.n for arm in (control, treatment))
    shares = [part / total for part in parts]
    return ComplierEffect(
        estimate=beta,
        standard_error=math.sqrt(total) / abs(compliance),
        degrees_of_freedom=1
        / sum(share * share / (arm.n - 1) for share, arm in zip(shares, (control, treatment), strict=True)),
        compliance=compliance,
        first_stage=abs(compliance) / math.sqrt(spread_d) if spread_d > 0 else math.inf,
    )


def _residual_variance(arm: Aggregate, beta: float, theta: float) -> float:
    """Of Y - theta X - beta D within one arm."""
    y, d = arm.variance, float(arm.variance_d or 0)
    variance = y + beta * beta * d - 2 * beta * float(arm.covariance_yd or 0)
    if theta:
        x, xy, dx = (float(each or 0) for each in (arm.variance_x, arm.covariance_xy, arm.covariance_dx))
        variance += theta * theta * x - 2 * theta * xy + 2 * theta * beta * dx
    return max(variance, 0.0)
