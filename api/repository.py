"""All SQL of this floor: members, API keys, remembered answers, and the audit log as it is shown."""

import json
from collections.abc import Collection, Sequence
from datetime import datetime

from sqlalchemy import delete, update
from sqlmodel import Session, col, select

from api.models import ApiKey, Member, RememberedAnswer
from experiments.audit import AuditEntry
from experiments.database import bytes_hold


def find_key(session: Session, prefix: str) -> ApiKey | None:
    return session.exec(select(ApiKey).where(ApiKey.prefix == prefix)).first()


def list_keys(session: Session, *, after_id: int, limit: int) -> Sequence[ApiKey]:
    """Keys that were made by hand, oldest first; sessions of members are none."""
    return session.exec(
        select(ApiKey)
        .where(col(ApiKey.id) > after_id, col(ApiKey.member).is_(None))
        .order_by(col(ApiKey.id))
        .limit(limit)
    ).all()


def find_member(session: Session, email: str, *, to_change: bool = False) -> Member | None:
    """To change: nobody else signs in as this member, or changes what they may do, until this transaction ends."""
    query = select(Member).where(Member.email == email)
    return session.exec(query.with_for_update() if to_change else query).first()


def list_members(session: Session, *, after_id: int, limit: int) -> Sequence[Member]:
    """Oldest first."""
    return session.exec(
        select(Member).where(col(Member.id) > after_id).order_by(col(Member.id)).limit(limit)
    ).all()


def end_sessions(session: Session, *, member: str, at: datetime) -> None:
    """Whatever this person is signed in with counts no more."""
    session.execute(
        update(ApiKey)
        .where(col(ApiKey.member) == member, col(ApiKey.revoked_at).is_(None))
        .values(revoked_at=at)
    )


def forget_sessions_before(session: Session, *, moment: datetime) -> None:
    """Sessions that had expired by then."""
    session.execute(delete(ApiKey).where(col(ApiKey.member).is_not(None), col(ApiKey.expires_at) < moment))


def remembered(session: Session, *, api_key_id: int, idempotency_key: str) -> RememberedAnswer | None:
    return session.get(RememberedAnswer, (api_key_id, idempotency_key))


def note_alive(session: Session, *, api_key_id: int, idempotency_key: str, at: datetime) -> None:
    """A write that has not ended is still under way."""
    session.execute(
        update(RememberedAnswer)
        .where(
            col(RememberedAnswer.api_key_id) == api_key_id,
            col(RememberedAnswer.idempotency_key) == idempotency_key,
            col(RememberedAnswer.status).is_(None),
        )
        .values(started_at=at)
    )


def finish_answer(
    session: Session,
    *,
    api_key_id: int,
    idempotency_key: str,
    status: int,
    media_type: str | None,
    body: bytes | None,
) -> None:
    session.execute(
        update(RememberedAnswer)
        .where(
            col(RememberedAnswer.api_key_id) == api_key_id,
            col(RememberedAnswer.idempotency_key) == idempotency_key,
        )
        .values(status=status, media_type=media_type, body=body)
    )


def forget_answer(session: Session, *, api_key_id: int, idempotency_key: str) -> None:
    session.execute(
        delete(RememberedAnswer).where(
            col(RememberedAnswer.api_key_id) == api_key_id,
            col(RememberedAnswer.idempotency_key) == idempotency_key,
        )
    )


def forget_answers_before(session: Session, *, moment: datetime) -> None:
    session.execute(delete(RememberedAnswer).where(col(RememberedAnswer.started_at) < moment))


def forget_answers_about(session: Session, names: Collection[str]) -> None:
    """Take away the text of every remembered answer that holds one of `names`; the write itself stays known."""
    for name in sorted(names):
        # As it stands in the JSON of an answer.
        written = json.dumps(name, ensure_ascii=False)[1:-1].encode()
        session.execute(
            update(RememberedAnswer)
            .where(bytes_hold(session, col(RememberedAnswer.body), written))
            .values(body=None)
        )


def list_audit(
    session: Session,
    *,
    before_id: int | None,
    limit: int,
    subject_kind: str | None,
    subject_key: str | None,
    actor: str | None = None,
) -> Sequence[AuditEntry]:
    """The newest entries first."""
    query = select(AuditEntry).order_by(col(AuditEntry.id).desc()).limit(limit)
    if before_id is not None:
        query = query.where(col(AuditEntry.id) < before_id)
    if subject_kind is not None:
        query = query.where(AuditEntry.subject_kind == subject_kind)
    if subject_key is not None:
        query = query.where(AuditEntry.subject_key == subject_key)
    if actor is not None:
        query = query.where(AuditEntry.actor == actor)
    return session.exec(query).all()
