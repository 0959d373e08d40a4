"""What a table of people is like, column by column, in memory that does not grow with its rows. Pure.

`FileProfile` takes in the batches of an import as they pass; `quality_report.judge` makes lights and sentences of it.
"""

import json
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np

from targeting.imports.cells import ImportRow
from targeting.imports.quality_sketches import Categories, Distinct, Numbers
from targeting.imports.seen import Seen
from targeting.imports.source import Reject

MAX_COLUMNS: Final = 200
"""More columns than these are imported, but not measured."""
MAX_REASONS: Final = 20
RARE: Final = 5
"""A value that fewer rows hold is not kept by name: it might tell who somebody is."""
_MAX_LABEL: Final = 60
_LEAST_DIGITS: Final = 7
_QUOTED: Final = re.compile(r"""'[^']*'|"[^"]*\"""")
_KINDS: Final[Mapping[type, str]] = {
    str: "text",
    int: "number",
    float: "number",
    bool: "boolean",
    list: "list",
    dict: "object",
}
_NUMBERS: Final = frozenset({int, float})
_UNHASHABLE: Final = frozenset({list, dict})
_QUANTILES: Final = {"p05": 0.05, "p25": 0.25, "p50": 0.5, "p75": 0.75, "p95": 0.95}


class ColumnProfile:
    """One column. `meaning` is what becomes of it; of ids and phones nothing is kept but counts.

    `filled` counts all rows, everything else only those that were good: what a wrong cell holds is told by its reason.
    """

    def __init__(self, name: str, meaning: str) -> None:
        self.name = name
        self.meaning = meaning
        self.filled = 0
        self.kinds: Counter[str] = Counter()
        self.reasons: Counter[str] = Counter()
        self.distinct = Distinct()
        self.numbers = Numbers()
        self.categories = Categories()
        if meaning in ("user_id", "phone"):
            self.categories.counts = None

    def add(self, values: Sequence[Any]) -> None:
        """Take in the filled cells of those rows of a batch that were good."""
        types = Counter(map(type, values))
        for kind, amount in types.items():
            self.kinds[_KINDS.get(kind, "object")] += amount
        if not _UNHASHABLE.isdisjoint(types):
            values = [
                json.dumps(value, default=str) if type(value) in _UNHASHABLE else value for value in values
            ]
        if self.categories.counts is not None:
            counted = Counter(values)
            self.categories.add(counted)
            hashed = np.fromiter(map(hash, counted), dtype=np.int64, count=len(counted))
        else:
            hashed = np.fromiter(map(hash, values), dtype=np.int64, count=len(values))
        self.distinct.add(hashed)
        if self.meaning not in ("user_id", "phone") and not _NUMBERS.isdisjoint(types):
            self.numbers.add(
                values
                if _NUMBERS.issuperset(types)
                else [value for value in values if type(value) in _NUMBERS]
            )

    def to_json(self, rows: int) -> dict[str, Any]:
        """As it is stored: what a person reads, and what the next import is compared with."""
        return {
            "name": self.name,
            "meaning": self.meaning,
            "filled": self.filled,
            "share": self.filled / rows if rows else None,
            "kinds": dict(self.kinds),
            "distinct": {"value": self.distinct.value, "exact": self.distinct.exact},
            "invalid": self.reasons.total(),
            "reasons": dict(self.reasons.most_common()),
            "numbers": self._numbers(),
            "categories": self._categories(),
        }

    def _numbers(self) -> dict[str, Any] | None:
        numbers = self.numbers
        if not numbers.count:
            return None
        return {
            "count": numbers.count,
            "mean": numbers.mean,
            "sd": numbers.sd,
            "min": numbers.low,
            "max": numbers.high,
            **{name: numbers.quantile(share) for name, share in _QUANTILES.items()},
            "cells": [list(cell) for cell in numbers.cells()],
        }

    def _categories(self) -> dict[str, Any] | None:
        counts = self.categories.counts
        if not counts:
            return None
        named: Counter[str] = Counter()
        rare = 0
        for value, amount in counts.most_common():
            if amount >= RARE:
                named[value[:_MAX_LABEL]] += amount
            else:
                rare += amount
        return {"rows": dict(named), "rare": rare}


class FileProfile:
    """All columns of one import. `rows` counts every row, `readable` those whose cells could be told apart."""

    def __init__(self, names: Sequence[str], meaning_of: Callable[[str], str]) -> None:
        self._meaning_of = meaning_of
        self.rows = 0
        self.readable = 0
        self.shared_phones = 0
        self.ids_that_are_phones = 0
        self.says_consent = self.says_phone = False
        self.columns: dict[str, ColumnProfile] = {}
        self.left_out: set[str] = set()
        self.row_reasons: Counter[str] = Counter()
        self._phones, self._owners = Seen(), Seen()
        for name in names:
            self._column(name)

    def _column(self, name: str) -> ColumnProfile | None:
        column = self.columns.get(name)
        if column is None:
            # Also a column too many to be measured says who agreed, and holds numbers.
            meaning = self._meaning_of(name)
            self.says_consent |= meaning.startswith("consent.")
            self.says_phone |= meaning == "phone"
        if column is None and len(self.columns) < MAX_COLUMNS:
            column = self.columns[name] = ColumnProfile(name, self._meaning_of(name))
        elif column is None and len(self.left_out) < MAX_COLUMNS:
            self.left_out.add(name)
        return column

    def add(self, batch: Sequence[ImportRow | Reject]) -> None:
        """Take in a batch as it was read."""
        cells = [item.cells for item in batch if item.cells]
        self.rows += len(batch)
        self.readable += len(cells)
        taken = [item.cells for item in batch if isinstance(item, ImportRow)]
        for name in set().union(*cells):
            column = self._column(name)
            if column is not None:
                column.add([row[name] for row in taken if name in row])
                column.filled += sum(name in row for row in cells)
        self._add_phones(batch)

    def _add_phones(self, batch: Sequence[ImportRow | Reject]) -> None:
        owners = {
            (item.change.phone, item.change.user_id)
            for item in batch
            if isinstance(item, ImportRow) and item.change.phone is not None
        }
        self.ids_that_are_phones += sum(_is_number_of(user_id, phone) for phone, user_id in owners)
        phones = {phone for phone, _ in owners}
        # A file has as many shared phones as it has more pairs of phone and user than phones.
        pairs = {f"{phone} {user_id}" for phone, user_id in owners}
        new_pairs = len(pairs) - len(self._owners.add(pairs))
        self.shared_phones += new_pairs - (len(phones) - len(self._phones.add(phones)))

    def refuse(self, rejects: Sequence[Reject]) -> None:
        """Count why rows of the batch were not taken: each under the first thing that is wrong with it."""
        for reject in rejects:
            column = self.columns.get(reject.field)
            reasons = self.row_reasons if column is None else column.reasons
            reason = without_values(reject.reason)[:200]
            if reason not in reasons and len(reasons) >= MAX_REASONS:
                reason = "other reasons"
            reasons[reason] += 1


def _is_number_of(user_id: str, phone: str) -> bool:
    """Whether the id is the person's own number, with or without the country in front."""
    digits = user_id.lstrip("+0")
    return len(digits) >= _LEAST_DIGITS and phone.endswith(digits)


def without_values(reason: str) -> str:
    """Why a row was not taken, without what stood in it.

    >>> without_values("belongs to user 'ann' already")
    'belongs to user "…" already'
    """
    return _QUOTED.sub('"…"', reason)
