"""Fuses, pausing everything, our numbers, and the inbox of webhooks."""

from typing import Annotated, Final

from fastapi import APIRouter, Path, Query

from api.delivery_schemas import (
    BreakerAnswer,
    BreakersAnswer,
    CloseRequest,
    NumberAnswer,
    NumbersAnswer,
    PausedAnswer,
    PauseRequest,
    WebhookAnswer,
)
from api.dependencies import (
    MANAGEMENT,
    MAX_ID,
    ClockOf,
    Cursor,
    Limit,
    Reader,
    ReadSession,
    SettingsOf,
    Writer,
    WriteSession,
    next_cursor,
)
from api.idempotency import IdempotentRoute
from api.schemas import Page
from delivery.fuses import breakers, numbers
from delivery.receipts import inbox as receipts
from delivery.receipts.inbox import WebhookState
from experiments.vocabulary import Scope

router = APIRouter(
    prefix="/v1/delivery", tags=["delivery"], route_class=IdempotentRoute, dependencies=list(MANAGEMENT)
)
WebhookId = Annotated[int, Path(alias="id", ge=1, lt=MAX_ID)]
NO_WEBHOOK: Final = {"description": "There is no such webhook"}


@router.get("/breakers")
def list_breakers(session: ReadSession, clock: ClockOf, _principal: Reader) -> BreakersAnswer:
    """Fuses that are open: nothing goes out through what they guard."""
    rows = breakers.open_breakers(session, clock)
    return BreakersAnswer(items=[BreakerAnswer.of(row) for row in rows])


@router.post("/breakers/close", responses={404: {"description": "No such fuse is open"}})
def close_breaker(
    session: WriteSession, clock: ClockOf, principal: Writer, request: CloseRequest
) -> BreakerAnswer:
    """Close a fuse once its cause is mended; what waited goes out again."""
    row = breakers.close(session, clock, actor=principal.actor, kind=request.kind, key=request.key)
    return BreakerAnswer.of(row)


@router.post("/pause")
def pause(session: WriteSession, clock: ClockOf, principal: Writer, request: PauseRequest) -> PausedAnswer:
    """Stop everything: after this answer no message goes out. Pausing twice changes nothing."""
    row = breakers.pause_all(session, clock, actor=principal.actor, reason=request.reason)
    return PausedAnswer.of(row)


@router.post("/resume")
def resume(session: WriteSession, clock: ClockOf, principal: Writer) -> PausedAnswer:
    """Go on after a pause; other fuses stay as they are. Resuming twice changes nothing."""
    return PausedAnswer.of(breakers.resume_all(session, clock, actor=principal.actor))


@router.get("/numbers")
def list_numbers(session: ReadSession, _principal: Reader) -> NumbersAnswer:
    """Our numbers as WhatsApp sees them: quality, how many people they may reach in 24 hours, trouble."""
    return NumbersAnswer(items=[NumberAnswer.of(known) for known in numbers.all_states(session)])


@router.get("/webhooks")
def list_webhooks(
    session: ReadSession,
    principal: Reader,
    cursor: Cursor,
    limit: Limit = 50,
    state: Annotated[WebhookState, Query(description="Which webhooks to list")] = WebhookState.ALL,
) -> Page[WebhookAnswer]:
    """Stored webhooks, oldest first, without their bodies; of what is unmatched in each, the first few."""
    rows = receipts.page(session, state=state, after_id=cursor, limit=limit)
    named = Scope.ADMIN in principal.scopes
    return Page(
        items=[WebhookAnswer.of(row, open_names=named) for row in rows],
        next_cursor=next_cursor(rows, limit, lambda row: row.id),
    )


@router.get("/webhooks/{id}", responses={404: NO_WEBHOOK})
def read_webhook(session: ReadSession, principal: Reader, body_id: WebhookId) -> WebhookAnswer:
    """One stored webhook, with all that is unmatched in it; its body for the scope admin."""
    row = receipts.find(session, body_id=body_id)
    return WebhookAnswer.of(row, whole=True, open_names=Scope.ADMIN in principal.scopes)


@router.post("/webhooks/{id}/project", responses={404: NO_WEBHOOK})
def project_webhook(
    session: WriteSession, clock: ClockOf, settings: SettingsOf, principal: Writer, body_id: WebhookId
) -> WebhookAnswer:
    """Make sense of a webhook again, from its body; harmless however often it is done."""
    row = receipts.project_again(session, clock, actor=principal.actor, body_id=body_id, settings=settings)
    return WebhookAnswer.of(row, open_names=Scope.ADMIN in principal.scopes)
