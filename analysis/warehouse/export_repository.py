"""SQL of an export: each table page by page, in the order of its keys."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import BigInteger, ColumnElement, Table, Text, cast, func, select, type_coerce
from sqlmodel import Session

from analysis.warehouse.tables import COLUMNS, Kind
from delivery.models import Message
from targeting.models import Assignment, Event, User

_MODELS: Final[tuple[Any, ...]] = (User, Assignment, Event, Message)
_TABLES: Final[dict[str, Table]] = {model.__tablename__: model.__table__ for model in _MODELS}


def last_key(session: Session, table: str) -> int:
    """The highest key of a table; 0 when it is empty."""
    found = session.connection().execute(select(func.max(_TABLES[table].c.id))).scalar()
    return int(found or 0)


def pages(
    session: Session, table: str, *, size: int, since: datetime | None = None
) -> Iterator[tuple[int, Sequence[Sequence[Any]]]]:
    """Rows of a table with the columns of a copy, at most `size` at a time, each page with its last key.

    since: leaves out events that happened before. Moments are integers and documents are text, as they are stored.
    """
    source = _TABLES[table]
    columns = [_as_stored(source.c[name], kind) for name, kind in COLUMNS[table].items()]
    last = 0
    while True:
        query = select(source.c.id, *(c.label(f"c{i}") for i, c in enumerate(columns))).where(
            source.c.id > last
        )
        if since is not None and table == "events":
            query = query.where(source.c.at >= since)
        rows = session.connection().execute(query.order_by(source.c.id).limit(size)).all()
        if not rows:
            return
        last = rows[-1][0]
        yield last, [row[1:] for row in rows]


def _as_stored(column: ColumnElement[Any], kind: Kind) -> ColumnElement[Any]:
    if kind == Kind.MOMENT:
        return type_coerce(column, BigInteger)
    if kind == Kind.DOCUMENT:
        return cast(column, Text)
    return column
