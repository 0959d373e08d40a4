"""The seam for campaigns that move their traffic: the same trial, run by a simulator of the policy instead of with fixed shares. Pure.

A policy other than `fixed` changes the shares with what is seen, so no formula of `stats.power` is about it. Whoever knows the policy gives
a `Simulator` (`bandit_trial.BanditTrial`); without one nothing is claimed.
"""

from typing import Any, Final, Protocol

import numpy as np

from analysis.stats.errors import InsufficientData
from analysis.stats.monitoring import Monitoring
from analysis.stats.simulated_power import Progress, SimulatedPower, Trial, simulate

FIXED: Final = "fixed"


class Allocation(Protocol):
    """How traffic is split over time: `experiments.design.Allocation`, whatever fields its policy has."""

    @property
    def policy(self) -> str: ...


class Simulator(Protocol):
    """Runs a trial under a policy. trial.shares: of the first epoch; trial.arrivals: by day; trial.means, sds: of one unit."""

    def __call__(
        self,
        trial: Trial,
        *,
        allocation: Any,
        monitoring: Monitoring,
        runs: int,
        rng: np.random.Generator,
        progress: Progress | None,
    ) -> SimulatedPower: ...


def moves(allocation: Allocation) -> bool:
    """Whether shares change with what is seen."""
    return allocation.policy != FIXED


def run_trial(
    trial: Trial,
    *,
    allocation: Allocation,
    monitoring: Monitoring,
    runs: int,
    rng: np.random.Generator,
    progress: Progress | None = None,
    simulator: Simulator | None = None,
) -> SimulatedPower:
    """The trial under its policy. Raises InsufficientData when the policy moves traffic and nobody can simulate that."""
    if not moves(allocation):
        return simulate(trial, monitoring=monitoring, runs=runs, rng=rng, progress=progress)
    if simulator is None:
        raise InsufficientData(
            f"the policy {allocation.policy} moves traffic: `touchstone simulate` shows what that does"
        )
    return simulator(
        trial, allocation=allocation, monitoring=monitoring, runs=runs, rng=rng, progress=progress
    )


def cautions(allocation: Allocation, *, simulated: bool) -> tuple[str, ...]:
    """What to say beside figures that come from formulas. simulated: whether those of the policy itself are there too."""
    if not moves(allocation):
        return ()
    instead = (
        "the simulation beside them is of the policy itself"
        if simulated
        else "`touchstone simulate` shows what that does"
    )
    words = (
        "users, power and days by formula take the shares of the start for the whole campaign, as with fixed weights, and the policy "
        f"{allocation.policy} moves traffic: {instead}"
    )
    return (words,)
