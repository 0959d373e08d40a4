"""Does a variant surely do more harm than is tolerated? From facts to verdicts. Pure.

One test for each guard and each variant that may be stopped, at alpha shared out evenly over them (the alpha of the plan).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from analysis.facts.guard_facts import GuardFacts
from analysis.stats.harm import log_e_harm
from experiments.guards import Guard

_FLOOR: Final = -1e6
"""So that no evidence at all, where a margin allows everything, can be written down."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """One guard of one variant at one look.

    users, harmed (and those of the control): of epochs in which both had users, 0 while there are none. log_e: the evidence as a
    logarithm; needed: how much of it stops the variant.
    """

    variant: str
    guard: str
    margin: float
    users: int
    harmed: int
    control_users: int
    control_harmed: int
    log_e: float
    needed: float

    @property
    def breached(self) -> bool:
        return self.log_e >= self.needed

    def told(self) -> str:
        """The numbers in words; of a variant and a control that both have users."""
        return (
            f"guardrail {self.guard}: {self.harmed} of {self.users} users ({self.harmed / self.users:.2%}) against "
            f"{self.control_harmed} of {self.control_users} of the control ({self.control_harmed / self.control_users:.2%}), surely "
            f"more than the margin of {self.margin:g} (evidence {_power(self.log_e)}, {_power(self.needed)} needed)"
        )


def judge(
    facts: GuardFacts,
    *,
    guards: Sequence[Guard],
    arms: Sequence[str],
    control: str,
    weights: Mapping[int, Mapping[str, float]],
    alpha: float,
    tests: int,
) -> list[Verdict]:
    """Every guard of every arm, arms in their order. weights: of each epoch. tests: that share alpha."""
    needed = math.log(tests / alpha)
    place = {variant: index for index, variant in enumerate(facts.variants)}
    users, c = facts.users, place[control]
    found = []
    for arm in arms:
        t = place[arm]
        compared = (users[:, c] > 0) & (users[:, t] > 0)
        share = np.array([_share(weights.get(epoch, {}), arm, control) for epoch in facts.epochs])
        for guard in guards:
            harmed = facts.harmed[guard.key]
            # Whatever epoch's share is not known says nothing at all.
            both = compared & (share > 0) & (share < 1)
            n_c, x_c, n_t, x_t = (
                part[both] for part in (users[:, c], harmed[:, c], users[:, t], harmed[:, t])
            )
            log_e = (
                float(log_e_harm(n_c, x_c, n_t, x_t, share=share[both], margin=guard.margin))
                if both.any()
                else 0.0
            )
            found.append(
                Verdict(
                    variant=arm,
                    guard=guard.key,
                    margin=guard.margin,
                    users=int(n_t.sum()),
                    harmed=int(x_t.sum()),
                    control_users=int(n_c.sum()),
                    control_harmed=int(x_c.sum()),
                    log_e=max(log_e, _FLOOR),
                    needed=needed,
                )
            )
    return found


def _share(weights: Mapping[str, float], arm: str, control: str) -> float:
    both = weights.get(arm, 0.0) + weights.get(control, 0.0)
    return weights.get(arm, 0.0) / both if both > 0 else 0.0


def _power(log_e: float) -> str:
    return f"{math.exp(log_e):.3g}" if log_e < 14 else f"e^{log_e:.0f}"
