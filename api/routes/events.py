"""What users have done: the names of their events."""

from fastapi import APIRouter

from api.dependencies import MANAGEMENT, Cursor, Limit, Reader, ReadSession, encode_cursor
from api.schemas import Page
from api.segment_schemas import KnownEventAnswer
from targeting import events

router = APIRouter(prefix="/v1/events", tags=["segments"], dependencies=list(MANAGEMENT))


@router.get("/names")
def list_names(
    session: ReadSession, _principal: Reader, cursor: Cursor, limit: Limit = 50
) -> Page[KnownEventAnswer]:
    """The names of events that have happened, in their order, and when each happened last."""
    rows = events.list_known(session, skip=cursor, limit=limit)
    return Page(
        items=[KnownEventAnswer.model_validate(row, from_attributes=True) for row in rows],
        next_cursor=encode_cursor(cursor + limit) if len(rows) == limit else None,
    )
