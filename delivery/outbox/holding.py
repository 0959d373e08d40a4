"""Several messages are held in the order of their ids by whatever moves them, so that two that meet wait instead of deadlocking."""

from typing import Any, Final

from sqlalchemy import ColumnElement, Select, TextClause, select
from sqlalchemy.sql.elements import UnaryExpression
from sqlalchemy.sql.operators import custom_op
from sqlmodel import SQLModel

from delivery.models import Message

_MESSAGES: Final = SQLModel.metadata.tables[str(Message.__tablename__)]


def without_index(column: ColumnElement[Any]) -> UnaryExpression[Any]:
    """`column`, of which no database looks into an index: where it would choose the wrong one."""
    return UnaryExpression(column, operator=custom_op("+"), type_=column.type)


# Sorted after they were found. By its key SQLite would read the whole table, in order, to find them.
_BY_ID: Final = without_index(_MESSAGES.c.id)


def held_ids(*which: ColumnElement[bool] | TextClause, skip_locked: bool = False) -> Select[tuple[int]]:
    """Ids of the messages that are so, for an UPDATE of them; with `skip_locked` without those that somebody else holds."""
    return select(_MESSAGES.c.id).where(*which).order_by(_BY_ID).with_for_update(skip_locked=skip_locked)
