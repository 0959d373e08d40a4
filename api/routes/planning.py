"""Plans: what would become of a campaign, before anybody is messaged."""

from typing import Annotated

import numpy as np
from fastapi import APIRouter, Depends

from analysis.planning.bandit_plan import BanditSimulation, simulate_campaign
from analysis.planning.plan_document import read_campaign
from analysis.planning.planning import plan_campaign
from analysis.planning.sizing import size
from api.dependencies import MANAGEMENT, ClockOf, Reader, ReadSession, SettingsOf
from api.idempotency import IdempotentRoute
from api.masking import without_numbers
from api.plan_schemas import PlanAnswer, PlanRequest
from api.simulation_schemas import SimulationRequest
from api.size_schemas import SizeAnswer, SizeRequest

router = APIRouter(prefix="/v1", tags=["plan"], route_class=IdempotentRoute, dependencies=list(MANAGEMENT))
SEED = 20_261_201
"""The same question gets the same answer twice, as long as there is time to look at everybody."""
SECONDS = 10.0
"""Of processor time that a simulation may take."""


def _rng() -> np.random.Generator:
    return np.random.default_rng(SEED)


@router.post("/plan")
def plan(
    session: ReadSession,
    clock: ClockOf,
    settings: SettingsOf,
    principal: Reader,
    rng: Annotated[np.random.Generator, Depends(_rng)],
    request: PlanRequest,
) -> PlanAnswer:
    """Power, smallest effect, users and days needed, messages and limits, on the users there are. Nothing is stored.

    What history cannot tell is null with its reason; `assumptions` may say it.
    """
    made = plan_campaign(
        session,
        clock,
        document=request.campaign,
        settings=settings,
        rng=rng,
        assumptions=request.assumptions,
        simulate=request.simulate,
        seen=None if principal.sees_numbers else without_numbers,
        fields=("campaign.", "assumptions."),
    )
    return PlanAnswer.of(made)


@router.post("/plan/size")
def plan_size(_principal: Reader, request: SizeRequest) -> SizeAnswer:
    """How many users a comparison needs, what so many are enough for, and what looking costs: from a few numbers, without any data."""
    return SizeAnswer.of(size(request.question(), only=request.only, fields=""))


@router.post("/simulate")
def simulate(session: ReadSession, _principal: Reader, request: SimulationRequest) -> BanditSimulation:
    """The campaign run many times in a world that you describe, under each allocation policy: what is lost, how often it is wrong, when it is known.

    Nothing is stored and nobody messaged. The same request gets the same answer.
    """
    return simulate_campaign(
        read_campaign(session, request.campaign, prefix="campaign."),
        request.world,
        rng=np.random.default_rng(request.seed),
        runs=request.runs,
        policies=request.policies,
        seconds=SECONDS,
        fields=("campaign.", "world."),
    )
