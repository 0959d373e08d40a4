"""Bandits over worlds whose base rate drifts, many at once: what each epoch came to, and the chances that its users were drawn with."""

import math
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import special

from analysis.stats.allocation import AllocationPolicy, weights
from analysis.stats.best_arm import top_two, with_floor
from analysis.stats.estimates import AllocationEvidence

Floats = NDArray[np.float64]
FLOOR: Final = 0.05
_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(24)
AT_A_TIME: Final = 1000
"""Worlds that are played together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Worlds:
    """n, total, squares: (worlds, epochs, parts, arms) users and sums of their outcomes in each part of an epoch.

    propensity: (worlds, epochs, arms). Arm 0 is the control.
    """

    n: Floats
    total: Floats
    squares: Floats
    propensity: Floats

    def first(self, count: int) -> "Worlds":
        return Worlds(
            n=self.n[:count],
            total=self.total[:count],
            squares=self.squares[:count],
            propensity=self.propensity[:count],
        )

    def until(self, epoch: int, part: int) -> "Sums":
        """What is known after `part` (from 0) of `epoch` (from 0): per epoch, the present one as far as it goes."""
        kept = [each[:, : epoch + 1].copy() for each in (self.n, self.total, self.squares)]
        for each in kept:
            each[:, epoch, part + 1 :] = 0.0
        n, total, squares = (each.sum(axis=2) for each in kept)
        return Sums(n=n, total=total, squares=squares, propensity=self.propensity[:, : epoch + 1])


@dataclass(frozen=True, slots=True, kw_only=True)
class Sums:
    """(worlds, epochs, arms)."""

    n: Floats
    total: Floats
    squares: Floats
    propensity: Floats

    @property
    def users(self) -> Floats:
        return np.asarray(self.n.sum(axis=-1))

    @property
    def mean(self) -> Floats:
        return np.asarray(self.total / np.maximum(self.n, 1))

    @property
    def variance(self) -> Floats:
        within = (self.squares - self.total**2 / np.maximum(self.n, 1)) / np.maximum(self.n - 1, 1)
        return np.where(self.n > 1, np.maximum(within, 0.0), 0.0)


def _by_pooled_means(n: Floats, total: Floats, squares: Floats) -> Floats:
    """P(arm is the best), (worlds, arms), of independent normals around the means of all users: Gauss-Hermite over each arm's own value."""
    users, sums, square_sums = (each.sum(axis=(1, 3)) for each in (n, total, squares))
    size = np.maximum(users, 1)
    mean = sums / size
    return probability_best(mean, np.sqrt(np.maximum(square_sums / size - mean**2, 1e-6) / size))


def probability_best(mean: Floats, error: Floats) -> Floats:
    """As `best_arm.gaussian_best`, to three digits."""
    arms = mean.shape[1]
    weight = _WEIGHTS / _WEIGHTS.sum()
    chances = np.zeros_like(mean)
    for k in range(arms):
        at = mean[:, k, None] + error[:, k, None] * _NODES
        below = np.ones_like(at)
        for j in range(arms):
            if j != k:
                below *= special.ndtr((at - mean[:, j, None]) / error[:, j, None])
        chances[:, k] = below @ weight
    chances = np.maximum(chances, 1e-300)
    return np.asarray(chances / chances.sum(axis=1, keepdims=True))


def by_hand(chances: Floats) -> Floats:
    """Somebody gives half to whoever is in front (of two arms 80 %), and the rest to all others alike."""
    arms = chances.shape[1]
    leads = chances.argmax(axis=1)[:, None] == np.arange(arms)
    most = 0.5 if arms > 2 else 0.8
    return with_floor(np.where(leads, most, (1 - most) / (arms - 1)), FLOOR)


POLICIES: Final = ("thompson", "top_two", "by hand")
_AUTOMATIC: Final[dict[str, Literal["thompson", "top_two"]]] = {
    "thompson": "thompson",
    "top_two": "top_two",
    "by hand": "thompson",
}


