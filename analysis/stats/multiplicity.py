"""Many comparisons: adjusted p-values, and the level at which one interval agrees with its adjusted decision.

Checked against statsmodels' `multipletests`, which is not called here because it runs a full garbage collection each
time: 50 ms and more in a server, for a few multiplications.
"""

from collections.abc import Callable, Sequence

import numpy as np
from scipy import stats


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Holm 1979: controls the chance of any false rejection in the family, whatever the dependence.

        adjusted p_(i) = max over j <= i of min(1, (m - j + 1) p_(j)),  p_(1) <= .. <= p_(m)

    None (cannot tell) stays None but counts in m: a planned comparison does not shrink the family by failing.

    >>> [round(p, 3) for p in holm([0.01, 0.04, 0.03])]
    [0.03, 0.06, 0.06]
    """
    return _adjust(p_values, _step_down)


def benjamini_hochberg(p_values: Sequence[float | None]) -> list[float | None]:
    """Benjamini and Hochberg 1995: controls the expected share of false rejections among the rejections.

        adjusted p_(i) = min over j >= i of min(1, m p_(j) / j)

    For secondary metrics; not for one that decides. None stays None and counts in m, as in `holm`.

    >>> [round(p, 3) for p in benjamini_hochberg([0.01, 0.04, 0.03])]
    [0.03, 0.04, 0.04]
    """
    return _adjust(p_values, stats.false_discovery_control)


def agreeing_alpha(p: float, adjusted_p: float, alpha: float) -> float:
    """The alpha of the interval that excludes 0 exactly when adjusted_p < alpha: alpha * p / adjusted_p.

    p < alpha * p / adjusted_p is the same inequality as adjusted_p < alpha. Between alpha / m and alpha.

    >>> round(agreeing_alpha(0.01, 0.03, 0.05), 6)
    0.016667
    """
    return alpha * (p / adjusted_p) if adjusted_p > 0 else alpha


def _step_down(p: np.ndarray) -> np.ndarray:
    order = np.argsort(p, kind="stable")
    adjusted = np.empty_like(p)
    adjusted[order] = np.maximum.accumulate(p[order] * np.arange(p.size, 0, -1))
    return adjusted


def _adjust(
    p_values: Sequence[float | None], method: Callable[[np.ndarray], np.ndarray]
) -> list[float | None]:
    if not p_values:
        return []
    adjusted = method(np.array([1.0 if p is None else p for p in p_values]))
    return [
        None if p is None else float(min(1.0, max(p, value)))
        for p, value in zip(p_values, adjusted, strict=True)
    ]
