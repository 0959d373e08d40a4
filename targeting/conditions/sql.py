"""Conditions as SQL over a JSON column of attributes, with exactly the meaning of the closures of `compiling.py`.

SQL can say the logic, equality, order, lists, existence, sizes and ages of times; regular expressions, versions, saved
groups and the like it leaves to the closures: `split` takes a condition apart into the two. Every expression made here
is true or false and never NULL, so that `not` may stand before it. Values and paths travel as bound parameters.
"""

import re
from collections.abc import Callable
from copy import copy
from datetime import datetime
from typing import Any, Final

from sqlalchemy import BigInteger, Boolean, Numeric, Text, and_, case, cast, func, literal, not_, null, or_
from sqlalchemy.sql import column, false, true
from sqlalchemy.sql.elements import ColumnElement

from experiments.clock import EPOCH, parse_duration
from experiments.errors import Invalid
from targeting.conditions.history import read_event, read_segments
from targeting.conditions.sql_history import EVENTS, did, in_lists
from targeting.conditions.sql_values import NUMBERS, TEXTS, JsonValue, is_time, micros, value_at
from targeting.conditions.values import (
    Cutoff,
    is_number,
    is_operator_object,
    number_written_as,
    to_number,
    truthy,
)

Condition = dict[str, Any]
Bool = ColumnElement[bool]

MAX_LIST: Final = 1_000
"""Values in all lists of one statement. Longer lists go to the closures, which look up in one step."""
MAX_CLAUSES: Final = 100
"""Attributes tested in one statement. SQLite takes 32,766 parameters, and the age of a time spends about 150 of them."""
_LARGEST_INTEGER: Final = 2**63


def compile_sql(
    condition: Condition,
    *,
    attributes: ColumnElement[Any],
    now: datetime,
    field: str = "audience.condition",
    user_pk: ColumnElement[Any] | None = None,
) -> Bool:
    """The condition as a boolean expression, for SQLite and PostgreSQL.

    `attributes` is a column of type `JsonDocument` (NULL there means no attributes). `user_pk` is the column of the same
    table that events and lists refer to; without it `$event` and `$inSegment` cannot be said. `$inSegment` means lists
    here: write other segments out before (`needs.expand_segments`). Raises Invalid naming the operator and its
    path when SQL cannot say it; `split` first to avoid that.
    """
    return _Compiler(attributes, user_pk, now, _Budget()).condition(condition, field)


def is_sql_expressible(condition: Condition) -> bool:
    """Whether `compile_sql` with a `user_pk` takes the whole condition."""
    return _Budget().admits(condition)


def split(condition: Condition) -> tuple[Condition | None, Condition | None]:
    """(the part for SQL, the part left to the closures); a user matches when both hold. None: nothing to check.

    The part for SQL may hold `$event` and `$inSegment`: compile it with a `user_pk`.

    The parts are taken apart where they are joined by and: at the top, under `$and`, between operators on one attribute.
    """
    in_sql: list[Condition] = []
    residual: list[Condition] = []
    budget = _Budget()
    for part in _conjuncts(condition):
        (in_sql if budget.admits(part) else residual).append(part)
    return _joined(in_sql), _joined(residual)


def _conjuncts(condition: Condition) -> list[Condition]:
    parts: list[Condition] = []
    for key, operand in condition.items():
        if key == "$and" and isinstance(operand, list) and all(isinstance(part, dict) for part in operand):
            parts.extend(piece for part in operand for piece in _conjuncts(part))
        elif not key.startswith("$") and is_operator_object(operand):
            parts.extend({key: {name: value}} for name, value in operand.items())
        else:
            parts.append({key: operand})
    return parts


def _joined(parts: list[Condition]) -> Condition | None:
    if len(parts) < 2:
        return parts[0] if parts else None
    return {"$and": parts}


class _Budget:
    """What is left of the size of one statement."""

    def __init__(self) -> None:
        self.clauses = MAX_CLAUSES
        self.listed = MAX_LIST

    def admits(self, condition: Condition) -> bool:
        """Whether SQL can say the condition in what is left; if so, that is spent."""
        trial = _Compiler(column("attributes"), column("id"), EPOCH, self)
        try:
            trial.condition(condition, "")
        except Invalid:
            return False
        self.clauses, self.listed = trial.budget.clauses, trial.budget.listed
        return True


