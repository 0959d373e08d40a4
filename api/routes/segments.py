"""Segments, who is in them, and tags."""

from dataclasses import asdict
from typing import Annotated

import numpy as np
from fastapi import APIRouter, Depends, Path, Query, Request, Response
from pydantic import Field

from api import segment_uploads
from api.dependencies import (
    MANAGEMENT,
    CleanText,
    ClockOf,
    Cursor,
    Limit,
    Reader,
    ReadSession,
    WiringOf,
    Writer,
    WriteSession,
    next_cursor,
)
from api.idempotency import PARAMETER, IdempotentRoute
from api.presenting import user_answer
from api.schemas import Page, UserAnswer
from api.segment_schemas import (
    CombinationsAnswer,
    MemberAnswer,
    MembersAnswer,
    MembersRequest,
    OverlapAnswer,
    PreviewAnswer,
    PreviewRequest,
    RefreshAnswer,
    SegmentAnswer,
    SegmentRequest,
    TaggedAnswer,
    TagSegmentRequest,
    TagsRequest,
    UseAnswer,
)
from experiments.metrics import KEY_PATTERN
from targeting import consent
from targeting.segments import combining, membership, tags
from targeting.segments import preview as previews
from targeting.segments import service as segments

router = APIRouter(
    prefix="/v1/segments", tags=["segments"], route_class=IdempotentRoute, dependencies=list(MANAGEMENT)
)
uploads_router = APIRouter(prefix="/v1/segments", tags=["segments"], dependencies=list(MANAGEMENT))
tags_router = APIRouter(
    prefix="/v1/users", tags=["users"], route_class=IdempotentRoute, dependencies=list(MANAGEMENT)
)

Key = Annotated[str, Path(pattern=KEY_PATTERN)]
UserId = Annotated[CleanText, Path(min_length=1, max_length=200)]
Search = Annotated[CleanText, Query(max_length=100, description="Text in the key or the name")]
Tag = Annotated[CleanText, Path(min_length=1, max_length=100)]


def _rng() -> np.random.Generator:
    return np.random.default_rng()


@router.get("")
def list_segments(
    session: ReadSession, _principal: Reader, cursor: Cursor, limit: Limit = 50, search: Search = ""
) -> Page[SegmentAnswer]:
    """All segments, oldest first, or those whose key or name holds a text."""
    rows = segments.list_segments(session, after_id=cursor, limit=limit, search=search)
    return Page(
        items=[SegmentAnswer.of(row) for row in rows],
        next_cursor=next_cursor(rows, limit, lambda row: row.id),
    )


@router.post("/preview")
def preview(
    session: ReadSession,
    clock: ClockOf,
    principal: Reader,
    rng: Annotated[np.random.Generator, Depends(_rng)],
    request: PreviewRequest,
) -> PreviewAnswer:
    """How many users a condition means, and some of them, in about half a second however many users there are.

    When counting everybody takes longer than that, the answer is an estimate and says how good it is.
    """
    found = previews.preview(session, clock, rng=rng, **dict(request))
    return PreviewAnswer.about(found, sees_numbers=principal.sees_numbers)


@router.get("/overlap", responses={404: {"description": "One of the segments does not exist"}})
def overlap(
    session: ReadSession,
    clock: ClockOf,
    _principal: Reader,
    a: Annotated[str, Query(pattern=KEY_PATTERN)],
    b: Annotated[str, Query(pattern=KEY_PATTERN)],
) -> OverlapAnswer:
    """How two segments overlap: their sizes, how many are in both, and in one of them only."""
    return OverlapAnswer.of(a, b, membership.overlap(session, clock, a=a, b=b))


@router.get("/overlap/combinations", responses={404: {"description": "One of the segments does not exist"}})
def combinations(
    session: ReadSession,
    clock: ClockOf,
    _principal: Reader,
    rng: Annotated[np.random.Generator, Depends(_rng)],
    key: Annotated[list[Annotated[str, Field(pattern=KEY_PATTERN)]], Query()],
) -> CombinationsAnswer:
    """How two to six segments overlap: how many users are in just these of them, for every combination.

    When looking at everybody takes longer than half a second, the answer is an estimate and says how good it is.
    """
    return CombinationsAnswer.of(combining.combinations(session, clock, keys=key, rng=rng))


@router.get("/{key}")
def read(session: ReadSession, _principal: Reader, key: Key) -> SegmentAnswer:
    """One segment."""
    return SegmentAnswer.of(segments.find(session, key=key))


