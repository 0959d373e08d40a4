"""What attributes users have, and indexes on them."""

from typing import Annotated

import numpy as np
from fastapi import APIRouter, Path

from api.dependencies import (
    MANAGEMENT,
    CleanText,
    Cursor,
    Limit,
    Reader,
    ReadSession,
    WiringOf,
    Writer,
    encode_cursor,
)
from api.idempotency import IdempotentRoute
from api.schemas import Page
from api.segment_schemas import AttributeAnswer, AttributeRequest
from targeting.segments import attributes

router = APIRouter(
    prefix="/v1/attributes", tags=["segments"], route_class=IdempotentRoute, dependencies=list(MANAGEMENT)
)


@router.get("")
def list_attributes(
    session: ReadSession, principal: Reader, cursor: Cursor, limit: Limit = 50
) -> Page[AttributeAnswer]:
    """The attributes of users by name, as last discovered: after an import, or once an hour."""
    rows = attributes.list_attributes(session, skip=cursor, limit=limit)
    return Page(
        items=[AttributeAnswer.of(row, sees_numbers=principal.sees_numbers) for row in rows],
        next_cursor=encode_cursor(cursor + limit) if len(rows) == limit else None,
    )


@router.put("/{name:path}", responses={404: {"description": "No user has such an attribute"}})
def set_indexed(
    wiring: WiringOf,
    principal: Writer,
    name: Annotated[CleanText, Path(min_length=1, max_length=200)],
    request: AttributeRequest,
) -> AttributeAnswer:
    """Make or drop the index on one attribute; with one, conditions on it are counted without reading all users."""
    return AttributeAnswer.of(
        attributes.set_indexed(
            wiring.database,
            wiring.clock,
            actor=principal.actor,
            name=name,
            indexed=request.indexed,
            rng=np.random.default_rng(),
        )
    )