class _Compiler:
    def __init__(
        self,
        attributes: ColumnElement[Any],
        user_pk: ColumnElement[Any] | None,
        now: datetime,
        budget: _Budget,
    ) -> None:
        self._attributes = attributes
        self._user_pk = user_pk
        self._now = now
        self.budget = copy(budget)

    def condition(self, condition: Any, field: str) -> Bool:
        if not isinstance(condition, dict):
            raise Invalid("a condition is an object", field=field)
        return and_(true(), *(self._clause(key, value, f"{field}.{key}") for key, value in condition.items()))

    def _clause(self, key: str, operand: Any, field: str) -> Bool:
        if key == "$not":
            return not_(self.condition(operand, field))
        if key not in {"$and", "$or", "$nor"}:
            self.budget.clauses -= 1
            if self.budget.clauses < 0:
                raise Invalid(f"SQL takes at most {MAX_CLAUSES} clauses", field=field)
            if key == "$event":
                return self._event(operand, field)
            if key == "$inSegment":
                return self._segments(operand, field)
            return self._test(operand, value_at(self._attributes, key, field), field)
        if not isinstance(operand, list):
            raise Invalid(f"{key} takes a list of conditions", field=field)
        parts = [self.condition(part, f"{field}[{index}]") for index, part in enumerate(operand)]
        if key == "$and":
            return and_(true(), *parts)
        some = or_(false(), *parts) if parts else true()
        return some if key == "$or" else not_(some)

    def _event(self, operand: Any, field: str) -> Bool:
        clause = read_event(operand)
        if clause is None or self._user_pk is None:
            raise Invalid("SQL cannot ask for these events", field=field)
        _check_scalar(clause.name, field)
        events = EVENTS.alias()
        keeps: Bool = true()
        if clause.properties:
            # What an event holds is not about the user: no user_pk, so no $event inside.
            inner = _Compiler(events.c.properties, None, self._now, self.budget)
            keeps = inner.condition(clause.properties, f"{field}.properties")
            self.budget = inner.budget
        return did(clause, events, keeps, user_pk=self._user_pk, now=self._now)

    def _segments(self, operand: Any, field: str) -> Bool:
        keys = read_segments(operand)
        if keys is None or self._user_pk is None:
            raise Invalid("SQL cannot look into these segments", field=field)
        self._spend_listed(len(keys), field)
        for key in keys:
            _check_scalar(key, field)
        return in_lists(keys, user_pk=self._user_pk)

    def _spend_listed(self, values: int, field: str) -> None:
        self.budget.listed -= values
        if self.budget.listed < 0:
            raise Invalid(f"SQL takes at most {MAX_LIST} listed values", field=field)

    def _test(self, condition: Any, value: JsonValue, field: str) -> Bool:
        """One value against operators or a value to be equal to."""
        if is_operator_object(condition):
            tests = (
                self._operator(name, operand, value, f"{field}.{name}") for name, operand in condition.items()
            )
            return and_(true(), *tests)
        _check_scalar(condition, field)
        if condition is None:
            return value.is_null
        if isinstance(condition, bool):
            return and_(not_(value.is_null), _truth(value) if condition else not_(_truth(value)))
        if isinstance(condition, str):
            return _equals_text(condition, value)
        return _holds(value.counted == _number(condition))

    def _operator(self, name: str, operand: Any, value: JsonValue, field: str) -> Bool:
        if name in {"$in", "$nin", "$all"}:
            self._spend_listed(len(operand) if isinstance(operand, list) else 0, field)
            return _list(name, operand, value, field)
        if name in _ORDERS:
            return _ordered(_ORDERS[name], operand, value, field)
        if name in {"$olderThan", "$newerThan"}:
            return self._age(name, operand, value, field)
        return self._simple(name, operand, value, field)

    def _simple(self, name: str, operand: Any, value: JsonValue, field: str) -> Bool:
        if name in {"$eq", "$ne"}:
            _check_scalar(operand, field)
            equal = _among([operand], value)
            return equal if name == "$eq" else not_(equal)
        if name == "$exists":
            return not_(value.is_null) if truthy(operand) else value.is_null
        if name == "$not":
            return not_(self._test(operand, value, field))
        if name == "$size":
            size = JsonValue(
                kind=literal("number", Text),
                text=cast(null(), Text),
                number=value.length,
                length=cast(null(), BigInteger),
                meets=None,
                on_text=None,
            )
            return and_(_holds(value.kind == "array"), self._test(operand, size, field))
        raise Invalid(f"SQL cannot say {name}", field=field)

    def _age(self, name: str, duration: Any, value: JsonValue, field: str) -> Bool:
        try:
            cutoff = Cutoff.at(self._now, parse_duration(duration))
        except (ValueError, AttributeError) as error:
            raise Invalid(f"{name} takes a duration such as 60d", field=field) from error

        def test(text: ColumnElement[str]) -> Bool:
            # As in `Cutoff`: for nearly every time its date alone tells.
            day = func.substr(text, 1, 10, type_=Text)
            older = case(
                (day < cutoff.before, true()),
                (day > cutoff.after, false()),
                else_=micros(text) < cutoff.micros,
            )
            return case((is_time(text), older if name == "$olderThan" else not_(older)), else_=false())

        return value.on_text(test) if value.on_text else false()


