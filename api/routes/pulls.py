"""Scheduled pulls from other databases."""

from typing import Annotated

from fastapi import APIRouter, Path, Response

from api.dependencies import (
    MANAGEMENT,
    Admin,
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
from api.presenting_imports import pull_answer
from api.pull_schemas import PullAnswer, PullRequest
from api.schemas import Page
from experiments.metrics import KEY_PATTERN
from targeting.pulls import repository as pull_repository
from targeting.pulls import service as pulls

router = APIRouter(
    prefix="/v1/pulls", tags=["pulls"], route_class=IdempotentRoute, dependencies=list(MANAGEMENT)
)
Key = Annotated[str, Path(pattern=KEY_PATTERN)]


@router.get("")
def list_pulls(
    session: ReadSession, clock: ClockOf, _principal: Reader, cursor: Cursor, limit: Limit = 50
) -> Page[PullAnswer]:
    """All pulls and how they stand."""
    rows = pull_repository.list_pulls(session, after_id=cursor, limit=limit)
    return Page(
        items=[pull_answer(row, clock.now()) for row in rows],
        next_cursor=next_cursor(rows, limit, lambda row: row.id),
    )


@router.get("/{key}")
def read_pull(session: ReadSession, clock: ClockOf, _principal: Reader, key: Key) -> PullAnswer:
    """One pull and how it stands."""
    return pull_answer(pulls.find(session, key=key), clock.now())


@router.put("/{key}")
def put_pull(
    session: WriteSession,
    clock: ClockOf,
    settings: SettingsOf,
    principal: Admin,
    key: Key,
    request: PullRequest,
) -> PullAnswer:
    """Add or change a pull; it runs at the next tick. Needs the scope admin: a query may read all of its source."""
    pull = pulls.put(
        session,
        clock,
        actor=principal.actor,
        key=key,
        definition=request.definition(),
        enabled=request.enabled,
        settings=settings,
    )
    return pull_answer(pull, clock.now())


@router.delete("/{key}", status_code=204)
def delete_pull(session: WriteSession, clock: ClockOf, principal: Admin, key: Key) -> Response:
    """Forget a pull; what it brought stays."""
    pulls.delete(session, clock, actor=principal.actor, key=key)
    return Response(status_code=204)


@router.post("/{key}/run", status_code=202)
def run_pull(session: WriteSession, clock: ClockOf, principal: Writer, key: Key) -> PullAnswer:
    """Make a pull due now; a worker runs it at its next tick."""
    return pull_answer(pulls.ask(session, clock, actor=principal.actor, key=key), clock.now())


@router.post("/{key}/enable")
def enable_pull(session: WriteSession, clock: ClockOf, principal: Writer, key: Key) -> PullAnswer:
    """Let a pull run on its schedule."""
    pull = pulls.set_enabled(session, clock, actor=principal.actor, key=key, enabled=True)
    return pull_answer(pull, clock.now())


@router.post("/{key}/disable")
def disable_pull(session: WriteSession, clock: ClockOf, principal: Writer, key: Key) -> PullAnswer:
    """Stop a pull from running on its schedule; a run that is under way ends first."""
    pull = pulls.set_enabled(session, clock, actor=principal.actor, key=key, enabled=False)
    return pull_answer(pull, clock.now())