def play(
    rng: np.random.Generator, *, worlds: int, rates: Floats, users: int, policy: str, parts: int = 1, money: bool = False,
    pooled: bool = False,
) -> Worlds:  # fmt: skip
    """Play a policy from uniform weights: `allocation.weights` moves the traffic, on the epochs so far, with the floor and without a burn-in but
    the first epoch, so that traffic moves as early as any design lets it. Proportions get normal posteriors here, as means do: Beta
    posteriors make the same weights where an arm has a dozen events, at many times the cost.

    pooled: weights come from the pooled means of the arms, as those of a simple bandit: what it makes of a drift stays in its weights, which is the harder
    case for whoever estimates effects afterwards; and it costs a tenth.

    policy: one of `POLICIES`, or "even", which moves nothing. rates: (epochs, arms), the chance of the event. users: who come in each epoch. money: log-normal amounts instead of 1.
    """
    some = [
        _play(rng, min(AT_A_TIME, worlds - start), rates, users, policy, parts, money=money, pooled=pooled)
        for start in range(0, worlds, AT_A_TIME)
    ]
    return Worlds(
        **{
            name: np.concatenate([getattr(each, name) for each in some])
            for name in ("n", "total", "squares", "propensity")
        }
    )


def _play(
    rng: np.random.Generator, worlds: int, rates: Floats, users: int, policy: str, parts: int, *, money: bool, pooled: bool
) -> Worlds:  # fmt: skip
    epochs, arms = rates.shape
    shape = (worlds, epochs, parts, arms)
    n, total, squares = (np.zeros(shape) for _ in range(3))
    chances = np.zeros((worlds, epochs, arms))
    shares = np.full((worlds, arms), 1 / arms)
    asked = AllocationPolicy(
        policy=_AUTOMATIC.get(policy, "fixed"), floor=FLOOR, burn_in_users=0, burn_in_conversions=0
    )
    active = np.ones((worlds, arms), dtype=bool)
    for t in range(epochs):
        chances[:, t] = shares
        for s in range(parts):
            came = rng.multinomial(users // parts, shares)
            bought = rng.binomial(came, rates[t])
            n[:, t, s] = came
            total[:, t, s], squares[:, t, s] = _amounts(rng, bought) if money else (bought, bought)
        if t == epochs - 1 or policy == "even":
            continue
        so_far = [each[:, : t + 1].sum(axis=2)[..., None] for each in (n, total, squares)]
        if pooled:
            chances_best, told = _by_pooled_means(*so_far), np.ones(worlds, dtype=bool)
            wanted = chances_best if policy == "thompson" else top_two(chances_best)
            wanted = with_floor(wanted, FLOOR)
        else:
            evidence = AllocationEvidence(
                users=so_far[0],
                total=so_far[1],
                total_squares=so_far[2],
                delays=None,
                active=active,
                proportion=False,
            )
            answer = weights(evidence, asked)
            chances_best, told, wanted = answer.p_best, answer.told, answer.weights
        if policy == "by hand":
            wanted = by_hand(chances_best)
        shares = np.where(told[:, None], wanted, shares)
        shares /= shares.sum(axis=1, keepdims=True)
    return Worlds(n=n, total=total, squares=squares, propensity=chances)


def _amounts(rng: np.random.Generator, bought: NDArray[np.int64]) -> tuple[Floats, Floats]:
    amounts = rng.lognormal(0, 1, int(bought.sum()))
    owner = np.repeat(np.arange(bought.size), bought.ravel())
    return (
        np.asarray(np.bincount(owner, amounts, bought.size), dtype=np.float64).reshape(bought.shape),
        np.asarray(np.bincount(owner, amounts**2, bought.size), dtype=np.float64).reshape(bought.shape),
    )


def base_rates(epochs: int, drift: str) -> Floats:
    """A base rate that doubles, halves, or goes up and down twice between 5 and 10 %."""
    x = np.linspace(0, 1, epochs)
    if drift == "wave":
        return np.asarray(0.075 + 0.025 * np.sin(4 * math.pi * x))
    return 0.05 + 0.05 * (x if drift == "up" else 1 - x)