def _list(name: str, operand: Any, value: JsonValue, field: str) -> Bool:
    if not isinstance(operand, list):
        raise Invalid(f"{name} takes a list of values", field=field)
    for index, entry in enumerate(operand):
        _check_scalar(entry, f"{field}[{index}]")
    if name != "$all":
        within = or_(_among(operand, value), value.meets(operand) if value.meets and operand else false())
        return within if name == "$in" else not_(within)
    # Under $all "5" also matches 5, as everywhere without an operator; SQL looks into lists by strict equality.
    if value.meets is None or not all(_only_equals_itself(entry) for entry in operand):
        raise Invalid("SQL knows $all only for words", field=field)
    return and_(_holds(value.kind == "array"), *(value.meets([entry]) for entry in operand))


_ORDERS: Final[dict[str, Callable[[Any, Any], Bool]]] = {
    "$lt": lambda left, right: left < right,
    "$lte": lambda left, right: left <= right,
    "$gt": lambda left, right: left > right,
    "$gte": lambda left, right: left >= right,
}


def _holds(test: ColumnElement[Any]) -> Bool:
    """False where the test is NULL."""
    return func.coalesce(test, false(), type_=Boolean)


def _number(number: float) -> ColumnElement[Any]:
    # As text, because PostgreSQL would round a float on its way to the exact number that JSONB holds.
    return cast(literal(repr(number), Text), Numeric)


def _check_scalar(operand: Any, field: str) -> None:
    odd = isinstance(operand, dict | list)
    if isinstance(operand, str):
        odd = re.search(r"[\x00\ud800-\udfff]", operand) is not None
    elif is_number(operand):
        odd = (
            not -_LARGEST_INTEGER < operand < _LARGEST_INTEGER
            if isinstance(operand, int)
            else abs(operand) > 1e300
        )
        odd = odd or operand != operand  # noqa: PLR0124 - NaN alone differs from itself
    if odd:
        raise Invalid("SQL cannot compare with this value", field=field)


def _among(operands: list[Any], value: JsonValue) -> Bool:
    """Strict equality of a scalar with one of the operands."""
    texts = [operand for operand in operands if isinstance(operand, str)]
    numbers = [_number(operand) for operand in operands if is_number(operand)]
    tests: list[Bool] = []
    if texts:
        tests.append(_holds(value.text.in_(texts)))
    if numbers:
        tests.append(_holds(value.number.in_(numbers)))
    truths = {str(operand).lower() for operand in operands if isinstance(operand, bool)}
    tests += [_holds(value.kind == truth) for truth in sorted(truths)]
    if any(operand is None for operand in operands):
        tests.append(value.is_null)
    return or_(false(), *tests)


def _equals_text(expected: str, value: JsonValue) -> Bool:
    """As text, or as the number or the truth value that is written so."""
    tests = [_holds(value.text == expected)]
    number = number_written_as(expected)
    if number is not None:
        tests.append(_holds(value.number == _number(number)))
    if expected in {"true", "false"}:
        tests.append(_holds(value.kind == expected))
    return or_(false(), *tests)


def _only_equals_itself(operand: Any) -> bool:
    return (
        isinstance(operand, str) and number_written_as(operand) is None and operand not in {"true", "false"}
    )


def _truth(value: JsonValue) -> Bool:
    return case(
        (value.kind.in_(TEXTS), value.text != ""),
        (value.kind.in_(NUMBERS), value.number != 0),
        (or_(value.kind == "false", value.is_null), false()),
        else_=true(),
    )


def _ordered(compare: Callable[[Any, Any], Bool], bound: Any, value: JsonValue, field: str) -> Bool:
    _check_scalar(bound, field)
    number = to_number(bound)
    as_numbers = false() if number is None else _holds(compare(value.counted, _number(number + 0)))
    if not isinstance(bound, str):
        return as_numbers
    return case((value.kind.in_(TEXTS), compare(value.text, bound)), else_=as_numbers)
