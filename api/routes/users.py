"""Users, their consent, and what belongs to them: a copy of everything, and being forgotten."""

from typing import Annotated, Any

from fastapi import APIRouter, BackgroundTasks, Path, Query

from api import privacy
from api.dependencies import (
    MANAGEMENT,
    Admin,
    CleanText,
    ClockOf,
    Cursor,
    Limit,
    Reader,
    ReadSession,
    SettingsOf,
    WiringOf,
    Writer,
    WriteSession,
    next_cursor,
)
from api.idempotency import IdempotentRoute
from api.masking import without_numbers
from api.presenting import consent_record_answer, event_answer, user_answer
from api.requests import StrictRoute
from api.schemas import (
    ConsentRecordAnswer,
    ConsentRequest,
    ErasedAnswer,
    EventAnswer,
    Page,
    PhoneRequest,
    ReadmitRequest,
    UserAnswer,
    UserRequest,
)
from api.why_schemas import WhyAnswer
from delivery.watch.why import why
from targeting import consent, events, users
from targeting.privacy import readmit as readmit_user

router = APIRouter(
    prefix="/v1/users", tags=["users"], route_class=IdempotentRoute, dependencies=list(MANAGEMENT)
)
lookup_router = APIRouter(
    prefix="/v1/users", tags=["users"], route_class=StrictRoute, dependencies=list(MANAGEMENT)
)
"""Looking somebody up by number writes nothing, and its answer is not kept under any key."""
Prefix = Annotated[CleanText, Query(max_length=200, description="How the user id begins")]
UserId = Annotated[CleanText, Path(min_length=1, max_length=200)]


@router.get("")
def list_users(
    session: ReadSession, principal: Reader, cursor: Cursor, limit: Limit = 50, q: Prefix = ""
) -> Page[UserAnswer]:
    """All users, oldest first; with `q` those whose user id begins with it, in the order of user ids."""
    if q:
        rows = users.search(session, prefix=q, after_id=cursor, limit=limit)
    else:
        rows = users.list_users(session, after_id=cursor, limit=limit)
    consents = consent.consents_of_many(session, user_pks=[row.id for row in rows if row.id is not None])
    return Page(
        items=[user_answer(row, consents.get(row.id or 0, []), principal) for row in rows],
        next_cursor=next_cursor(rows, limit, lambda row: row.id),
    )


@router.post("")
def upsert(
    session: WriteSession, clock: ClockOf, settings: SettingsOf, principal: Writer, request: UserRequest
) -> UserAnswer:
    """Add a user, or merge what is given into the one that exists."""
    user = users.upsert(
        session,
        clock,
        actor=principal.actor,
        default_region=settings.default_region,
        erasure_secret=settings.erasure_secret.get_secret_value(),
        **request.model_dump(),
    )
    return user_answer(user, consent.consents_of(session, user_pk=user.id or 0), principal)


@lookup_router.post("/find", responses={404: {"description": "Nobody has this number"}})
def find_by_phone(
    session: ReadSession, settings: SettingsOf, principal: Writer, request: PhoneRequest
) -> UserAnswer:
    """The user with a phone number. In a body, because addresses are written into logs."""
    user = users.find_by_phone(session, phone=request.phone, default_region=settings.default_region)
    return user_answer(user, consent.consents_of(session, user_pk=user.id or 0), principal)


@router.post("/{user_id:path}/consent")
def set_consent(
    session: WriteSession, clock: ClockOf, principal: Writer, user_id: UserId, request: ConsentRequest
) -> UserAnswer:
    """Record that the user agreed, or withdraw it at once."""
    user = consent.record(session, clock, actor=principal.actor, user_id=user_id, **request.model_dump())
    return user_answer(user, consent.consents_of(session, user_pk=user.id or 0), principal)


@router.get("/{user_id:path}/consents")
def list_consents(
    session: ReadSession, principal: Reader, user_id: UserId, cursor: Cursor, limit: Limit = 50
) -> Page[ConsentRecordAnswer]:
    """Every grant and withdrawal of one user, the newest first, with its proof."""
    rows = consent.ledger(session, user_id=user_id, before_id=cursor or None, limit=limit)
    return Page(
        items=[consent_record_answer(row, principal) for row in rows],
        next_cursor=next_cursor(rows, limit, lambda row: row.id),
    )


@router.get("/{user_id:path}/events")
def list_events(
    session: ReadSession, principal: Reader, user_id: UserId, cursor: Cursor, limit: Limit = 50
) -> Page[EventAnswer]:
    """What one user did, the latest first."""
    rows = events.list_of_user(session, user_id=user_id, before_id=cursor or None, limit=limit)
    return Page(
        items=[event_answer(row, principal) for row in rows],
        next_cursor=next_cursor(rows, limit, lambda row: row.id),
    )


@router.get("/{user_id:path}/why")
def explain(
    session: ReadSession,
    clock: ClockOf,
    settings: SettingsOf,
    _principal: Reader,
    user_id: UserId,
    experiment: Annotated[
        CleanText | None, Query(max_length=64, description="Key of one experiment; all when absent")
    ] = None,
) -> WhyAnswer:
    """Why the user was sent something, why not, and when next: in words, and field by field. No phone numbers, wherever they stand."""
    found = why(session, clock, user_id=user_id, experiment=experiment, settings=settings)
    said = found.to_json()
    return WhyAnswer.model_validate({**said, "experiments": without_numbers(said["experiments"])})


@router.get("/{user_id:path}/export")
def export(session: ReadSession, _principal: Admin, user_id: UserId) -> dict[str, Any]:
    """Everything known of one user, for the person who asks: profile, consent and its proofs, events, messages, changes."""
    return privacy.export(session, user_id=user_id)


@router.post("/{user_id:path}/readmit")
def readmit(
    session: WriteSession,
    clock: ClockOf,
    settings: SettingsOf,
    principal: Admin,
    user_id: UserId,
    request: ReadmitRequest,
) -> ErasedAnswer:
    """Let somebody who was erased come back, because they asked to. They start as a new user."""
    readmit_user(
        session,
        clock,
        actor=principal.actor,
        user_id=user_id,
        phone=request.phone,
        secret=settings.erasure_secret.get_secret_value(),
        default_region=settings.default_region,
    )
    return ErasedAnswer(erased_as=None)


# Last, for an id may hold slashes: what comes after one is then not taken for a part of it.
@router.get("/{user_id:path}")
def read(session: ReadSession, principal: Reader, user_id: UserId) -> UserAnswer:
    """One user. Phone numbers are shown to keys that may write."""
    user = users.find(session, user_id=user_id)
    return user_answer(user, consent.consents_of(session, user_pk=user.id or 0), principal)


@router.delete("/{user_id:path}")
def erase(
    session: WriteSession,
    clock: ClockOf,
    wiring: WiringOf,
    principal: Admin,
    user_id: UserId,
    afterwards: BackgroundTasks,
) -> ErasedAnswer:
    """Forget one user for good. Results of experiments stay as they are; the person cannot come back by import."""
    erased = privacy.erase(session, clock, settings=wiring.settings, actor=principal.actor, user_id=user_id)
    afterwards.add_task(wiring.database.truncate_log)
    return ErasedAnswer(erased_as=erased.pseudonym)
