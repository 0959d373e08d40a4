"""One number per user: which events or messages count, what each of them amounts to, and where the total is capped."""

import math
import re
from collections.abc import Mapping
from typing import Annotated, Any, Final, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from experiments.vocabulary import MessageStage

INSIDE: Final = "inside"
"""Type of a validation error that knows where inside the value it happened (`ctx["path"]`)."""
MAX_PROPERTIES: Final = 20
MAX_LISTED: Final = 100
MAX_TEXT: Final = 200
LARGEST_OPERAND: Final = 2**53
"""From here on a double no longer tells a whole number from the next."""

_PROPERTY: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_ -]{0,99}")
_ODD_TEXT: Final = re.compile(r"[\x00\ud800-\udfff]")
_EQUALITIES: Final = ("$eq", "$ne")
_LISTS: Final = ("$in", "$nin")
_ORDERS: Final = ("$gt", "$gte", "$lt", "$lte")
OPERATORS: Final = (*_EQUALITIES, *_LISTS, *_ORDERS, "$exists")


def inside(*path: str | int, words: str) -> PydanticCustomError:
    """A validation error about the part of a value that `path` leads to."""
    return PydanticCustomError(INSIDE, "{words}", {"words": words, "path": path})


def is_property_name(name: str) -> bool:
    """Whether SQL of every engine can look the name up in a JSON document."""
    return _PROPERTY.fullmatch(name) is not None


def _property_name(name: str) -> str:
    if not is_property_name(name):
        raise ValueError("is not the name of an event property (letters, digits, _ - and blanks)")
    return name


PropertyName = Annotated[str, AfterValidator(_property_name)]


def _check_where(where: dict[str, Any]) -> dict[str, Any]:
    if len(where) > MAX_PROPERTIES:
        raise ValueError(f"tests at most {MAX_PROPERTIES} properties, not {len(where)}")
    for name, operand in where.items():
        if name.startswith("$"):
            raise inside(
                name, words="is not known here: a metric tests properties of the event, joined by and"
            )
        if not is_property_name(name):
            raise inside(
                name, words="is not the name of an event property (letters, digits, _ - and blanks; no path)"
            )
        if not isinstance(operand, Mapping):
            _check_scalar(operand, name)
        elif not operand:
            raise inside(name, words="is empty; write a value, or a test such as {$gte: 10}")
        else:
            for operator, bound in operand.items():
                _check_operator(name, operator, bound)
    return where


Where = Annotated[dict[str, Any], AfterValidator(_check_where)]
"""A condition on the properties of one event: all of its tests must hold. The small part of our condition language that
every engine can say: equality with a value, `$eq $ne $in $nin $gt $gte $lt $lte $exists`, on properties at the top."""


def _check_operator(name: str, operator: Any, bound: Any) -> None:
    if operator not in OPERATORS:
        raise inside(name, str(operator), words=f"is none of {' '.join(OPERATORS)}, which a metric can test")
    if operator in _LISTS:
        if not isinstance(bound, list | tuple) or not 1 <= len(bound) <= MAX_LISTED:
            raise inside(name, operator, words=f"takes a list of 1 to {MAX_LISTED} values")
        for i, entry in enumerate(bound):
            _check_scalar(entry, name, operator, i)
    elif operator == "$exists":
        if not isinstance(bound, bool):
            raise inside(name, operator, words="takes true or false")
    elif operator in _ORDERS:
        if isinstance(bound, bool) or not isinstance(bound, int | float):
            raise inside(name, operator, words="takes a number")
        _check_scalar(bound, name, operator)
    else:
        _check_scalar(bound, name, operator)


def _check_scalar(value: Any, *path: str | int) -> None:
    if isinstance(value, str):
        if len(value) > MAX_TEXT or _ODD_TEXT.search(value):
            raise inside(*path, words=f"takes text of at most {MAX_TEXT} characters, none of them NUL")
    elif isinstance(value, int | float) and not isinstance(value, bool):
        if not math.isfinite(value) or abs(value) > LARGEST_OPERAND:
            raise inside(*path, words="takes a number between -2^53 and 2^53")
    elif value is not None and not isinstance(value, bool):
        raise inside(
            *path, words="takes a text, a number, true, false or null; several values go into {$in: [..]}"
        )


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Cap(_Value):
    """Winsorising: what a user has beyond the cap does not count, so that no single user decides.

    value: the cap itself. quantile: the cap is this quantile of the numbers of all the experiment's users, of all
    variants together and computed before anybody looks at variants: the smallest number that so large a share does not
    exceed. Of both, the lower one. The covariate has a cap by the same rule, from its own numbers.
    """

    value: float | None = Field(None, gt=0, le=1e15, strict=True, allow_inf_nan=False)
    quantile: float | None = Field(None, gt=0, lt=1, strict=True, allow_inf_nan=False)

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if self.value is None and self.quantile is None:
            raise ValueError("needs a `value` or a `quantile`, such as {quantile: 0.99}")
        return self


class QuantityFields(_Value):
    """What is counted: an `event`, or a `message` of the experiment by what became of it."""

    event: str | None = Field(None, min_length=1, max_length=200)
    message: MessageStage | None = Field(
        None, description="Instead of `event`: messages of this experiment that got so far"
    )
    value: PropertyName | None = Field(None, description="Property of the event that is added up")
    price: float | None = Field(
        None,
        gt=0,
        le=1e9,
        strict=True,
        allow_inf_nan=False,
        description="What one counted `message` costs, in any currency",
    )
    where: Where | None = Field(
        None, description="Only events whose properties meet this: {currency: EUR, revenue: {$gte: 10}}"
    )
    cap: Cap | None = None

    def check_source(self, *path: str) -> None:
        """Raise, at `path`, unless exactly one source is named and its fields go with it."""
        if self.event is None and self.message is None:
            raise inside(*path, "event", words="is required (or `message`, to count messages)")
        if self.event is not None and self.message is not None:
            raise inside(*path, "message", words="stands beside `event`; only one of them can be counted")
        if self.message is not None:
            for name in ("value", "where"):
                if getattr(self, name) is not None:
                    raise inside(*path, name, words="is about properties of an event; a message has none")
        if self.event is not None and self.price is not None:
            raise inside(
                *path, "price", words="is of a `message`; an event's worth is a property, its `value`"
            )


class Quantity(QuantityFields):
    """The numerator or denominator of a ratio, per user: the sum of `value` (of `price`), or the number of events."""

    @model_validator(mode="after")
    def _has_a_source(self) -> Self:
        self.check_source()
        return self
