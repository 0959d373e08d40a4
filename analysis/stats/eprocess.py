"""Two proportions under any peeking, exactly: an e-process that needs the totals of this look only.

Each user is bet on at fair odds. With treatment share r, hypothesis p_T - p_C = d and one pair (b, l), a user multiplies
the stake by

    treatment: 1 + (l / r) (Y - b - d)        control: 1 - (l / (1 - r)) (Y - b)

Drawn into treatment with chance r, a user's factor has expectation 1 + l (p_T - p_C - d): exactly 1 under the hypothesis and
at most 1 where p_T - p_C <= d, whatever the rates are and however they drift. The product is a nonnegative
(super)martingale user by user, so by Ville's inequality it ever reaches 1/alpha with a chance of at most alpha: looks may come at
any time, also because of what was seen. It is Turner, Ly and Grünwald's e-variable p_theta(y) / p_theta0(y)
(arXiv 2106.02693, Theorem 1; for d != 0 Turner and Grünwald, arXiv 2203.09785), written in theta0 = (b, b + d) and
l = r (theta_T - theta0_T) / (theta0_T (1 - theta0_T)). Why a fixed mixture over (b, l): docs/decisions/0017.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import optimize

from analysis.stats.difference import Interval
from analysis.stats.errors import InsufficientData

DEFAULT_PLANNED_N: Final = 5000
RATES: Final = ((0.003, 1.5), (0.03, 2.5), (0.18, 1.2), (0.5, 0.4), (0.85, 0.3))
"""b, the rate that is bet around, with its prior weight: most campaigns convert a few in a hundred."""
SIZES: Final = (
    (3.0, 0.07), (1.6, 0.24), (1.0, 0.45), (0.55, 0.15), (0.3, 0.04), (0.1, 0.02), (0.03, 0.01), (0.01, 0.01), (0.003, 0.01),
)  # fmt: skip
"""The size of the effect that is bet on, in units of what the planned sample can just show, with its prior weight. The small
ones keep the interval shrinking when far more users come than planned."""
BOLDEST: Final = 0.98
"""Of the stake that may be lost to one user."""
_FLOOR: Final = -1e6
Floats = NDArray[np.float64]


def bet_size(planned_n: int | None, alpha: float) -> float:
    """The standardised effect that the planned sample can just show: sqrt(2 log(2 / alpha) / N_star).

    For one bet of size k the evidence after N users is k z sqrt(N) - N k^2 / 2; it reaches log(2 / alpha) with the smallest z at
    this k. N_star: `planned_n` users of both arms, to the next power of 4 times 5000 (the default), because the size must stay
    the same from look to look, while what is expected moves a little as users come. alpha: two-sided.

    >>> round(bet_size(5000, 0.05), 5), bet_size(6400, 0.05) == bet_size(5000, 0.05)
    (0.03841, True)
    """
    at = planned_n if planned_n and planned_n > 0 else DEFAULT_PLANNED_N
    steps = round(math.log(at / DEFAULT_PLANNED_N, 4))
    return math.sqrt(2 * math.log(2 / alpha) / (DEFAULT_PLANNED_N * 4.0**steps))


def log_bet(
    n_c: ArrayLike, x_c: ArrayLike, n_t: ArrayLike, x_t: ArrayLike, *,
    share: ArrayLike, rate: ArrayLike, stake: ArrayLike, margin: ArrayLike = 0.0,
) -> Floats:  # fmt: skip
    """The log of one e-process: the bet (b, l) = (rate, stake) that p_T - p_C > margin. Arguments are broadcast.

    n, x: users and successes of the arms so far. share: r. Where a user could lose more than the stake,
    l (b + d) >= r or l (1 - b) >= 1 - r, there is no such bet and the result is -inf (the e-value 0 is always valid).

    One block (1, 1), y_T = 1, y_C = 0, with theta = (1/3, 2/3), as safestats tests it (test-savi2x2Helpers.R): 16/9.

    >>> round(float(np.exp(log_bet(1, 0, 1, 1, share=0.5, rate=0.5, stake=1 / 3))), 4)
    1.7778
    """
    n_c, x_c, n_t, x_t, r, b, stake, d = (
        np.asarray(each, dtype=np.float64) for each in (n_c, x_c, n_t, x_t, share, rate, stake, margin)
    )
    a, up, down = b + d, stake / r, stake / (1 - r)
    fair = (up * a < 1) & (down * (1 - b) < 1) & (up * (a - 1) < 1) & (down * -b < 1)
    up, down = np.where(fair, up, 0.0), np.where(fair, down, 0.0)
    grown = (
        x_t * np.log1p(up * (1 - a))
        + (n_t - x_t) * np.log1p(-up * a)
        + x_c * np.log1p(-down * (1 - b))
        + (n_c - x_c) * np.log1p(down * b)
    )
    return np.where(fair, grown, -np.inf)


def log_e_value(
    n_c: ArrayLike, x_c: ArrayLike, n_t: ArrayLike, x_t: ArrayLike, *,
    share: float | None, size: float, margin: ArrayLike = 0.0,
) -> Floats:  # fmt: skip
    """The log of the evidence that p_T - p_C > margin, against p_T - p_C <= margin. Arguments are broadcast.

        E_r = sum_ij w_i v_j prod_users factor(b_i, l_ij),   l_ij = m_j size sqrt(r (1 - r) / (b_i (1 - b_i))), at most BOLDEST
        E   = min(E_share, E_(n_T / N))

    A mixture of e-processes is one. E_share is valid at every look when users are drawn with the chance `share`; E_(n_T / N) at any
    one look for the arms as large as they are, whatever made them so (Theorem 1 with all users as one block). The smaller of
    the two keeps both promises, so that a split that went wrong is not taken for an effect; where n_T / N = share they are the same.
    share: None when it is not known; then only the second promise holds exactly. size: see `bet_size`. Arms must not be empty.

    >>> round(float(np.exp(log_e_value(100, 0, 100, 10, share=0.5, size=bet_size(400, 0.05)))), 1)
    510.9
    """
    data = np.broadcast_arrays(*(np.asarray(each, dtype=np.float64) for each in (n_c, x_c, n_t, x_t, margin)))
    seen = data[2] / (data[0] + data[2])
    if share is None or bool(np.all(seen == share)):
        return _mixture(data, seen, size)
    return np.asarray(_mixture(data, np.stack([seen, np.full(seen.shape, share)]), size).min(axis=0))


def log_e_by_epoch(
    n_c: Floats, x_c: Floats, n_t: Floats, x_t: Floats, *, share: Floats, size: float, margin: ArrayLike = 0.0
) -> Floats:
    """`log_e_value` where the chances changed with time: epochs on the last axis, each with its own `share` of the pair.

        E = sum_ij w_i v_j prod_epochs prod_users factor(b_i, l_ij(r_t))

    The stake of a user depends on the chance it was drawn with, which was fixed before; so each factor has expectation 1 given
    the past, whatever the past made of that chance, and the product is a martingale as before. Again the smaller of two: with the chances as
    logged, and with the shares that came out (epochs with users of one arm only say nothing there).
    margin: of the leading shape.
    """
    data = [*np.broadcast_arrays(n_c, x_c, n_t, x_t, np.asarray(margin, dtype=np.float64)[..., None])]
    n = data[0] + data[2]
    both = (data[0] > 0) & (data[2] > 0)
    seen = np.where(both, data[2] / np.maximum(n, 1), 0.5)
    alone = [np.where(both, each, 0.0) for each in data[:4]]
    logged = _log_bets(data, np.broadcast_to(share, n.shape), size).sum(axis=-2)
    came = _log_bets([*alone, data[4]], seen, size).sum(axis=-2)
    return np.asarray(np.minimum(_log_mean(logged), _log_mean(came)))


def _mixture(data: Sequence[Floats], share: Floats, size: float) -> Floats:
    return _log_mean(_log_bets(data, share, size))


def _log_bets(data: Sequence[Floats], share: Floats, size: float) -> Floats:
    """The log of each bet's e-process, on a last axis of their own."""
    rate, multiple, _ = _BETS
    n_c, x_c, n_t, x_t, margin = (each[..., None] for each in data)
    r = share[..., None]
    stake = np.minimum(
        multiple * size * np.sqrt(r * (1 - r) / (rate * (1 - rate))),
        BOLDEST * np.minimum((1 - r) / (1 - rate), r / rate),
    )
    return log_bet(n_c, x_c, n_t, x_t, share=r, rate=rate, stake=stake, margin=margin)


