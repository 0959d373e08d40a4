"""The tables that facts are read from, and what their columns mean to a report."""

from typing import Any, Final

from sqlalchemy import BigInteger, Column, ColumnElement, Table, type_coerce

from delivery.models import Message
from targeting.models import Assignment, Event, User

ASSIGNMENTS: Final[Table] = Assignment.__table__  # type: ignore[attr-defined]
EVENTS: Final[Table] = Event.__table__  # type: ignore[attr-defined]
MESSAGES: Final[Table] = Message.__table__  # type: ignore[attr-defined]
USERS: Final[Table] = User.__table__  # type: ignore[attr-defined]

# A delivered message was accepted even if the word of that got lost or is still on its way.
STAGES: Final = {
    "accepted": ("accepted_at", "sent_at", "delivered_at", "read_at"),
    "delivered": ("delivered_at", "read_at"),
    "read": ("read_at",),
    "clicked": ("clicked_at",),
}
"""How far a message got -> the columns of which one is set then."""


def micros(column: Column[Any]) -> ColumnElement[int]:
    """A time as the integer of microseconds that is stored."""
    return type_coerce(column, BigInteger)
