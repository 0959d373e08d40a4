"""SQL of links and clicks."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import insert, select, update
from sqlmodel import Session, col

from delivery.models import Click, Link, Message


def link_tokens(session: Session, *, message_pks: Sequence[int]) -> dict[int, str]:
    """The tokens that these messages have already, by message id."""
    query = select(col(Link.message_pk), col(Link.token)).where(col(Link.message_pk).in_(message_pks))
    return dict(session.connection().execute(query).all())


def add_links(session: Session, *, rows: Sequence[Mapping[str, Any]]) -> None:
    if rows:
        session.connection().execute(insert(Link), rows)


def find_link(session: Session, token: str) -> Link | None:
    return session.get(Link, token)


def record_click(session: Session, *, link: Link, at: datetime) -> None:
    """Add a click; the first one of a message dates it."""
    connection = session.connection()
    connection.execute(insert(Click).values(token=link.token, at=at))
    connection.execute(
        update(Message)
        .where(col(Message.id) == link.message_pk, col(Message.clicked_at).is_(None))
        .values(clicked_at=at)
    )
