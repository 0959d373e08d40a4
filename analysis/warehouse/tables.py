"""What a copy of the application's tables holds: what facts need, and nothing by which a person could be named."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from sqlalchemy import JSON, BigInteger, Boolean, Column, Float, Integer, Table
from sqlmodel import SQLModel

from delivery.models import Message
from experiments.database import UtcDateTime
from experiments.errors import Unavailable
from targeting.models import Assignment, Event, User

SETTING: Final = "TOUCHSTONE_FACTS_URL"
MARK: Final = "'"
"""Before a text in an exported CSV that a spreadsheet would run, or that begins with this very mark."""


class Kind(StrEnum):
    """What a column holds, whatever an engine calls it."""

    INTEGER = "an integer"
    MOMENT = "an integer of microseconds since 1970 (UTC)"
    NUMBER = "a number"
    FLAG = "true or false"
    TEXT = "text"
    DOCUMENT = "a JSON document, as text"


@dataclass(frozen=True, slots=True)
class Copied:
    """How far a copy reaches. until: it knows all that happened before; None when it is empty. since: its first events."""

    until: datetime | None
    since: datetime | None = None


def kind_of(column: Column[object]) -> Kind:
    """What a column of ours holds."""
    if isinstance(column.type, UtcDateTime):
        return Kind.MOMENT
    for types, kind in (
        (Boolean, Kind.FLAG),
        (JSON, Kind.DOCUMENT),
        (Float, Kind.NUMBER),
        ((BigInteger, Integer), Kind.INTEGER),
    ):
        if isinstance(column.type, types):
            return kind
    return Kind.TEXT


def _columns(model: type[SQLModel], *names: str) -> dict[str, Kind]:
    table: Table = model.__table__  # type: ignore[attr-defined]
    return {name: kind_of(table.c[name]) for name in names}


COLUMNS: Final[Mapping[str, Mapping[str, Kind]]] = {
    "users": _columns(User, "id", "time_zone", "locale", "created_at"),
    "assignments": _columns(
        Assignment,
        *("id", "experiment_id", "user_pk", "variant", "epoch", "propensity", "forced", "source", "assigned_at"),
    ),
    "events": _columns(Event, "id", "user_pk", "name", "at", "received_at", "properties"),
    "messages": _columns(
        Message,
        *("id", "experiment_id", "user_pk", "variant", "step", "category", "state", "reason", "error_code"),
        *("language", "tries", "first_due_at", "due_at", "slot_at"),
        *("accepted_at", "sent_at", "delivered_at", "read_at", "failed_at", "first_failed_at", "clicked_at"),
    ),
}  # fmt: skip
"""The tables of a copy. No phone numbers, external ids, attributes, texts or parameters of messages."""

OPTIONAL: Final[Mapping[str, frozenset[str]]] = {
    "users": frozenset({"time_zone", "locale"}),
    "assignments": frozenset({"id", "propensity", "source"}),
    "events": frozenset({"received_at"}),
    "messages": frozenset(
        {
            *("id", "step", "category", "error_code", "language", "tries"),
            *("first_due_at", "due_at", "slot_at", "failed_at", "first_failed_at"),
        }
    ),
}  # fmt: skip
"""Columns that a copy made by somebody else may lack, because no fact is made of them."""

DISPENSABLE: Final = frozenset({"users"})
"""Tables that a copy may lack."""


@dataclass(frozen=True, slots=True)
class Found:
    """A column as an engine describes it. type: in the engine's words; kinds: what it could hold."""

    name: str
    type: str
    kinds: frozenset[Kind]


def check_table(table: str, place: str, found: Sequence[Found]) -> None:
    """Raise Unavailable, naming the column, unless the table has what facts need. place: how to call it."""
    by_name = {column.name: column for column in found}
    for name, kind in COLUMNS[table].items():
        column = by_name.get(name)
        if column is None:
            if name in OPTIONAL[table]:
                continue
            raise wrong(f"{place} has no column {name!r}")
        if kind not in column.kinds:
            raise wrong(f"column {name!r} of {place} is {column.type}, and must be {kind}")


def wrong(words: str) -> Unavailable:
    """What is wrong with a copy, as the one line that its reader sees."""
    return Unavailable(f"the facts of {SETTING} cannot be read: {' '.join(words.split())}")
