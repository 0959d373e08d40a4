"""A form of a condition while somebody fills it in: rows that come and go, and what they were made of."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from dashboard.condition_rows import Group, Row, Rows, document_of, is_complete, rows_of


@dataclass(slots=True)
class Item:
    """A row under a name of its own, or a group of rows: widgets keep their place when others come and go."""

    id: int
    row: Row | None = None
    rows: "list[Item]" = field(default_factory=list)


@dataclass(slots=True)
class Form:
    """What one builder holds between two runs. `document` is the last condition that was complete.

    `loaded` is what the rows were made of, and `seed` what they say as long as nobody has changed them. `born` tells this
    form from others that had its name.
    """

    start: Mapping[str, Any] | None
    document: Mapping[str, Any]
    loaded: Mapping[str, Any] = field(default_factory=dict)
    seed: Mapping[str, Any] = field(default_factory=dict)
    any_of: bool = False
    items: list[Item] = field(default_factory=list)
    next_id: int = 0
    born: int = 0
    generation: int = 0

    def load(self, document: Mapping[str, Any]) -> None:
        """Show another condition in rows."""
        rows = rows_of(document)
        self.document = self.loaded = document
        self.seed, self.any_of = document_of(rows), rows.any_of
        self.items = [self.item(item) for item in rows.items]
        self.generation += 1

    def item(self, what: Row | Group) -> Item:
        """A new item that says this; put it into `items`."""
        self.next_id += 1
        made = Item(self.next_id)
        if isinstance(what, Group):
            made.rows = [self.item(row) for row in what.rows]
        else:
            made.row = what
        return made

    def rows(self) -> Rows:
        """What the form says now."""
        return Rows(self.any_of, tuple(_said(item) for item in self.items))

    def incomplete(self) -> list[tuple[int, ...]]:
        """The rows in which something is missing: by item, or by item and row of the group."""
        return [place for place, row in placed_rows(self.rows()) if not is_complete(row)]


def _said(item: Item) -> Row | Group:
    if item.row is not None:
        return item.row
    return Group(tuple(row.row for row in item.rows if row.row is not None))


def placed_rows(rows: Rows) -> list[tuple[tuple[int, ...], Row]]:
    """Each row of a form with its place."""
    found: list[tuple[tuple[int, ...], Row]] = []
    for at, item in enumerate(rows.items):
        if isinstance(item, Group):
            found += [((at, index), row) for index, row in enumerate(item.rows)]
        else:
            found.append(((at,), item))
    return found


def same(one: Mapping[str, Any] | None, other: Mapping[str, Any] | None) -> bool:
    """Whether two conditions are the same to the letter; to Python true and 1 are equal.

    >>> same({"vip": True}, {"vip": 1}), same({}, None)
    (False, False)
    """
    return json.dumps(one) == json.dumps(other)