def _log_mean(logs: Floats) -> Floats:
    each = _BETS[2] + logs
    most = each.max(axis=-1, keepdims=True)
    base = np.where(np.isfinite(most), most, 0.0)
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(np.exp(each - base).sum(axis=-1)) + base[..., 0])


def _bets() -> tuple[Floats, Floats, Floats]:
    (rates, rate_weights), (sizes, size_weights) = np.array(RATES).T, np.array(SIZES).T
    weights = np.outer(rate_weights / rate_weights.sum(), size_weights / size_weights.sum())
    rate, multiple = np.meshgrid(rates, sizes, indexing="ij")
    return rate.ravel(), multiple.ravel(), np.log(weights.ravel())


_BETS: Final = _bets()


@dataclass(frozen=True, slots=True, kw_only=True)
class ExactSequential:
    """Treatment against control at one look: counts of users (n) and successes (x), delta = p_T - p_C.

    Everything comes from one-sided evidence: `log_e(d)` against delta <= d, and that of the swapped arms against delta >= d. It
    falls in d, so that the values not rejected form an interval. Made by `exact_sequential`.
    Not for users who are drawn in groups, nor where the share of the traffic changed with time.
    """

    n_c: int
    x_c: int
    n_t: int
    x_t: int
    share: float | None
    size: float

    @property
    def estimate(self) -> float:
        return self.x_t / self.n_t - self.x_c / self.n_c

    def swapped(self) -> "ExactSequential":
        """The same with the arms exchanged: evidence that the control is the larger one."""
        share = None if self.share is None else 1 - self.share
        return ExactSequential(
            n_c=self.n_t, x_c=self.x_t, n_t=self.n_c, x_t=self.x_c, share=share, size=self.size
        )

    def log_e(self, margin: float = 0.0) -> float:
        """The log of the evidence that delta > margin; reject delta <= margin at level alpha when it is >= log(1 / alpha)."""
        found = log_e_value(
            self.n_c, self.x_c, self.n_t, self.x_t, share=self.share, size=self.size, margin=margin
        )
        return max(float(found), _FLOOR)

    def p_value(self) -> float:
        """Two-sided, against delta = 0, valid at every look: min(1, 2 / max(E_up, E_down)) with the evidence of this look.

        The largest evidence of any earlier look would be as valid, but looks are not kept here.
        Raises InsufficientData when all outcomes of both arms are the same: nothing was seen that could tell.

        >>> round(exact_sequential(100, 0, 100, 10, share=0.5).p_value(), 3)
        0.018
        """
        if self.x_c + self.x_t in (0, self.n_c + self.n_t):
            raise InsufficientData("every outcome is the same in both arms")
        most = max(self.log_e(), self.swapped().log_e())
        return min(1.0, 2 * math.exp(-max(most, 0.0)))

    def interval(self, level: float) -> Interval:
        """delta, held at all looks together with a chance of at least 1 - level (level / 2 on each side).

        Its ends are the d at which the one-sided evidence is 2 / level. Either end alone is a one-sided bound at level / 2.

        >>> i = exact_sequential(100, 0, 100, 10, share=0.5).interval(0.05)
        >>> round(i.lower, 3), i.estimate, round(i.upper, 3)
        (0.012, 0.1, 0.258)
        """
        if not 0 < level < 2:
            raise ValueError("the level must lie between 0 and 2")
        needed = math.log(2 / level)
        return Interval(self.estimate, self._lower(needed), -self.swapped()._lower(needed))  # noqa: SLF001

    def _lower(self, needed: float) -> float:
        # At the estimate no bet has gained (the logarithm is concave), so the end lies below it.
        estimate = self.estimate
        if self.log_e(-1.0) <= needed:
            return -1.0
        found = optimize.brentq(lambda d: self.log_e(d) - needed, -1.0, estimate, xtol=1e-13, rtol=1e-12)
        return min(float(found), estimate)


def exact_sequential(
    n_c: int,
    x_c: int,
    n_t: int,
    x_t: int,
    *,
    share: float | None,
    planned_n: int | None = None,
    alpha: float = 0.05,
) -> ExactSequential:
    """The comparison at this look.

    share: the chance, among users of these two arms, to be drawn into treatment; None when it is not known. planned_n: users of both arms
    at the planned end; alpha: of the plan. Both only tune where the evidence grows fastest, and must stay the same from
    look to look. Raises InsufficientData when an arm is empty, ValueError when counts or share are impossible.
    """
    if not (0 <= x_c <= n_c and 0 <= x_t <= n_t):
        raise ValueError("successes must lie between 0 and n")
    if share is not None and not 0 < share < 1:
        raise ValueError("the share must lie between 0 and 1")
    if min(n_c, n_t) == 0:
        raise InsufficientData("an arm has no users")
    return ExactSequential(n_c=n_c, x_c=x_c, n_t=n_t, x_t=x_t, share=share, size=bet_size(planned_n, alpha))
