"""Two proportions against a margin: is the rate of one arm surely not more than so much above that of the other?

Rare events in arms of different size are where the usual intervals fail: with 200 users against 1,800 and rates below 1 %
Newcombe's limit errs in up to 8.7 % of the looks, the score test of Farrington and Manning in up to 8.2 %, where 5 % were promised, because the smaller arm's rate is
skewed. Corrected for skewness the score test holds there, and Newcombe's limit holds where arms are alike and counts lumpy; both
must agree (docs/decisions/0035; every cell is in docs/certification.md).
"""

from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from analysis.stats.proportions import wilson_interval

FEWEST_USERS: Final = 100
"""In the smaller arm. Below, counts are so lumpy that neither is right (6 % for arms of 20 and a rate of a half)."""
Floats = NDArray[np.float64]


def is_surely_below(
    n_c: ArrayLike, x_c: ArrayLike, n_t: ArrayLike, x_t: ArrayLike, *, margin: float, z: ArrayLike
) -> NDArray[np.bool_]:
    """Whether p_T - p_C >= margin is rejected by both tests, one-sided at the normal quantile z. Arguments are broadcast.

        score:     (margin - delta) / se  >  z + max(g, 0) (z^2 - 1) / 6
        Newcombe:  delta + sqrt((u_T - p_T)^2 + (p_C - l_C)^2)  <  margin

    delta = x_T/n_T - x_C/n_C. se^2: (N / (N - 1)) (v_C + v_T), v_a = p_a (1 - p_a) / n_a with `restricted_rates` (Miettinen and
    Nurminen 1985, Statistics in Medicine 4:213). g: the skewness of -delta under them, which moves the quantile (Cornish and Fisher; in
    this test Gart and Nam 1990, Biometrics 46:637); only where that asks for more. [l, u]: Wilson's interval at z.
    n: users, above 0; x: successes. margin >= 0. Not for an arm of fewer than `FEWEST_USERS`.

    >>> is_surely_below(2800, 14, 2800, 14, margin=0.005, z=1.645).item()
    True
    >>> is_surely_below(200, [0, 1], 1800, [4, 2], margin=0.002, z=1.645).tolist()
    [False, True]
    """
    n_c, x_c, n_t, x_t, z = (np.asarray(each, dtype=np.float64) for each in (n_c, x_c, n_t, x_t, z))
    margin = min(margin, 1.0)
    seen_c, seen_t = x_c / n_c, x_t / n_t
    delta = seen_t - seen_c
    p_c, p_t = restricted_rates(n_c, x_c, n_t, x_t, margin=margin)
    v_c, v_t = p_c * (1 - p_c) / n_c, p_t * (1 - p_t) / n_t
    total = np.maximum(v_c + v_t, 1e-40)
    skewness = (v_c * (1 - 2 * p_c) / n_c - v_t * (1 - 2 * p_t) / n_t) / total**1.5
    users = n_c + n_t
    score = (margin - delta) / np.sqrt(total * users / (users - 1))
    by_score = score > z + np.maximum(skewness, 0.0) * (z**2 - 1) / 6
    return np.asarray(by_score & (newcombe_upper(n_c, x_c, n_t, x_t, z=z) < margin))


def newcombe_upper(n_c: ArrayLike, x_c: ArrayLike, n_t: ArrayLike, x_t: ArrayLike, *, z: ArrayLike) -> Floats:
    """The upper end of `proportions.newcombe_interval` of p_T - p_C at the normal quantile z. Arguments are broadcast.

    >>> newcombe_upper(80, 48, 70, 56, z=1.959963985).round(4).item()
    0.3339
    """
    n_c, x_c, n_t, x_t, z = (np.asarray(each, dtype=np.float64) for each in (n_c, x_c, n_t, x_t, z))
    seen_c, seen_t = x_c / n_c, x_t / n_t
    above, below = wilson_interval(seen_t, n_t, z)[1] - seen_t, seen_c - wilson_interval(seen_c, n_c, z)[0]
    return np.asarray(seen_t - seen_c + np.hypot(above, below))


def restricted_rates(
    n_c: ArrayLike, x_c: ArrayLike, n_t: ArrayLike, x_t: ArrayLike, *, margin: float
) -> tuple[Floats, Floats]:
    """The likeliest p_C and p_T among those with p_T - p_C = margin (Miettinen and Nurminen 1985, appendix I).

    p_C is the root of N p^3 + L2 p^2 + L1 p + L0 that lies in [0, 1 - margin], by Viète's formula; 0 <= margin <= 1.

    >>> p_c, p_t = restricted_rates(100, 10, 100, 10, margin=0.0)
    >>> round(float(p_c), 9), round(float(p_t), 9)
    (0.1, 0.1)
    """
    n_c, x_c, n_t, x_t = (np.asarray(each, dtype=np.float64) for each in (n_c, x_c, n_t, x_t))
    users, events = n_c + n_t, x_c + x_t
    l2 = (n_t + 2 * n_c) * margin - users - events
    l1 = (n_c * margin - users - 2 * x_c) * margin + events
    l0 = x_c * margin * (1 - margin)
    centre = l2 / (3 * users)
    q = centre**3 - l1 * l2 / (6 * users**2) + l0 / (2 * users)
    p = np.where(q >= 0, 1.0, -1.0) * np.sqrt(np.maximum(centre**2 - l1 / (3 * users), 1e-40))
    angle = (np.pi + np.arccos(np.clip(q / p**3, -1.0, 1.0))) / 3
    low = np.clip(2 * p * np.cos(angle) - centre, 0.0, 1.0 - margin)
    return low, low + margin
