"""SQL of the inbox of webhooks: kept, looked at, done."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

from sqlalchemy import bindparam, func, insert, literal, select, text, update
from sqlmodel import Session, SQLModel, col

from delivery.models import WebhookBody

_BODIES: Final = SQLModel.metadata.tables[str(WebhookBody.__tablename__)]
# Written out, because a database uses a partial index only when it sees the same condition, not a parameter.
_OPEN: Final = text("webhook_bodies.projected_at IS NULL")
_WAITING: Final = text("webhook_bodies.projected_at IS NULL AND webhook_bodies.unmatched IS NULL")
_LEFT_OVER: Final = text("webhook_bodies.projected_at IS NULL AND webhook_bodies.unmatched IS NOT NULL")
MAX_ERROR: Final = 1000
MAX_OTHER: Final = 200


class Stored(NamedTuple):
    """A webhook that waits; `unmatched` are the statuses left over from an earlier look, at `look_again_at` it is their turn."""

    id: int
    body: bytes
    received_at: datetime
    unmatched: list[Any] | None
    look_again_at: datetime | None


class Looked(NamedTuple):
    """What became of a stored webhook: done (`projected_at`), with an error or not, or some statuses wait for their message."""

    id: int
    projected_at: datetime | None
    error: str | None
    unmatched: list[Any] | None
    look_again_at: datetime | None = None


def add_body(session: Session, *, body: bytes, at: datetime) -> int:
    """Keep a webhook as it came; returns its id."""
    statement = insert(_BODIES).values(body=body, received_at=at).returning(_BODIES.c.id)
    return int(session.connection().execute(statement).scalar_one())


def add_bodies(session: Session, bodies: Sequence[bytes], *, at: datetime) -> None:
    """Keep webhooks as they came, in their order."""
    session.connection().execute(insert(_BODIES), [{"body": body, "received_at": at} for body in bodies])


def new_bodies(session: Session, *, limit: int) -> list[Stored]:
    """The oldest webhooks that nobody has looked at."""
    query = select(*(_BODIES.c[name] for name in Stored._fields)).where(_WAITING)
    rows = session.connection().execute(query.order_by(_BODIES.c.id).limit(limit))
    return [Stored(*row) for row in rows]


def left_over_bodies(session: Session, *, limit: int, due: datetime) -> list[Stored]:
    """Webhooks with statuses whose message was not known, whose turn it is; without the bodies, which nobody needs again."""
    columns = [literal(b"") if name == "body" else _BODIES.c[name] for name in Stored._fields]
    query = select(*columns).where(_LEFT_OVER, _BODIES.c.look_again_at <= due)
    rows = session.connection().execute(query.order_by(_BODIES.c.look_again_at).limit(limit))
    return [Stored(*row) for row in rows]


def hold(session: Session, bodies: Sequence[Stored]) -> set[int]:
    """Those of these webhooks that nobody has looked at since they were read, held: a second worker waits for their order."""
    query = (
        select(_BODIES.c.id, _BODIES.c.look_again_at)
        .where(_OPEN, _BODIES.c.id.in_([body.id for body in bodies]))
        .order_by(_BODIES.c.id)
        .with_for_update()
    )
    # Every look that does not end it moves the next one on.
    seen = {body.id: body.look_again_at for body in bodies}
    return {pk for pk, look_again_at in session.connection().execute(query) if seen[pk] == look_again_at}


def finish(session: Session, ids: Collection[int], *, at: datetime) -> None:
    """Everything in these webhooks has been made sense of."""
    if ids:
        session.connection().execute(
            update(_BODIES).where(_BODIES.c.id.in_(ids)).values(projected_at=at, unmatched=None)
        )


def name_others(session: Session, kinds: Mapping[int, str]) -> None:
    """Write which kinds in these webhooks nothing was made of."""
    if kinds:
        session.connection().execute(
            update(_BODIES).where(_BODIES.c.id == bindparam("body_id")).values(other=bindparam("new_other")),
            [{"body_id": pk, "new_other": named[:MAX_OTHER]} for pk, named in kinds.items()],
        )


def note(session: Session, looked: Sequence[Looked]) -> None:
    """Write what became of webhooks that need more than `finish`."""
    statement = (
        update(_BODIES)
        .where(_BODIES.c.id == bindparam("body_id"))
        .values({name: bindparam(f"new_{name}") for name in Looked._fields[1:]})
    )
    rows = [
        {
            "body_id": item.id,
            "new_projected_at": item.projected_at,
            "new_error": item.error and item.error[:MAX_ERROR],
            "new_unmatched": item.unmatched,
            "new_look_again_at": item.look_again_at,
        }
        for item in looked
    ]
    if rows:
        session.connection().execute(statement, rows)


def put_off(session: Session, turns: Mapping[int, datetime]) -> None:
    """Nothing new about these webhooks: when it is their turn again."""
    if turns:
        session.connection().execute(
            update(_BODIES)
            .where(_BODIES.c.id == bindparam("body_id"))
            .values(look_again_at=bindparam("new_look_again_at")),
            [{"body_id": pk, "new_look_again_at": at} for pk, at in turns.items()],
        )


_CONDITIONS: Final = {
    "waiting": _WAITING,
    "error": text("webhook_bodies.error IS NOT NULL"),
    "unmatched": text("webhook_bodies.unmatched IS NOT NULL"),
    "other": text("webhook_bodies.other IS NOT NULL"),
}


def count(session: Session, state: str) -> int:
    """How many webhooks are in this state."""
    query = select(func.count()).select_from(_BODIES).where(_CONDITIONS[state])
    return int(session.connection().execute(query).scalar_one())


def count_others(session: Session) -> dict[str, int]:
    """How many webhooks hold each combination of kinds that nothing was made of."""
    query = select(_BODIES.c.other, func.count()).where(_CONDITIONS["other"]).group_by(_BODIES.c.other)
    return dict(session.connection().execute(query).all())


def page(session: Session, state: str, *, after_id: int, limit: int) -> list[WebhookBody]:
    """Up to `limit` webhooks in this state (or `all`) behind `after_id`, oldest first."""
    query = select(WebhookBody).where(col(WebhookBody.id) > after_id)
    if state in _CONDITIONS:
        query = query.where(_CONDITIONS[state])
    return list(session.scalars(query.order_by(col(WebhookBody.id)).limit(limit)))


def reopen(session: Session, body_id: int) -> Stored:
    """Let a webhook be as if nobody had looked at it yet, held."""
    statement = (
        update(_BODIES)
        .where(_BODIES.c.id == body_id)
        .values(projected_at=None, error=None, unmatched=None, look_again_at=None, other=None)
        .returning(*(_BODIES.c[name] for name in Stored._fields))
    )
    return Stored(*session.connection().execute(statement).one())
