"""The delivery policy: how often people may be written to, and when not."""

from typing import Annotated, Any

from fastapi import APIRouter, Body

from api.dependencies import (
    MANAGEMENT,
    Admin,
    ClockOf,
    Cursor,
    Limit,
    Reader,
    ReadSession,
    SettingsOf,
    WriteSession,
    next_cursor,
)
from api.idempotency import IdempotentRoute
from api.openapi import POLICY_BODY
from api.policy_schemas import PolicyVersionAnswer
from api.schemas import Page
from delivery.limits import policy

router = APIRouter(
    prefix="/v1/delivery/policy",
    tags=["delivery"],
    route_class=IdempotentRoute,
    dependencies=list(MANAGEMENT),
)
Document = Annotated[
    dict[str, Any], Body(description="A policy: the document that `touchstone policy set` reads")
]


@router.get("")
def read(session: ReadSession, settings: SettingsOf, _principal: Reader) -> policy.DeliveryPolicy:
    """The policy that counts now: the newest that was put, or what the settings say."""
    return policy.current(session, settings)


@router.put("", openapi_extra={"requestBody": POLICY_BODY})
def put(session: WriteSession, clock: ClockOf, principal: Admin, document: Document) -> policy.DeliveryPolicy:
    """Let this be the policy of all campaigns and workers from now on, as a whole."""
    return policy.put(session, clock, actor=principal.actor, document=document)


@router.get("/history")
def history(
    session: ReadSession, _principal: Reader, cursor: Cursor, limit: Limit = 50
) -> Page[PolicyVersionAnswer]:
    """What the policy has said, newest first."""
    rows = policy.history(session, before_id=cursor or None, limit=limit)
    return Page(
        items=[PolicyVersionAnswer.of(row) for row in rows],
        next_cursor=next_cursor(rows, limit, lambda row: row.id),
    )
