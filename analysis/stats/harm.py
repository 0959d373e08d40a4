"""Evidence that one arm harms more users than another, by more than a margin: one-sided, valid at every look, for rare harm.

It is the e-process of `eprocess.py` with the bets that suit harm: b = 0, so that only a harmed user moves the evidence (and, with a
margin d, every user of the treatment costs a little). With treatment share r and a bet on theta times as many harmed users,

    q = r theta / (r theta + 1 - r)      l = q - r
    treatment: 1 + (l / r) (Y - d)       control: 1 - (l / (1 - r)) Y

has expectation 1 + l (p_T - p_C - d) <= 1 where p_T - p_C <= d, whatever the rates are. With d = 0 it is the likelihood ratio of
"a harmed user is of the treatment with chance q" against r, so the rate of the control need not be guessed: that is what makes it
stronger for rare harm than the mixture over rates of a comparison of any two proportions (decision 0046). Turner, Ly and Grünwald
(arXiv 2106.02693, Theorem 1) give the e-variable, Ville's inequality the promise: E >= 1 / alpha ever, with a chance <= alpha.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from analysis.stats.eprocess import log_bet

Floats = NDArray[np.float64]

RATIOS: Final = ((1.5, 0.25), (2.0, 0.5), (4.0, 0.25))
"""theta, how many times as many harmed users are bet on, with its prior weight."""
_THETA, _WEIGHT = np.array(RATIOS).T


def log_e_harm(
    n_c: ArrayLike, x_c: ArrayLike, n_t: ArrayLike, x_t: ArrayLike, *, share: ArrayLike | None, margin: float = 0.0
) -> Floats:  # fmt: skip
    """The log of the evidence that p_T - p_C > margin (>= 0), against p_T - p_C <= margin. Counts: (..., T), over T epochs.

    n, x: users and harmed users of the control and the treatment in each epoch. share: r of each epoch, the chance of a user of these
    two arms to be in the treatment, (T,) or broadcast; None when it is not known. Bets go on from epoch to epoch, so the result, (...), is
    of all of them together; an epoch in which one of the arms is empty says nothing. As in `eprocess.log_e_value` the smaller of
    two is taken, with the share as designed and with the one that was seen, so that an uneven split is not taken for harm.

    1 % against 2 % of 2,500 users each:

    >>> round(float(log_e_harm([2500], [25], [2500], [50], share=[0.5])), 2)
    3.78
    """
    parts = np.broadcast_arrays(*(np.asarray(each, dtype=np.float64) for each in (n_c, x_c, n_t, x_t)))
    compared = (parts[0] > 0) & (parts[2] > 0)
    data = [np.asarray(np.where(compared, part, 0.0)) for part in parts]
    seen = np.asarray(np.where(compared, data[2] / np.where(compared, data[0] + data[2], 1.0), 0.5))
    found = _mixture(data, seen, margin)
    if share is None:
        return found
    designed = np.broadcast_to(np.asarray(share, dtype=np.float64), seen.shape)
    return np.asarray(np.minimum(found, _mixture(data, designed, margin)))


def _mixture(data: Sequence[Floats], share: Floats, margin: float) -> Floats:
    r = share[..., None]
    stake = r * _THETA / (r * _THETA + 1 - r) - r
    each = log_bet(*(part[..., None] for part in data), share=r, rate=0.0, stake=stake, margin=margin)
    # A bet is one for all epochs: its gains add up before the bets are mixed.
    total = each.sum(axis=-2) + np.log(_WEIGHT / _WEIGHT.sum())
    most = total.max(axis=-1, keepdims=True)
    base = np.where(np.isfinite(most), most, 0.0)
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(np.exp(total - base).sum(axis=-1)) + base[..., 0])
