"""How soon a guard stops a variant that does harm: campaigns are drawn, and the guard's own evidence is asked at even looks.

There is no formula: a guard is looked at all the time, and its e-process (`harm.log_e_harm`) is only bounded, never normal, where harm is rare.
Drawn is what a guard reads: users met and harmed of the control and of one variant, each look a few more. The certification measures the same
with the same test (`benchmarks/certify_guards.py`).
"""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from analysis.stats.exact_power import SEED
from analysis.stats.harm import log_e_harm

Counts = NDArray[np.int64]

RUNS: Final = 2_000
LOOKS: Final = 50
"""At even distances of the users that are known; a guard looks more often, which finds hardly anything sooner."""
DIGITS: Final = 2
"""Of a number of users that was searched for: more would be noise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Harm:
    """One guard of one variant. control, variant: shares of users harmed; margin: how much larger the variant's may be; share: of the users of these two, those of the
    variant, in (0, 1). level: the guard's part of alpha. control_at_once: users of the control are met at once, those of the variant bit by bit.
    """

    control: float
    variant: float
    margin: float
    share: float
    level: float
    control_at_once: bool = False
    runs: int = RUNS
    seed: int = SEED

    def __post_init__(self) -> None:
        if not (0 <= self.control <= 1 and 0 <= self.variant <= 1 and self.margin >= 0):
            raise ValueError("rates lie between 0 and 1, and a margin is at least 0")
        if not (0 < self.share < 1 and 0 < self.level < 1):
            raise ValueError("share and level lie between 0 and 1")

    @property
    def is_tolerated(self) -> bool:
        """Whether so much harm is within the margin, so that no number of users would stop it but by chance."""
        return self.variant - self.control <= self.margin + 1e-12

    def stopped(self, met: int, *, of_control: int | None = None) -> float:
        """The share of campaigns that stop the variant by the time that so many users of both are met and their harm is known.

        of_control: users of the control at once, where `control_at_once`; then `met` are those of the variant. The Monte-Carlo error is sqrt(p (1 - p) / runs).

        1 % against 2 %, of 4,580 users of two equal arms (20,000 sends over two days: a quarter less an hour), margin 0.1 points, three guards:

        >>> test = Harm(control=0.01, variant=0.02, margin=0.001, share=0.5, level=0.05 / 3)
        >>> 0.32 < test.stopped(4580) < 0.40
        True
        """
        looks = min(LOOKS, met)
        if looks < 1 or self.is_tolerated:
            return 0.0
        rng = np.random.default_rng(self.seed)
        ends = np.linspace(0, met, looks + 1).round().astype(np.int64)
        come: Counts = ends[1:] - ends[:-1]
        n_c: Counts = np.zeros((self.runs, looks), dtype=np.int64)
        n_t: Counts = np.broadcast_to(come, (self.runs, looks))
        if self.control_at_once:
            n_c[:, 0] = of_control or 0
        else:
            n_t = rng.binomial(come, self.share, size=(self.runs, looks))
            n_c = come - n_t
        parts = (n_c, rng.binomial(n_c, self.control), n_t, rng.binomial(n_t, self.variant))
        log_e = log_e_harm(
            *(np.cumsum(part, axis=1)[..., None] for part in parts), share=[self.share], margin=self.margin
        )
        return float((log_e >= -math.log(self.level)).any(axis=1).mean())


def rounded_up(users: float) -> int:
    """To two digits, upwards.

    >>> rounded_up(57_300), rounded_up(41)
    (58000, 41)
    """
    unit: int = 10 ** max(math.floor(math.log10(max(users, 1))) - DIGITS + 1, 0)
    return math.ceil(users / unit - 1e-9) * unit
