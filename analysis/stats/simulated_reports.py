"""Which arms the reports of many made-up experiments would call better or worse than the control at one look, epoch by epoch.

The tests are the report's own (`adaptive_shares`, `adaptive.stabilised`, the e-process where events are few), asked of many worlds at once;
which of them, and at which bounds, is decided as `verdicts/by_epoch.py` does for one. Of one primary metric, without covariates, guardrails and rules of the plan other than its least users.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray
from scipy import special, stats

from analysis.stats import adaptive, adaptive_shares
from analysis.stats.adaptive_shares import Shares
from analysis.stats.eprocess import bet_size, log_e_by_epoch
from analysis.stats.exact_power import FEW
from analysis.stats.proportions import SMALL_CELL
from analysis.stats.sequential import tightest_at
from analysis.stats.simulated_world import Seen
from analysis.stats.spending import spending_boundaries
from analysis.stats.welch import Arms

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
SMALLEST_STEP: Final = 0.005
"""Looks closer than this share of the information are one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """How reports are judged: method, two-sided alpha of the family, users expected in all arms, and users each arm needs before anything is decided.

    planned: users that sequences and bets are tuned to, the same at every look; None: their default, where nobody knows how many will come.
    """

    method: str
    alpha: float
    expected: int
    least_users: int
    is_share: bool
    planned: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sums:
    """Of mature users: users, and sum and sum of squares of their numbers, (R, T, K), the control first; and the chances they were drawn with, (R, T, K)."""

    users: Floats
    total: Floats
    squares: Floats
    chances: Floats

    @classmethod
    def of(cls, seen: Seen, chances: Floats, now: int, order: Sequence[int]) -> Self:
        """Of those whose windows have closed at the end of interval `now`; arms in this order, the control first. Intervals in which nobody came are left out."""
        mature = seen.mature(now)
        users = seen.users[:, :mature]
        came = users.any(axis=(0, 2))

        def kept(values: Floats) -> Floats:
            return np.asarray(values[:, :mature][:, came][..., order])

        return cls(
            users=kept(seen.users),
            total=kept(seen.total.sum(axis=-1)),
            squares=kept(seen.squares.sum(axis=-1)),
            chances=kept(chances),
        )

    def together(self) -> "Sums":
        """As one epoch, where weights never change."""
        parts = {
            name: getattr(self, name).sum(axis=1, keepdims=True) for name in ("users", "total", "squares")
        }
        return replace(self, **parts, chances=self.chances[:, :1])

    def only(self, kept: Flags) -> "Sums":
        """The same of some of the worlds."""
        return Sums(**{each.name: getattr(self, each.name)[kept] for each in fields(self)})

    def arm(self, k: int) -> Arms:
        n = self.users[..., k]
        mean = self.total[..., k] / np.maximum(n, 1)
        within = np.maximum(self.squares[..., k] - n * mean**2, 0.0)
        return Arms(n=n, mean=mean, variance=np.where(n > 1, within / np.maximum(n - 1, 1), 0.0))


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdicts:
    """side: +1 where an arm is significantly above the control, -1 below, 0 neither, after Holm; difference: to the control, 0 where nothing was asked; (R, K - 1)."""

    side: NDArray[np.int8]
    difference: Floats

    def chosen(self, *, good: int) -> NDArray[np.intp]:
        """What the decision is for: of the arms that are better the one that is by most; 0, the control, where all others are worse; -1 where nothing is decided.

        good: the side that is, +1 or -1. Arms in the order of `side`, from 1.
        """
        better, worse = self.side == good, self.side == -good
        by_most = np.where(better, good * self.difference, -np.inf).argmax(axis=-1)
        return np.where(better.any(axis=-1), by_most + 1, np.where(worse.all(axis=-1), 0, -1))


def found_by_reports(sums: Sums, judged: Judged, *, looks: Floats) -> Verdicts:
    """What the report of each world says at this look.

    looks: shares of the expected users that were in at each look until now, this one last, (R, L), not descending; looks without news are no looks.
    """
    worlds, arms = sums.users.shape[0], sums.users.shape[-1]
    found = Verdicts(
        side=np.zeros((worlds, arms - 1), dtype=np.int8), difference=np.zeros((worlds, arms - 1))
    )
    asked = (sums.users.sum(axis=1) >= judged.least_users).all(axis=-1) & (looks[:, -1] > 0)
    if judged.method == "fixed" or not asked.any():
        # One look at the planned end, and until then nothing is decided.
        return found
    kept = sums.only(asked)
    tests = [_compared(kept, k, judged) for k in range(1, arms)]
    histories = looks[asked]
    rejected = np.zeros((len(histories), arms - 1), dtype=bool)
    going = np.ones(len(histories), dtype=bool)
    for step in range(arms - 1):
        level = judged.alpha / (arms - 1 - step)
        bound = _bound(histories, level, judged)
        passed = np.stack([each.passes(level, bound) for each in tests], axis=-1)
        # Holm: the next smallest p passes at its own, larger level.
        going &= passed.sum(axis=-1) > step
        rejected = np.where(going[:, None], passed, rejected)
    difference = np.stack([each.difference for each in tests], axis=-1)
    found.side[asked] = np.where(rejected, np.sign(difference), 0)
    found.difference[asked] = difference
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class _Test:
    """p: of this look alone, (R,), 1 where it cannot be told. exact: p is valid at every look already."""

    p: Floats
    exact: Flags
    difference: Floats

    def passes(self, level: float, bound: Floats) -> Flags:
        """bound: what a p of one look may be at most, (R,)."""
        return np.where(self.exact, self.p < level, self.p < bound)


