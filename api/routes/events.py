"""What users have done: the names of their events."""

from typing import Annotated, Final

from fastapi import APIRouter, Query

from api.dependencies import MANAGEMENT, CleanText, Cursor, Limit, Reader, ReadSession, encode_cursor
from api.schemas import Page
from api.segment_schemas import KnownEventAnswer
from targeting import events

router = APIRouter(prefix="/v1/events", tags=["segments"], dependencies=list(MANAGEMENT))


MOST_NAMES: Final = 100
Names = Annotated[list[CleanText], Query(max_length=MOST_NAMES, description="Only these; all on one page")]


@router.get("/names")
def list_names(
    session: ReadSession,
    _principal: Reader,
    cursor: Cursor,
    limit: Limit = 50,
    name: Names = [],  # noqa: B006  # FastAPI copies it
) -> Page[KnownEventAnswer]:
    """The names of events that have happened, in their order, and when each happened last. `name` (again and again) asks only for some."""
    if name:
        found = events.list_known_among(session, names=name)
        items = [KnownEventAnswer.model_validate(row, from_attributes=True) for row in found]
        return Page(items=items, next_cursor=None)
    rows = events.list_known(session, skip=cursor, limit=limit)
    return Page(
        items=[KnownEventAnswer.model_validate(row, from_attributes=True) for row in rows],
        next_cursor=encode_cursor(cursor + limit) if len(rows) == limit else None,
    )
