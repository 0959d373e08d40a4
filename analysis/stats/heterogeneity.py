"""Whether several independent estimates of an effect differ by more than chance."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from analysis.stats.errors import InsufficientData


@dataclass(frozen=True, slots=True, kw_only=True)
class Heterogeneity:
    """q: Cochran's Q. p_value: of this look alone. pooled: the estimates weighed by precision, in their units."""

    q: float
    degrees_of_freedom: int
    p_value: float
    pooled: float


def cochran_q(estimates: Sequence[float], standard_errors: Sequence[float]) -> Heterogeneity:
    """Cochran's test that K independent estimates d_k share one true value.

        Q = sum over k of w_k (d_k - dbar)^2,   w_k = 1 / se_k^2,   dbar = sum w_k d_k / sum w_k,
        p = P(chi-square with K - 1 degrees >= Q)

    Cochran 1954, "The combination of estimates from different experiments", Biometrics 10. Estimates and standard errors are
    in the same units, shape (K,). The weights are taken as known and the estimates as normal: not for a handful of users or
    of events in a slice. It says that not all are equal, not which one is different; and that Q is small does not
    show that all are equal. Valid at one look.
    Raises InsufficientData below two estimates, or when a standard error is not positive and finite.

    >>> found = cochran_q([1.0, 2.0, 3.0], [1.0, 1.0, 1.0])
    >>> found.q, found.degrees_of_freedom, round(found.p_value, 6)
    (2.0, 2, 0.367879)
    """
    if len(estimates) != len(standard_errors):
        raise ValueError("every estimate needs its standard error")
    if len(estimates) < 2:
        raise InsufficientData("fewer than two slices can be compared")
    d, se = np.array(estimates, dtype=float), np.array(standard_errors, dtype=float)
    if not (np.isfinite(d).all() and np.isfinite(se).all() and (se > 0).all()):
        raise InsufficientData("the effect of a slice has no spread, or is not finite")
    # Relative to the smallest error and the first estimate, so that neither squares nor differences lose digits.
    unit = se.min()
    w, apart = (unit / se) ** 2, (d - d[0]) / unit
    centre = float(w @ apart / w.sum())
    q, pooled = float(w @ (apart - centre) ** 2), float(d[0] + centre * unit)
    if not (math.isfinite(q) and math.isfinite(pooled)):
        raise InsufficientData("the effects of the slices are too large to be compared")
    degrees = len(d) - 1
    return Heterogeneity(
        q=q, degrees_of_freedom=degrees, p_value=float(stats.chi2.sf(q, degrees)), pooled=pooled
    )