def _compared(sums: Sums, k: int, judged: Judged) -> _Test:
    came = sums.users.sum(axis=-1)
    control, treatment = sums.arm(0), sums.arm(k)
    if not judged.is_share:
        effect, reason = adaptive.stabilised(came, control, treatment)
        told = (reason == 0) & (effect.standard_error > 0)
        with np.errstate(divide="ignore", invalid="ignore"):
            z = np.abs(effect.estimate) / effect.standard_error
            p = np.where(told, 2 * stats.t.sf(np.where(told, z, 0.0), effect.degrees_of_freedom), 1.0)
        return _Test(p=p, exact=np.zeros(len(p), dtype=bool), difference=effect.estimate)
    shares = Shares(
        users=came,
        n_c=control.n,
        x_c=sums.total[..., 0],
        n_t=treatment.n,
        x_t=sums.total[..., k],
    )
    told = shares.reason() == 0
    exact = _exactly(shares, adaptive.worth(came, control, treatment), judged.method)
    p = np.where(told, adaptive_shares.p_values(shares), 1.0)
    chosen = told & exact
    if chosen.any():
        p[chosen] = _e_process(shares, sums.chances[..., [0, k]], chosen, judged)
    return _Test(p=p, exact=exact, difference=shares.estimate)


def _exactly(shares: Shares, left: tuple[Floats, Floats], method: str) -> Flags:
    n = [each.sum(axis=-1) for each in (shares.n_c, shares.n_t)]
    x = [each.sum(axis=-1) for each in (shares.x_c, shares.x_t)]
    if method == "exact":
        return np.ones(len(n[0]), dtype=bool)
    rate = (x[0] + x[1]) / np.maximum(n[0] + n[1], 1)
    small = np.minimum(*left) * np.minimum(rate, 1 - rate) < SMALL_CELL
    if method == "always_valid":
        fewest = np.min([np.minimum(a, b - a) for a, b in zip(x, n, strict=True)], axis=0)
        small = small | (fewest < FEW)
    return np.asarray(small)


def _e_process(shares: Shares, chances: Floats, chosen: Flags, judged: Judged) -> Floats:
    counts = [each[chosen] for each in (shares.n_c, shares.x_c, shares.n_t, shares.x_t)]
    pair = chances[chosen]
    # Epochs without anybody have no chances; they bet nothing.
    both = pair.sum(axis=-1)
    share = np.where(both > 0, pair[..., 1] / np.where(both > 0, both, 1.0), 0.5)
    planned = None if judged.planned is None else round(judged.planned * float(both[0, 0]))
    size = bet_size(planned, judged.alpha)
    zero = np.zeros(len(share))
    up = log_e_by_epoch(*counts, share=share, size=size, margin=zero)
    down = log_e_by_epoch(*counts[2:], *counts[:2], share=1 - share, size=size, margin=zero)
    return np.asarray(np.minimum(1.0, 2 * np.exp(-np.maximum(np.maximum(up, down), 0.0))))


def _bound(looks: Floats, level: float, judged: Judged) -> Floats:
    if judged.method == "spending":
        histories, place = np.unique(looks, axis=0, return_inverse=True)
        bounds = np.array([_spent(_counted(each.tolist()), level) for each in histories])
        return np.asarray(bounds[place.reshape(-1)])
    scaled = looks[:, -1] * judged.expected * tightest_at(judged.planned, judged.alpha) ** 2
    critical = np.sqrt(2 * (scaled + 1) / scaled * (0.5 * np.log1p(scaled) - np.log(level)))
    return np.asarray(2 * special.ndtr(-critical))


def _counted(looks: Sequence[float]) -> tuple[float, ...]:
    now, kept = looks[-1], list[float]()
    for look in looks[:-1]:
        if look - (kept[-1] if kept else 0.0) >= SMALLEST_STEP and look <= now - SMALLEST_STEP:
            kept.append(look)
    return (*kept, now)


@lru_cache(maxsize=4096)
def _spent(looks: tuple[float, ...], level: float) -> float:
    return float(2 * special.ndtr(-spending_boundaries(looks, level)[-1]))
