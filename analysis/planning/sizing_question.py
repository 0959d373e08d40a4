"""What `sizing.py` is asked, and what of it cannot be. Pure."""

import math
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from analysis.planning.bandit_inputs import Written
from analysis.planning.plan_inputs import LEAST_REACH, MOST_USERS
from analysis.stats.monitoring import MOST_LOOKS
from experiments.errors import Invalid, Problem
from experiments.vocabulary import Method

MOST_ARMS: Final = 50
MOST_WEIGHT: Final = 1e6
LEAST_EFFECT, MOST_EFFECT = 1e-6, 100.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is asked. baseline: mean of the control (a share unless `sd` is given). mde: relative, on those who are reached; negative for
    a fall; margin: instead of it, the harm that a guardrail may have. users: of all arms, when there are so many and no more.
    weights: of the arms, the control first. message_price: of one message that arrives; control_sends: the control gets one too.
    """

    baseline: float
    mde: float | None = None
    margin: float | None = None
    users: int | None = None
    sd: float | None = None
    rho: float = 0.0
    reach: float = 1.0
    weights: tuple[float, ...] = (1.0, 1.0)
    method: Method = Method.SPENDING
    looks: int = 14
    alpha: float = 0.05
    power: float = 0.8
    per_day: float | None = None
    window: timedelta = timedelta(days=7)
    half_life: timedelta | None = None
    message_price: float | None = None
    control_sends: bool = False

    @property
    def shares(self) -> tuple[float, ...]:
        total = math.fsum(self.weights)
        return tuple(weight / total for weight in self.weights)

    @property
    def seen(self) -> float:
        """The share of an effect on those who are reached that is seen in the whole arm within the window."""
        caught = 1.0 if self.half_life is None else 1 - 2 ** (-(self.window / self.half_life))
        return self.reach * caught

    def _bounded(self) -> dict[str, tuple[float | None, float, float]]:
        """Fields with the least and the most that they may be."""
        return {
            "baseline": (self.baseline, 1e-9, 1e12),
            "margin": (self.margin, 1e-12, 1e12),
            "sd": (self.sd, 1e-9, 1e12),
            "rho": (self.rho, -0.999, 0.999),
            "reach": (self.reach, LEAST_REACH, 1),
            "looks": (self.looks, 1, MOST_LOOKS),
            "alpha": (self.alpha, 1e-6, 0.49),
            "users": (self.users, 2, MOST_USERS),
            "per_day": (self.per_day, 1e-3, MOST_USERS),
            "message_price": (self.message_price, 0, 1e6),
        }

    def check(self, written: Written) -> None:
        """Raises Invalid with everything that cannot be, by the names under which it was `written`."""
        name = written.name
        problems = []
        if self.sd is None and not self.baseline < 1:
            words = f"is a share below 1; for a mean, give {name('sd')} too"
            problems.append(Problem(name("baseline"), words))
        for field, (number, least, most) in self._bounded().items():
            if number is not None and not least <= number <= most:
                words = f"is a number from {least:g} to {most:g}, not {number:g}"
                problems.append(Problem(name(field), words))
        most_harm = max(self.baseline, 1 - self.baseline)
        if self.margin is not None and self.sd is None and 0 < self.baseline < 1 and self.margin >= most_harm:
            words = f"is harm that no share of {self.baseline:g} can have; it is below {most_harm:g}, such as 0.002"
            problems.append(Problem(name("margin"), words))
        if self.mde is not None and not LEAST_EFFECT <= abs(self.mde) <= MOST_EFFECT:
            words = f"is a relative effect of {LEAST_EFFECT:g} to {MOST_EFFECT:g}, up or down, such as 0.1"
            problems.append(Problem(name("mde"), words))
        if not 2 <= len(self.weights) <= MOST_ARMS or not all(
            1 / MOST_WEIGHT <= weight <= MOST_WEIGHT for weight in self.weights
        ):
            words = (
                f"are 2 to {MOST_ARMS} numbers from {1 / MOST_WEIGHT:g} to {MOST_WEIGHT:g}, the control first"
            )
            problems.append(Problem(name("weights"), words))
        if self.method == Method.EXACT and self.sd is not None:
            words = f"exact is for shares; with {name('sd')} the report uses always_valid, so plan with that"
            problems.append(Problem(name("method"), words))
        if not self.alpha < self.power < 1:
            words = f"is above {name('alpha')} and below 1, not {self.power:g}"
            problems.append(Problem(name("power"), words))
        if self.mde is not None and self.margin is not None:
            words = f"is for a guardrail, {name('mde')} for an effect: give one of them"
            problems.append(Problem(name("margin"), words))
        if self.mde is None and self.margin is None and self.users is None:
            words = f"give the effect to find, or with {name('users')} how many there are, or both"
            problems.append(Problem(name("mde"), words))
        if problems:
            raise Invalid.of(problems)
