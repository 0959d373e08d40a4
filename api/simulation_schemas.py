"""What is asked over HTTP about simulated campaigns; the answer is `analysis.planning.bandit_plan.BanditSimulation` itself."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from analysis.planning.bandit_inputs import FEWEST, Assumed
from analysis.planning.bandit_plan import POLICIES
from analysis.planning.bandit_world import Policy

MOST_RUNS = 10_000


class SimulationRequest(BaseModel):
    """`world`: what is true in it, by variant. `runs`: campaigns under each policy; absent: as many as take a few seconds, at most 1,000.
    `seed`: of the random numbers; the same one gives the same answer. `policies`: which of them; one by one they are the same as all at once, but for
    `notes` about all of them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    campaign: dict[str, Any] = Field(description="A campaign: the document that `POST /v1/experiments` takes")
    world: Assumed = Assumed()
    runs: int | None = Field(None, ge=FEWEST, le=MOST_RUNS, strict=True)
    seed: int = Field(1, ge=0, lt=2**63, strict=True)
    policies: frozenset[Policy] = Field(frozenset(POLICIES), min_length=1)
