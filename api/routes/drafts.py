"""Campaigns that are being written: any document, whole or not, that nothing acts on."""

from typing import Annotated

from fastapi import APIRouter, Path, Query

from api.dependencies import (
    MANAGEMENT,
    CleanText,
    ClockOf,
    Cursor,
    Limit,
    Reader,
    ReadSession,
    Writer,
    WriteSession,
    next_cursor,
)
from api.draft_schemas import DraftAnswer, DraftRequest, WholeDraftAnswer
from api.idempotency import IdempotentRoute
from api.schemas import Page
from experiments import drafts
from experiments.metrics import KEY_PATTERN

router = APIRouter(
    prefix="/v1/drafts", tags=["experiments"], route_class=IdempotentRoute, dependencies=list(MANAGEMENT)
)
Key = Annotated[str, Path(pattern=KEY_PATTERN)]
Search = Annotated[CleanText, Query(max_length=100, description="Text in the key or the name")]


@router.get("")
def list_drafts(
    session: ReadSession, _principal: Reader, cursor: Cursor, limit: Limit = 50, search: Search = ""
) -> Page[DraftAnswer]:
    """All drafts without their documents, newest first."""
    rows = drafts.list_drafts(session, before_id=cursor or None, limit=limit, search=search)
    return Page(
        items=[DraftAnswer.of(row) for row in rows], next_cursor=next_cursor(rows, limit, lambda row: row.id)
    )


@router.get("/{key}")
def read(session: ReadSession, _principal: Reader, key: Key) -> WholeDraftAnswer:
    """One draft."""
    return WholeDraftAnswer.of(drafts.find(session, key=key))


@router.put("/{key}", responses={409: {"description": "Somebody else has saved it since `revision`"}})
def save(
    session: WriteSession, clock: ClockOf, principal: Writer, key: Key, request: DraftRequest
) -> DraftAnswer:
    """Keep a document as it is. What is wrong with it is told when it becomes an experiment."""
    saved = drafts.save(
        session,
        clock,
        actor=principal.actor,
        key=key,
        document=request.document,
        revision=request.revision,
    )
    return DraftAnswer.of(saved)


@router.delete("/{key}", status_code=204)
def forget(session: WriteSession, _principal: Writer, key: Key) -> None:
    """Throw a draft away; an experiment that was made of it stays."""
    drafts.forget(session, key=key)
