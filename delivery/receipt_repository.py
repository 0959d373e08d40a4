"""SQL of receipts: the inbox of webhooks, whose they are, and when people last wrote."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

from sqlalchemy import bindparam, case, func, insert, or_, select, text, update
from sqlmodel import Session, SQLModel

from delivery.models import WebhookBody
from targeting.models import Consent, User, UserAlias

_BODIES: Final = SQLModel.metadata.tables[str(WebhookBody.__tablename__)]
_USERS: Final = SQLModel.metadata.tables[str(User.__tablename__)]
_ALIASES: Final = SQLModel.metadata.tables[str(UserAlias.__tablename__)]
_CONSENTS: Final = SQLModel.metadata.tables[str(Consent.__tablename__)]
# Written out, because a database uses a partial index only when it sees the same condition, not a parameter.
_WAITING: Final = text("webhook_bodies.projected_at IS NULL")
MAX_ERROR: Final = 1000


class Stored(NamedTuple):
    """A webhook that waits; `unmatched` are the statuses left over from an earlier look."""

    id: int
    body: bytes
    received_at: datetime
    unmatched: list[Any] | None


class Looked(NamedTuple):
    """What became of a stored webhook: done (`projected_at`), with an error or not, or some statuses wait for their message."""

    id: int
    projected_at: datetime | None
    error: str | None
    unmatched: list[Any] | None


def add_body(session: Session, *, body: bytes, at: datetime) -> int:
    """Keep a webhook as it came; returns its id."""
    statement = insert(_BODIES).values(body=body, received_at=at).returning(_BODIES.c.id)
    return int(session.connection().execute(statement).scalar_one())


def new_bodies(session: Session, *, limit: int, after_id: int = 0) -> list[Stored]:
    """The oldest webhooks that nobody has looked at, held: a second worker waits, so that their order is kept."""
    return _bodies(session, _BODIES.c.unmatched.is_(None), limit, after_id)


def unmatched_bodies(session: Session, *, limit: int, after_id: int = 0) -> list[Stored]:
    """The oldest webhooks with statuses whose message was not known when they came, held."""
    return _bodies(session, _BODIES.c.unmatched.is_not(None), limit, after_id)


def _bodies(session: Session, which: Any, limit: int, after_id: int) -> list[Stored]:
    query = (
        select(*(_BODIES.c[name] for name in Stored._fields))
        .where(_WAITING, which, _BODIES.c.id > after_id)
        .order_by(_BODIES.c.id)
        .limit(limit)
        .with_for_update()
    )
    return [Stored(*row) for row in session.connection().execute(query)]


def finish(session: Session, ids: Collection[int], *, at: datetime) -> None:
    """Everything in these webhooks has been made sense of."""
    if ids:
        session.connection().execute(
            update(_BODIES).where(_BODIES.c.id.in_(ids)).values(projected_at=at, unmatched=None)
        )


def note(session: Session, looked: Sequence[Looked]) -> None:
    """Write what became of webhooks that need more than `finish`."""
    statement = (
        update(_BODIES)
        .where(_BODIES.c.id == bindparam("body_id"))
        .values({name: bindparam(f"new_{name}") for name in ("projected_at", "error", "unmatched")})
    )
    rows = [
        {
            "body_id": item.id,
            "new_projected_at": item.projected_at,
            "new_error": item.error and item.error[:MAX_ERROR],
            "new_unmatched": item.unmatched,
        }
        for item in looked
    ]
    if rows:
        session.connection().execute(statement, rows)


def users_of(
    session: Session, *, wa_ids: Collection[str], scoped_ids: Collection[str]
) -> dict[tuple[str, str], int]:
    """Users by (`wa_id`, value) and (`business_scoped_id`, value); a phone number outweighs an alias."""
    found: dict[tuple[str, str], int] = {}
    if wa_ids or scoped_ids:
        query = select(_ALIASES.c.kind, _ALIASES.c.value, _ALIASES.c.user_pk).where(
            or_(
                (_ALIASES.c.kind == "wa_id") & _ALIASES.c.value.in_(wa_ids),
                (_ALIASES.c.kind == "business_scoped_id") & _ALIASES.c.value.in_(scoped_ids),
            )
        )
        found |= {(kind, value): pk for kind, value, pk in session.connection().execute(query)}
    if wa_ids:
        phones = {"+" + wa_id: wa_id for wa_id in wa_ids}
        by_phone = select(_USERS.c.phone, _USERS.c.id).where(_USERS.c.phone.in_(phones))
        found |= {("wa_id", phones[phone]): pk for phone, pk in session.connection().execute(by_phone)}
    return found


def move_last_inbound(session: Session, heard: Mapping[int, datetime]) -> None:
    """Move `last_inbound_at` and `last_seen_at` forward, never back."""
    if not heard:
        return
    columns = ("last_inbound_at", "last_seen_at")
    at = bindparam("heard", type_=_USERS.c.last_inbound_at.type)
    statement = (
        update(_USERS)
        .where(_USERS.c.id == bindparam("user_pk"))
        .values(
            {
                name: case((func.coalesce(_USERS.c[name] >= at, False), _USERS.c[name]), else_=at)
                for name in columns
            }
        )
    )
    rows = [{"user_pk": pk, "heard": heard[pk]} for pk in sorted(heard)]
    session.connection().execute(statement, rows)


def consent_changed_at(session: Session, user_pks: Collection[int], *, category: str) -> dict[int, datetime]:
    """When each user's consent to this category was last changed."""
    if not user_pks:
        return {}
    query = select(_CONSENTS.c.user_pk, _CONSENTS.c.changed_at).where(
        _CONSENTS.c.user_pk.in_(user_pks), _CONSENTS.c.category == category
    )
    return dict(session.connection().execute(query).all())
