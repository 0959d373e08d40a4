"""The two clauses of a condition that are not about attributes: what a user did (`$event`), and lists (`$inSegment`).

    {"$event": {"name": "Order Completed", "within": "30d", "count": {"$gte": 2}, "properties": {"revenue": {"$gt": 50}}}}
    {"$inSegment": ["vip", "staff"]}

Both stand where `$and` and `$not` stand. Without `within` the whole past counts, without `count` once is enough. An event
exactly as old as `within` counts, and one that is later than now has not happened yet: it never counts.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from experiments.clock import parse_duration
from experiments.errors import Invalid
from targeting.conditions.scope import Predicate, Scope
from targeting.conditions.values import is_number, is_operator_object

EVENT_KEYS: Final = ("name", "within", "count", "properties")
COUNT_OPERATORS: Final = ("$eq", "$ne", "$lt", "$lte", "$gt", "$gte", "$in", "$nin")
AT_LEAST_ONCE: Final = {"$gte": 1}
MAX_TIMES: Final = 1_000_000
_NOW: Final = timedelta(0)

# Tests of a number of times that ask no more than whether it happened at all.
_HAPPENED: Final = ({"$gte": 1}, {"$gt": 0}, {"$ne": 0})
_DID_NOT: Final = ({"$lt": 1}, {"$lte": 0}, {"$eq": 0})


@dataclass(frozen=True, slots=True)
class EventClause:
    """The operand of `$event`, read. `within`: None is ever. `count` holds operators on the number of times."""

    name: str
    within: timedelta | None
    count: dict[str, Any]
    properties: dict[str, Any] | None

    @property
    def happened(self) -> bool | None:
        """True: at least once; False: never; None: the number of times has to be counted."""
        return True if self.count in _HAPPENED else False if self.count in _DID_NOT else None


def read_event(operand: Any) -> EventClause | None:
    """The clause; None when it is malformed (`checks` says how)."""
    if not isinstance(operand, dict) or not operand.keys() <= set(EVENT_KEYS):
        return None
    name, within = operand.get("name"), operand.get("within")
    properties = operand.get("properties")
    if not isinstance(name, str) or not name or not isinstance(properties, dict | None):
        return None
    try:
        age = None if within is None else parse_duration(within)
    except (ValueError, AttributeError):
        return None
    count = read_count(operand.get("count"))
    return None if count is None else EventClause(name, age, count, properties)


def read_count(count: Any) -> dict[str, Any] | None:
    """Operators on a whole number of times; None when `count` says no such thing."""
    if count is None:
        return dict(AT_LEAST_ONCE)
    if is_times(count):
        return {"$eq": int(count)}
    if not is_operator_object(count):
        return None
    read: dict[str, Any] = {}
    for name, operand in count.items():
        if name in {"$in", "$nin"}:
            if not isinstance(operand, list) or not all(map(is_times, operand)):
                return None
            read[name] = [int(times) for times in operand]
        elif name in COUNT_OPERATORS and is_times(operand):
            read[name] = int(operand)
        else:
            return None
    return read


def is_times(value: Any) -> bool:
    """Whether a value is a number of times that something can happen."""
    return is_number(value) and 0 <= value <= MAX_TIMES and float(value).is_integer()


def read_segments(operand: Any) -> tuple[str, ...] | None:
    """The keys that `$inSegment` names; None when it is malformed."""
    keys = [operand] if isinstance(operand, str) else operand
    if isinstance(keys, list) and all(isinstance(key, str) and key for key in keys):
        return tuple(keys)
    return None


def compile_event(
    clause: EventClause, *, counts: Callable[[Any, Scope], bool], keeps: Predicate | None
) -> Predicate:
    """`counts` tests the number of times, `keeps` the properties of one event (None: any)."""
    name, within, happened = clause.name, clause.within, clause.happened

    def test(_attributes: Any, scope: Scope) -> bool:
        now, times = scope.now, 0
        if now is None and within is not None:
            raise Invalid("$event with `within` looks back from the present: pass now")
        for occurrence in scope.events.get(name, ()):
            if now is not None:
                age = now - occurrence.at
                if age < _NOW or (within is not None and age > within):
                    continue
            if keeps is None or keeps(occurrence.properties, scope):
                if happened is not None:
                    return happened
                times += 1
        return counts(times, scope) if happened is None else not happened

    return test


def compile_segments(keys: tuple[str, ...]) -> Predicate:
    wanted = frozenset(keys)
    return lambda _attributes, scope: not wanted.isdisjoint(scope.segments)