@router.put("/{key}")
def put(
    session: WriteSession, clock: ClockOf, principal: Writer, key: Key, request: SegmentRequest
) -> SegmentAnswer:
    """Add a segment or change it. A list stays a list, a condition a condition."""
    segment = segments.put(session, clock, actor=principal.actor, key=key, **dict(request))
    return SegmentAnswer.of(segment, segments.warnings_of(session, segment))


@router.delete("/{key}", status_code=204)
def delete(session: WriteSession, clock: ClockOf, principal: Writer, key: Key) -> None:
    """Forget a segment, unless a segment, a rule or an experiment that is not stopped names it."""
    segments.delete(session, clock, actor=principal.actor, key=key)


@router.get("/{key}/uses")
def uses(session: ReadSession, _principal: Reader, key: Key) -> list[UseAnswer]:
    """What names a segment: experiments that are not stopped, segments, rules."""
    return [UseAnswer(kind=kind, key=name) for kind, name in segments.used_by(session, key=key)]


@router.post("/{key}/refresh")
def refresh(wiring: WiringOf, _principal: Writer, key: Key) -> RefreshAnswer:
    """Work out anew who meets the condition of a segment. The scheduler does it too, every so often."""
    return RefreshAnswer.model_validate(asdict(membership.refresh(wiring.database, wiring.clock, key=key)))


@router.get("/{key}/members")
def list_members(
    session: ReadSession, _principal: Reader, key: Key, cursor: Cursor, limit: Limit = 50
) -> Page[MemberAnswer]:
    """Who is in a segment: on its list, or found by its last refresh."""
    rows = membership.members_of(session, key=key, after_pk=cursor, limit=limit)
    return Page(
        items=[MemberAnswer(user_id=row.user_id, added_at=row.added_at) for row in rows],
        next_cursor=next_cursor(rows, limit, lambda row: row.id),
    )


@router.put("/{key}/members", responses={404: {"description": "There is no such segment"}})
def set_members(
    session: WriteSession, clock: ClockOf, principal: Writer, key: Key, request: MembersRequest
) -> MembersAnswer:
    """Let a list hold exactly these users. Ids that are no user's are told and left out."""
    return MembersAnswer.of(
        membership.set_members(session, clock, actor=principal.actor, key=key, user_ids=request.user_ids)
    )


@uploads_router.post(
    "/{key}/members",
    response_model=MembersAnswer,
    openapi_extra={"requestBody": segment_uploads.REQUEST_BODY, "parameters": [PARAMETER]},
)
async def add_members(
    wiring: WiringOf,
    principal: Writer,
    request: Request,
    key: Key,
    replace: Annotated[bool, Query(description="Take everybody off the list who is not in the file")] = False,
) -> Response:
    """Put the users of a file on a list: one user id a line, or a CSV with a column `user_id`.

    Sending the same file again changes nothing. Ids that are no user's are told and left out.
    """
    return await segment_uploads.receive(wiring, principal, request, key=key, replace=replace)


@router.post("/{key}/tag")
def tag_segment(wiring: WiringOf, principal: Writer, key: Key, request: TagSegmentRequest) -> TaggedAnswer:
    """Put a tag on everybody who is in a segment now, or take it off."""
    tagged = tags.tag_segment(
        wiring.database,
        wiring.clock,
        actor=principal.actor,
        key=key,
        tag=request.tag,
        remove_it=request.remove,
    )
    return TaggedAnswer.model_validate(asdict(tagged))


@tags_router.post("/{user_id:path}/tags")
def add_tags(
    session: WriteSession, clock: ClockOf, principal: Writer, user_id: UserId, request: TagsRequest
) -> UserAnswer:
    """Put tags on a user. They are the list attribute `tags`."""
    user = tags.tag_user(session, clock, actor=principal.actor, user_id=user_id, tags=request.tags)
    return user_answer(user, consent.consents_of(session, user_pk=user.id or 0), principal)


@tags_router.delete("/{user_id:path}/tags/{tag:path}")
def remove_tag(
    session: WriteSession, clock: ClockOf, principal: Writer, user_id: UserId, tag: Tag
) -> UserAnswer:
    """Take a tag off a user."""
    user = tags.untag_user(session, clock, actor=principal.actor, user_id=user_id, tag=tag)
    return user_answer(user, consent.consents_of(session, user_pk=user.id or 0), principal)
