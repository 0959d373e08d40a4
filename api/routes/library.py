"""The library of metrics, API keys, and the audit log."""

from typing import Annotated

from fastapi import APIRouter, Path, Query, Response

from api import repository as access
from api import security
from api.dependencies import (
    MANAGEMENT,
    Admin,
    Anybody,
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
from api.idempotency import IdempotentRoute
from api.presenting import audit_answer, key_answer, metric_answer
from api.schemas import AuditAnswer, KeyAnswer, KeyRequest, MetricAnswer, NewKeyAnswer, OwnKeyAnswer, Page
from experiments import repository, service
from experiments.metrics import KEY_PATTERN, MetricDefinition

router = APIRouter(prefix="/v1", route_class=IdempotentRoute, dependencies=list(MANAGEMENT))
keys_router = APIRouter(
    prefix="/v1/keys", tags=["access"], route_class=IdempotentRoute, dependencies=list(MANAGEMENT)
)


@router.get("/metrics", tags=["metrics"])
def list_metrics(
    session: ReadSession, _principal: Reader, cursor: Cursor, limit: Limit = 50
) -> Page[MetricAnswer]:
    """Metrics that any experiment may use by key."""
    rows = repository.list_metrics(session, after_id=cursor, limit=limit)
    return Page(
        items=[metric_answer(row) for row in rows], next_cursor=next_cursor(rows, limit, lambda row: row.id)
    )


@router.get("/metrics/{key}", tags=["metrics"])
def read_metric(
    session: ReadSession, _principal: Reader, key: Annotated[str, Path(pattern=KEY_PATTERN)]
) -> MetricAnswer:
    """One metric of the library."""
    return metric_answer(repository.get_metric(session, key))


@router.put("/metrics/{key}", tags=["metrics"])
def put_metric(
    session: WriteSession,
    clock: ClockOf,
    principal: Writer,
    key: Annotated[str, Path(pattern=KEY_PATTERN)],
    definition: MetricDefinition,
) -> MetricAnswer:
    """Add or change a metric. Experiments keep the definition that they were made with."""
    return metric_answer(
        service.put_metric(session, clock, actor=principal.actor, key=key, definition=definition)
    )


@router.get("/audit", tags=["access"])
def list_audit(
    session: ReadSession,
    principal: Reader,
    cursor: Cursor,
    limit: Limit = 50,
    subject_kind: Annotated[CleanText | None, Query(max_length=50)] = None,
    subject_key: Annotated[CleanText | None, Query(max_length=200)] = None,
    actor: Annotated[
        CleanText | None, Query(max_length=200, description="As the log names them: `member:EMAIL` ..")
    ] = None,
) -> Page[AuditAnswer]:
    """Who changed what, newest first."""
    rows = access.list_audit(
        session,
        before_id=cursor or None,
        limit=limit,
        subject_kind=subject_kind,
        subject_key=subject_key,
        actor=actor,
    )
    return Page(
        items=[audit_answer(row, principal) for row in rows],
        next_cursor=next_cursor(rows, limit, lambda row: row.id),
    )


@keys_router.post("", status_code=201)
def create_key(
    session: WriteSession, clock: ClockOf, principal: Admin, request: KeyRequest, response: Response
) -> NewKeyAnswer:
    """Make a key. Its text is in this answer and nowhere else: a repeat under the same `Idempotency-Key` is a 409."""
    key, text = security.create_key(
        session, clock, actor=principal.actor, name=request.name, scopes=request.scopes
    )
    response.headers["Cache-Control"] = "no-store"
    return NewKeyAnswer(**key_answer(key).model_dump(), key=text)


@keys_router.get("")
def list_keys(session: ReadSession, _principal: Admin, cursor: Cursor, limit: Limit = 50) -> Page[KeyAnswer]:
    """All keys, without their secrets."""
    rows = access.list_keys(session, after_id=cursor, limit=limit)
    return Page(
        items=[key_answer(row) for row in rows], next_cursor=next_cursor(rows, limit, lambda row: row.id)
    )


@keys_router.get("/self")
def read_own_key(principal: Anybody) -> OwnKeyAnswer:
    """The key that asks, and everything that it may do."""
    return OwnKeyAnswer(prefix=principal.prefix, name=principal.name, scopes=sorted(principal.scopes))


@keys_router.delete("/{prefix}")
def revoke_key(
    session: WriteSession,
    clock: ClockOf,
    principal: Admin,
    prefix: Annotated[CleanText, Path(min_length=1, max_length=16)],
) -> KeyAnswer:
    """Make a key useless from now on."""
    return key_answer(security.revoke_key(session, clock, actor=principal.actor, prefix=prefix))
