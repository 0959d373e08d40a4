"""People who may sign in with an account, and their sessions."""

from typing import Annotated

from fastapi import APIRouter, Path, Response

from api import members
from api import repository as access
from api.access_schemas import SessionAnswer, SessionRequest, TeamMemberAnswer, TeamMemberRequest
from api.dependencies import (
    KNOWN_PARAMETERS,
    MANAGEMENT,
    Admin,
    Anybody,
    CleanText,
    ClockOf,
    Cursor,
    Limit,
    ReadSession,
    WiringOf,
    WriteSession,
    next_cursor,
)
from api.idempotency import IdempotentRoute
from api.requests import StrictRoute
from api.schemas import Page

router = APIRouter(
    prefix="/v1/members", tags=["access"], route_class=IdempotentRoute, dependencies=list(MANAGEMENT)
)
sessions_router = APIRouter(prefix="/v1/sessions", tags=["access"], route_class=StrictRoute)
Email = Annotated[CleanText, Path(min_length=3, max_length=190)]


@router.get("")
def list_members(
    session: ReadSession, _principal: Admin, cursor: Cursor, limit: Limit = 50
) -> Page[TeamMemberAnswer]:
    """Everybody who may sign in with an account, oldest first."""
    rows = access.list_members(session, after_id=cursor, limit=limit)
    return Page(
        items=[TeamMemberAnswer.of(row) for row in rows],
        next_cursor=next_cursor(rows, limit, lambda row: row.id),
    )


@router.get("/{email:path}")
def read_member(session: ReadSession, _principal: Admin, email: Email) -> TeamMemberAnswer:
    """One member."""
    return TeamMemberAnswer.of(members.find_member(session, email=email))


@router.put("/{email:path}")
def put_member(
    session: WriteSession, clock: ClockOf, principal: Admin, email: Email, request: TeamMemberRequest
) -> TeamMemberAnswer:
    """Add somebody or change what they may do, which ends the sessions that they have. Nobody changes themselves."""
    member = members.put_member(
        session,
        clock,
        actor=principal.actor,
        email=email,
        acting=principal.member,
        **request.model_dump(),
    )
    return TeamMemberAnswer.of(member)


@router.delete("/{email:path}", status_code=204)
def remove_member(session: WriteSession, clock: ClockOf, principal: Admin, email: Email) -> None:
    """Take somebody off the list; their sessions end at once. Nobody removes themselves."""
    members.remove_member(session, clock, actor=principal.actor, email=email, acting=principal.member)


@sessions_router.post(
    "",
    status_code=201,
    dependencies=[KNOWN_PARAMETERS],
    responses={
        401: {"description": "The ID token proves nothing"},
        403: {"description": "The e-mail is not verified, or not that of a member"},
        409: {"description": "No issuer is set up here"},
        503: {"description": "The issuer does not tell its keys, or the database does not answer"},
    },
)
def begin_session(request: SessionRequest, wiring: WiringOf, response: Response) -> SessionAnswer:
    """Sign in with the ID token of the issuer that is set up here. The key is in this answer and nowhere else."""
    email = wiring.issuer().email_of(request.id_token)
    lifetime = wiring.settings.session_lifetime
    with wiring.database.transaction() as session:
        member, key, text = members.begin_session(session, wiring.clock, email=email, lifetime=lifetime)
        answer = SessionAnswer(
            key=text, email=member.email, role=member.role, scopes=key.scopes, expires_at=key.expires_at
        )
    response.headers["Cache-Control"] = "no-store"
    return answer


@sessions_router.delete("/self", status_code=204, dependencies=list(MANAGEMENT))
def end_session(session: WriteSession, clock: ClockOf, principal: Anybody) -> None:
    """Sign out: the key that asks is good for nothing any more."""
    members.end_session(session, clock, prefix=principal.prefix)
