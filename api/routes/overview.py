"""The installation at a glance, and experiments as a list shows them: from what is kept, nothing is computed."""

from typing import Annotated

from fastapi import APIRouter, Query

from api import overviewing
from api.dependencies import (
    MANAGEMENT,
    CleanText,
    ClockOf,
    Cursor,
    Limit,
    Reader,
    ReadSession,
    WiringOf,
    next_cursor,
)
from api.idempotency import IdempotentRoute
from api.overview_schemas import CardAnswer, CardsAnswer, OverviewAnswer
from experiments.vocabulary import ExperimentStatus

router = APIRouter(
    prefix="/v1/overview", tags=["overview"], route_class=IdempotentRoute, dependencies=list(MANAGEMENT)
)


@router.get("")
def overview(session: ReadSession, clock: ClockOf, wiring: WiringOf, _principal: Reader) -> OverviewAnswer:
    """What calls for somebody, what runs and what went out today. Shows kept reports and makes none."""
    found = overviewing.glance(
        session, clock, settings=wiring.settings, overviews=wiring.overviews, facts=wiring.facts
    )
    return OverviewAnswer.of(found)


@router.get("/experiments")
def list_cards(
    session: ReadSession,
    clock: ClockOf,
    _principal: Reader,
    cursor: Cursor,
    limit: Limit = 20,
    status: Annotated[ExperimentStatus | None, Query()] = None,
    search: Annotated[
        CleanText, Query(max_length=100, description="What the key or the name has in it")
    ] = "",
) -> CardsAnswer:
    """Experiments, newest first, each with its main effect, its health and its size as last reported."""
    cards, counts = overviewing.list_cards(
        session, clock, before_id=cursor or None, limit=limit, status=status, search=search
    )
    return CardsAnswer(
        items=[CardAnswer.of(card) for card in cards],
        next_cursor=next_cursor(cards, limit, lambda card: card.experiment.id),
        counts=dict(counts),
    )
