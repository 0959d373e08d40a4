"""SQL behind the fuses of variants and numbers: streaks, and what a variant's messages say against it."""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Final

from sqlalchemy import delete, select, update
from sqlmodel import Session, SQLModel

from delivery.models import Breaker, Message, NumberState
from experiments.clock import EPOCH
from experiments.vocabulary import MessageState
from targeting.user_repository import insert_into

_MESSAGES: Final = SQLModel.metadata.tables[str(Message.__tablename__)]
_BREAKERS: Final = SQLModel.metadata.tables[str(Breaker.__tablename__)]
_NUMBERS: Final = SQLModel.metadata.tables[str(NumberState.__tablename__)]
_RECEIVED: Final = (MessageState.SENT, MessageState.DELIVERED, MessageState.READ)
_VARIANT: Final = "variant"


def displays(session: Session) -> dict[str, str | None]:
    """The digits of each number of ours (by its id), where they are known, as `+31..`."""
    query = select(_NUMBERS.c.number, _NUMBERS.c.display).where(
        ~_NUMBERS.c.number.startswith("+"), _NUMBERS.c.number != "account"
    )
    return dict(session.connection().execute(query).all())


def streaks(session: Session) -> dict[str, tuple[int, int | None]]:
    """How many equal errors, of which code, each variant (by its breaker's key) has had without a success; held."""
    query = (
        select(_BREAKERS.c.key, _BREAKERS.c.streak, _BREAKERS.c.streak_code)
        .where(_BREAKERS.c.kind == _VARIANT, _BREAKERS.c.streak > 0)
        .order_by(_BREAKERS.c.key)
        .with_for_update()
    )
    return {key: (streak, code) for key, streak, code in session.connection().execute(query)}


def put_streaks(session: Session, streaks: Mapping[str, tuple[int, int | None]]) -> None:
    """Store streaks; a variant that never had a fuse gets one that was never open."""
    if not streaks:
        return
    statement = insert_into(session, _BREAKERS)
    rows = [
        {
            "kind": _VARIANT,
            "key": key,
            "opened_at": EPOCH,
            "until": EPOCH,
            "reason": "",
            "streak": streak,
            "streak_code": code,
        }
        for key, (streak, code) in sorted(streaks.items())
    ]
    changes = {name: statement.excluded[name] for name in ("streak", "streak_code")}
    session.connection().execute(
        statement.on_conflict_do_update(index_elements=["kind", "key"], set_=changes), rows
    )


def end_streaks(session: Session, keys: Collection[str]) -> None:
    """These variants had a success."""
    if keys:
        session.connection().execute(
            update(_BREAKERS)
            .where(_BREAKERS.c.kind == _VARIANT, _BREAKERS.c.key.in_(keys))
            .values(streak=0, streak_code=None)
        )


def open_fuses(session: Session, *, reason_begins: str) -> dict[str, int | None]:
    """Keys and codes of the variants' fuses that wait for a hand, and were opened for a reason that begins so."""
    query = select(_BREAKERS.c.key, _BREAKERS.c.error_code).where(
        _BREAKERS.c.kind == _VARIANT,
        _BREAKERS.c.until.is_(None),
        _BREAKERS.c.reason.startswith(reason_begins, autoescape=True),
    )
    return dict(session.connection().execute(query).all())


def newest_failures(
    session: Session, *, experiment_id: int, variant: str, code: int | None, limit: int
) -> list[datetime]:
    """When the newest messages of a variant that WhatsApp had taken failed with this code, newest first."""
    query = (
        select(_MESSAGES.c.failed_at)
        .where(
            _MESSAGES.c.experiment_id == experiment_id,
            _MESSAGES.c.state == MessageState.FAILED,
            _MESSAGES.c.variant == variant,
            _MESSAGES.c.error_code == code,
            _MESSAGES.c.accepted_at.is_not(None),
            _MESSAGES.c.failed_at.is_not(None),
        )
        .order_by(_MESSAGES.c.failed_at.desc())
        .limit(limit)
    )
    return list(session.connection().execute(query).scalars())


def was_sent_since(session: Session, *, experiment_id: int, variant: str, since: datetime) -> bool:
    """Whether any message of the variant went well at `since` or later."""
    query = (
        select(_MESSAGES.c.id)
        .where(
            _MESSAGES.c.experiment_id == experiment_id,
            _MESSAGES.c.state.in_(_RECEIVED),
            _MESSAGES.c.variant == variant,
            _MESSAGES.c.failed_at.is_(None),
            _MESSAGES.c.sent_at >= since,
        )
        .limit(1)
    )
    return session.connection().execute(query).first() is not None


def forget(session: Session, kind: str, key: str) -> None:
    """Take a breaker away, as if it had never been open."""
    session.connection().execute(delete(_BREAKERS).where(_BREAKERS.c.kind == kind, _BREAKERS.c.key == key))
