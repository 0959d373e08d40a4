"""Plans: what would become of a campaign, before anybody is messaged."""

from typing import Annotated

import numpy as np
from fastapi import APIRouter, Depends

from analysis.planning.planning import plan_campaign
from api.dependencies import MANAGEMENT, ClockOf, Reader, ReadSession, SettingsOf
from api.idempotency import IdempotentRoute
from api.plan_schemas import PlanAnswer, PlanRequest

router = APIRouter(
    prefix="/v1/plan", tags=["plan"], route_class=IdempotentRoute, dependencies=list(MANAGEMENT)
)
SEED = 20_261_201
"""The same question gets the same answer twice, as long as there is time to look at everybody."""


def _rng() -> np.random.Generator:
    return np.random.default_rng(SEED)


@router.post("")
def plan(
    session: ReadSession,
    clock: ClockOf,
    settings: SettingsOf,
    _principal: Reader,
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
        fields=("campaign.", "assumptions."),
    )
    return PlanAnswer.of(made)
