"""Rules: what is done when something happens."""

from typing import Annotated, Any

from fastapi import APIRouter, Body, Path, Query

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
from api.idempotency import IdempotentRoute
from api.openapi import RULE_BODY
from api.rule_schemas import DryRunAnswer, FiringAnswer, PutRuleAnswer, RuleAnswer, RuleVersionAnswer
from api.schemas import Page
from experiments.metrics import KEY_PATTERN
from targeting.rules import service as rules
from targeting.rules.dry_run import MAX_DAYS, MAX_LISTED

router = APIRouter(
    prefix="/v1/rules", tags=["rules"], route_class=IdempotentRoute, dependencies=list(MANAGEMENT)
)
Key = Annotated[str, Path(pattern=KEY_PATTERN)]
Document = Annotated[
    dict[str, Any], Body(description="A rule: the document that `touchstone rules put` reads")
]
Search = Annotated[CleanText, Query(max_length=100, description="Text in the key or the name")]
Days = Annotated[int, Query(ge=1, le=MAX_DAYS, description="How far to look back")]
Listed = Annotated[int, Query(ge=0, le=MAX_LISTED, description="Firings to list")]


@router.get("")
def list_rules(
    session: ReadSession, _principal: Reader, cursor: Cursor, limit: Limit = 50, search: Search = ""
) -> Page[RuleAnswer]:
    """All rules, oldest first, or those whose key or name holds a text."""
    rows = rules.list_rules(session, after_id=cursor, limit=limit, search=search)
    return Page(
        items=RuleAnswer.read(rows, rules.fired(session, rules=rows)),
        next_cursor=next_cursor(rows, limit, lambda row: row.id),
    )


@router.post("/dry-run", openapi_extra={"requestBody": RULE_BODY})
def dry_run_document(
    session: ReadSession,
    clock: ClockOf,
    _principal: Reader,
    document: Document,
    days: Days = 30,
    limit: Listed = 100,
) -> DryRunAnswer:
    """Who a rule would have fired for in the last days, and why not for the others. Nothing is stored or done."""
    found = rules.dry_run(session, clock, document=document, days=days, limit=limit)
    return DryRunAnswer.model_validate(found)


@router.get("/{key}")
def read(session: ReadSession, _principal: Reader, key: Key) -> RuleAnswer:
    """One rule."""
    found = [rules.find(session, key=key)]
    return RuleAnswer.read(found, rules.fired(session, rules=found))[0]


@router.put("/{key}", openapi_extra={"requestBody": RULE_BODY})
def put(
    session: WriteSession, clock: ClockOf, principal: Writer, key: Key, document: Document
) -> PutRuleAnswer:
    """Add a rule, which is off until it is enabled, or give it a new version."""
    return PutRuleAnswer.of(rules.put(session, clock, actor=principal.actor, document=document, key=key))


@router.delete("/{key}", status_code=204)
def delete(session: WriteSession, clock: ClockOf, principal: Writer, key: Key) -> None:
    """Forget a rule that has never fired; any other can only be disabled."""
    rules.delete(session, clock, actor=principal.actor, key=key)


@router.post("/{key}/enable")
def enable(session: WriteSession, clock: ClockOf, principal: Writer, key: Key) -> RuleAnswer:
    """Let a rule fire from now on; clears the error of a parked one."""
    return RuleAnswer.of(rules.enable(session, clock, actor=principal.actor, key=key))


@router.post("/{key}/disable")
def disable(session: WriteSession, clock: ClockOf, principal: Writer, key: Key) -> RuleAnswer:
    """Let a rule fire no more."""
    return RuleAnswer.of(rules.disable(session, clock, actor=principal.actor, key=key))


@router.post("/{key}/dry-run")
def dry_run(
    session: ReadSession, clock: ClockOf, _principal: Reader, key: Key, days: Days = 30, limit: Listed = 100
) -> DryRunAnswer:
    """The same for a rule as it is stored."""
    return DryRunAnswer.model_validate(rules.dry_run(session, clock, key=key, days=days, limit=limit))


@router.get("/{key}/versions")
def versions(
    session: ReadSession, _principal: Reader, key: Key, cursor: Cursor, limit: Limit = 50
) -> Page[RuleVersionAnswer]:
    """What a rule has said, oldest first, and who made it say so."""
    rows = rules.versions(session, key=key, after=cursor, limit=limit)
    return Page(
        items=[RuleVersionAnswer.of(row) for row in rows],
        next_cursor=next_cursor(rows, limit, lambda row: row.version),
    )


@router.get("/{key}/firings")
def firings(
    session: ReadSession, _principal: Reader, key: Key, cursor: Cursor, limit: Limit = 50
) -> Page[FiringAnswer]:
    """Whom a rule fired for, when, and what came of it; newest first."""
    rows = rules.firings(session, key=key, before_id=cursor or None, limit=limit)
    return Page(
        items=[FiringAnswer.of(row) for row in rows],
        next_cursor=next_cursor(rows, limit, lambda row: row[0].id),
    )
