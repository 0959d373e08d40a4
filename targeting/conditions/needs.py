"""What a condition asks for: which events, which segments, which attributes; and segments written out in full."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from experiments.errors import Invalid, NotFound
from targeting.conditions.history import read_event, read_segments

MAX_INLINED: Final = 50
"""Condition segments written out in one condition, each as often as it is named."""
MAX_CHAIN: Final = 8
"""Segments that name segments that name segments .."""

Condition = dict[str, Any]
Lookup = Callable[[str], Condition | None]
"""The condition of a segment by its key; None for a list. Raises NotFound for an unknown key."""


@dataclass(frozen=True, slots=True)
class Needs:
    """What has to be known of a user before a condition can be evaluated.

    `events`: name -> the longest time that a clause looks back (None: for ever). `attributes`: the names at the top.
    """

    events: Mapping[str, timedelta | None]
    segments: frozenset[str]
    attributes: frozenset[str]


def needs_of(condition: Any) -> Needs:
    """The needs of a condition; parts that are malformed need nothing."""
    events: dict[str, timedelta | None] = {}
    segments: set[str] = set()
    attributes: set[str] = set()
    _collect(condition, events, segments, attributes)
    return Needs(events, frozenset(segments), frozenset(attributes))


def _collect(
    condition: Any, events: dict[str, timedelta | None], segments: set[str], attributes: set[str]
) -> None:
    if not isinstance(condition, dict):
        return
    for key, operand in condition.items():
        if key in {"$and", "$or", "$nor", "$not"}:
            for part in operand if isinstance(operand, list) else [operand]:
                _collect(part, events, segments, attributes)
        elif key == "$event":
            clause = read_event(operand)
            if clause is not None:
                known = events.get(clause.name, clause.within)
                longest = None if known is None or clause.within is None else max(known, clause.within)
                events[clause.name] = longest
        elif key == "$inSegment":
            segments.update(read_segments(operand) or ())
        else:
            attributes.add(key.split(".")[0])


def expand_segments(condition: Condition, lookup: Lookup, *, field: str = "audience.condition") -> Condition:
    """The condition with every segment that is itself a condition written out; lists stay as `$inSegment`.

    Raises Invalid with the path of the `$inSegment` at which segments turn in a circle, or at which one is unknown.
    """
    expanded: Condition = _Expansion(lookup).condition(condition, field, ())
    return expanded


class _Expansion:
    def __init__(self, lookup: Lookup) -> None:
        self._lookup = lookup
        self._inlined = 0

    def condition(self, condition: Any, field: str, chain: tuple[str, ...]) -> Any:
        if not isinstance(condition, dict):
            return condition
        kept: Condition = {}
        written_out: list[Condition] = []
        for key, operand in condition.items():
            # Inside a segment the path stays where the sender named it.
            here = field if chain else f"{field}.{key}"
            if key == "$inSegment":
                clause = self._segments(operand, here, chain)
                if clause.keys() == {"$inSegment"}:
                    kept |= clause
                else:
                    written_out.append(clause)
            elif key in {"$and", "$or", "$nor"} and isinstance(operand, list):
                kept[key] = [
                    self.condition(part, here if chain else f"{here}[{index}]", chain)
                    for index, part in enumerate(operand)
                ]
            elif key == "$not":
                kept[key] = self.condition(operand, here, chain)
            else:
                kept[key] = operand
        if not written_out:
            return kept
        parts = [kept, *written_out] if kept else written_out
        return {"$and": parts} if len(parts) > 1 else parts[0]

    def _segments(self, operand: Any, field: str, chain: tuple[str, ...]) -> Condition:
        keys = read_segments(operand)
        if keys is None:
            return {"$inSegment": operand}
        lists: list[str] = []
        conditions: list[Condition] = []
        for index, key in enumerate(keys):
            here = field if chain or isinstance(operand, str) else f"{field}[{index}]"
            found = self._found(key, here, chain)
            if found is None:
                lists.append(key)
            else:
                conditions.append(self.condition(found, here, (*chain, key)))
        either = [*conditions, {"$inSegment": lists}] if lists or not conditions else conditions
        return {"$or": either} if len(either) > 1 else either[0]

    def _found(self, key: str, field: str, chain: tuple[str, ...]) -> Condition | None:
        if key in chain:
            circle = " -> ".join([*chain[chain.index(key) :], key])
            raise Invalid(f"segments turn in a circle: {circle}", field=field)
        if len(chain) == MAX_CHAIN:
            raise Invalid(
                f"segments name each other more than {MAX_CHAIN} deep: {' -> '.join(chain)}", field=field
            )
        try:
            found = self._lookup(key)
        except NotFound as error:
            raise Invalid(error.message, field=field) from error
        if found is not None:
            self._inlined += 1
            if self._inlined > MAX_INLINED:
                raise Invalid(
                    f"more than {MAX_INLINED} segments are written out here; import one as a list",
                    field=field,
                )
        return found
