"""What a look could have found, and what is still to be expected of the looks to come (B-values)."""

import math

from scipy import stats

from analysis.stats.errors import InsufficientData


def conditional_power(z: float, fraction: float, drift: float, bound: float) -> float:
    """The chance that the last look crosses its upper bound, given what is known now.

        CP(theta) = 1 - Phi( (b - B(t) - theta (1 - t)) / sqrt(1 - t) ),   B(t) = Z(t) sqrt(t)

    Lan and Wittes 1988, "The B-value: a tool for monitoring data", Biometrics 44, 579-585.
    z: the statistic now, positive is better. fraction: t in (0, 1), share of the planned information. drift: theta = E Z(1),
    the effect that is assumed, in standard errors of the last look; the planned one here, not the trend. bound: b, that of
    the last look. Looks in between could cross as well, so this is a little below the chance of all of them together.
    Stopping for a low value lowers the false positives and never raises them, as long as the bounds are not lowered for it.
    ValueError for t outside (0, 1).

    >>> round(conditional_power(0.0, 0.5, 2.8, 1.96), 3)
    0.214
    """
    if not 0 < fraction < 1:
        raise ValueError("an information fraction before the end lies between 0 and 1")
    left = 1 - fraction
    return float(stats.norm.sf((bound - z * math.sqrt(fraction) - drift * left) / math.sqrt(left)))


def power_of_look(effect: float, standard_error: float, bound: float) -> float:
    """The chance that a two-sided look with this standard error establishes `effect` as positive (same units, > 0).

        1 - Phi(b - effect / se)

    The wrong side is not counted. bound: b, the critical value of the look. Raises InsufficientData for se that is not positive.

    >>> round(power_of_look(2.8, 1.0, 1.96), 2)
    0.8
    """
    if not standard_error > 0:
        raise InsufficientData("no outcome varies within an arm, so the spread cannot be estimated")
    return float(stats.norm.sf(bound - effect / standard_error))
