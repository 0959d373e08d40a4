"""Bandits over worlds whose base rate drifts, many at once: what each epoch came to, and the chances that its users were drawn with."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import special

Floats = NDArray[np.float64]
FLOOR: Final = 0.05
LEADER: Final = 0.5
_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(24)
_TINY: Final = 1e-300


@dataclass(frozen=True, slots=True, kw_only=True)
class Worlds:
    """n, total, squares: (worlds, epochs, parts, arms) users and sums of their outcomes in each part of an epoch.

    propensity: (worlds, epochs, arms). Arm 0 is the control.
    """

    n: Floats
    total: Floats
    squares: Floats
    propensity: Floats

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


def probability_best(mean: Floats, error: Floats) -> Floats:
    """P(arm is the best), (worlds, arms), of independent normals: Gauss-Hermite over each arm's own value."""
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
    chances = np.maximum(chances, _TINY)
    return chances / chances.sum(axis=1, keepdims=True)


def thompson(chances: Floats) -> Floats:
    return chances


def top_two(chances: Floats) -> Floats:
    """psi_i = P_i (b + (1 - b) sum_{j != i} P_j / (1 - P_j)), b = 1/2."""
    odds = chances / np.maximum(1 - chances, 1e-12)
    psi = chances * (LEADER + (1 - LEADER) * (odds.sum(axis=1, keepdims=True) - odds))
    return np.asarray(psi / psi.sum(axis=1, keepdims=True))


def by_hand(chances: Floats) -> Floats:
    """Somebody gives half to whoever is in front (of two arms 80 %), and the rest to all others alike."""
    arms = chances.shape[1]
    leads = chances == chances.max(axis=1, keepdims=True)
    most = 0.5 if arms > 2 else 0.8
    return np.where(leads, most, (1 - most) / (arms - 1))


POLICIES: Final[dict[str, Callable[[Floats], Floats]]] = {
    "thompson": thompson,
    "top_two": top_two,
    "by hand": by_hand,
}


def play(
    rng: np.random.Generator, *, worlds: int, rates: Floats, users: int, policy: str, parts: int = 1, money: bool = False
) -> Worlds:  # fmt: skip
    """Play a policy from uniform weights (the first epoch is the burn-in), on pooled means, as a simple bandit would.

    rates: (epochs, arms), the chance of the event. users: who come in each epoch. money: log-normal amounts instead of 1.
    """
    epochs, arms = rates.shape
    shape = (worlds, epochs, parts, arms)
    n, total, squares = (np.zeros(shape) for _ in range(3))
    chances = np.zeros((worlds, epochs, arms))
    weights = np.full((worlds, arms), 1 / arms)
    for t in range(epochs):
        chances[:, t] = weights
        for s in range(parts):
            came = rng.multinomial(users // parts, weights)
            bought = rng.binomial(came, rates[t])
            n[:, t, s] = came
            total[:, t, s], squares[:, t, s] = _amounts(rng, bought) if money else (bought, bought)
        so_far = [each.sum(axis=(1, 2)) for each in (n, total, squares)]
        size = np.maximum(so_far[0], 1)
        mean = so_far[1] / size
        spread = np.maximum(so_far[2] / size - mean**2, 1e-6)
        wanted = POLICIES[policy](probability_best(mean, np.sqrt(spread / size)))
        weights = FLOOR + (1 - arms * FLOOR) * wanted
        weights /= weights.sum(axis=1, keepdims=True)
    return Worlds(n=n, total=total, squares=squares, propensity=chances)


def _amounts(rng: np.random.Generator, bought: NDArray[np.int64]) -> tuple[Floats, Floats]:
    amounts = rng.lognormal(0, 1, int(bought.sum()))
    owner = np.repeat(np.arange(bought.size), bought.ravel())
    return (
        np.bincount(owner, amounts, bought.size).reshape(bought.shape),
        np.bincount(owner, amounts**2, bought.size).reshape(bought.shape),
    )


def base_rates(epochs: int, drift: str) -> Floats:
    """A base rate that doubles, halves, or goes up and down twice between 5 and 10 %."""
    x = np.linspace(0, 1, epochs)
    if drift == "wave":
        return np.asarray(0.075 + 0.025 * np.sin(4 * math.pi * x))
    return 0.05 + 0.05 * (x if drift == "up" else 1 - x)
