"""Conditions as any GrowthBook SDK can evaluate them, with the meaning that they have here. Pure.

The SDKs differ among themselves where types do not fit: a missing number is 0 in JavaScript and nothing in Python, `"5"` is 5
in one and not in the other. So what is sent is a translation that leaves them nothing to differ about:

    types       where a comparison asks for one type of value, the translation asks for that type first
    missing     what a clause means of somebody without the attribute is worked out here, and written down
    times       `$olderThan` and `$newerThan` become comparisons of text with the moment that they mean when this is made
    lists       `$inSegment` becomes membership of the id in a saved group

Whoever has an attribute of a type that the clause does not expect (the text "5" where a number is compared, a time with an offset
of hours) is left out by a guard: an SDK then gives no variant, and never another one than ours. What cannot be said at all, such
as what somebody did (`$event`), raises `NotPortableError`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, ClassVar, Final

from experiments.clock import parse_duration
from targeting.conditions import matches
from targeting.conditions.history import read_segments
from targeting.conditions.values import (
    is_number,
    is_operator_object,
    matches_entries_whole,
    number_written_as,
)

SDK_ID: Final = "id"
"""What SDKs call the attribute that holds the user's id."""

_STRING: Final = {"$type": "string"}
_NUMBER: Final = {"$type": "number"}
_BOOLEAN: Final = {"$type": "boolean"}

# Days that exist, at most one way to write a moment of UTC, and no operator that RE2 lacks: text in this form compares with
# the text of a whole second that is not a whole minute exactly as the moments do.
_DAY: Final = (
    r"(?:[1-9][0-9]{3}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)"
    r"|02-(?:0[1-9]|1[0-9]|2[0-8]))"
    r"|(?:[1-9][0-9](?:0[48]|[2468][048]|[13579][26])|(?:[2468][048]|[13579][26])00)-02-29)"
)
UTC_TIME: Final = (
    rf"^{_DAY}(?:T(?:[01][0-9]|2[0-3]):[0-5][0-9](?::[0-5][0-9](?:\.[0-9]+)?Z?)?)?$"  # 2026-08-01T10:00:00.5Z
)
_LIKE_A_TIME: Final = "^[1-9][0-9]{3}-[0-9]{2}-[0-9]{2}"
# Not a time at all, or one in the form above. (`$` would let a line break pass, in Python.)
_PLAIN_TIME: Final = (
    _STRING,
    {"$not": {"$regex": _LIKE_A_TIME, "$not": {"$regex": UTC_TIME}}},
    {"$not": {"$regex": r"\n"}},
)
_SAME_EVERYWHERE: Final = frozenset({"$eq", "$ne", "$exists", "$type"})

Needs = tuple[dict[str, Any], ...]
"""Operators that a value has to pass before the SDKs agree on a clause; none when they agree on everything."""


class NotPortableError(Exception):
    """The condition cannot be said to an SDK; the text says why."""


@dataclass(frozen=True, slots=True)
class SdkCondition:
    """A translated condition, exact for whoever passes the `guards`: each asks whether one attribute has the expected type.

    `segments` are the lists that it names, `ages` whether it compares times with the present.
    """

    exact: dict[str, Any]
    guards: tuple[dict[str, Any], ...]
    segments: frozenset[str]
    ages: bool

    @property
    def condition(self) -> dict[str, Any]:
        """Condition and guards together."""
        return _all([part for part in (self.exact, *self.guards) if part])


def saved_group(segment: str) -> str:
    """What the list segment with this key is called among the saved groups of a payload."""
    return f"segment:{segment}"


def translate(condition: dict[str, Any], *, now: datetime) -> SdkCondition:
    """A (valid) condition whose condition segments are written out, for SDKs; raises NotPortableError.

    Times are compared with the present at `now`, to the second.
    """
    work = _Translation(now)
    exact = work.condition(condition)
    return SdkCondition(exact, tuple(work.guards), frozenset(work.segments), work.ages)


def names_unit(attribute: str) -> dict[str, Any]:
    """Whether an attribute holds something that is hashed (`draw.unit_of`): text that is not empty, or a number but 0."""
    return {"$or": [{attribute: {**_STRING, "$ne": ""}}, {attribute: {**_NUMBER, "$ne": 0}}]}


def _all(parts: list[dict[str, Any]]) -> dict[str, Any]:
    keys = [key for part in parts for key in part]
    if len(keys) == len(set(keys)):
        return {key: value for part in parts for key, value in part.items()}
    return {"$and": parts}


class _Translation:
    """One walk through one condition. `within_entries`: it is about the entries of a list, which no guard can reach."""

    def __init__(self, now: datetime, *, within_entries: bool = False) -> None:
        self._now = now
        self._within_entries = within_entries
        self.guards: list[dict[str, Any]] = []
        self.segments: set[str] = set()
        self.ages = False

    def condition(self, condition: dict[str, Any]) -> dict[str, Any]:
        return _all([self._clause(key, operand) for key, operand in condition.items()])

    def _clause(self, key: str, operand: Any) -> dict[str, Any]:
        if key in {"$and", "$or", "$nor"}:
            return {key: [self.condition(part) for part in operand]}
        if key == "$not":
            return {key: self.condition(operand)}
        if key == "$event":
            raise NotPortableError(
                "its condition asks what users did ($event), which is known to the server only"
            )
        if key == "$inSegment":
            return self._lists(operand)
        if key.startswith("$"):
            raise NotPortableError(f"its condition uses {key}, which SDKs do not know")
        if key.split(".", maxsplit=1)[0] == SDK_ID and not self._within_entries:
            raise NotPortableError("its condition reads the attribute `id`, which is the user's id in an SDK")
        return self._leaf(key, operand)

    def _lists(self, operand: Any) -> dict[str, Any]:
        if self._within_entries:
            raise NotPortableError("its condition names a segment inside $elemMatch")
        keys = read_segments(operand) or ()
        self.segments.update(keys)
        return _any([{SDK_ID: {"$inGroup": saved_group(key)}} for key in keys])

    def _leaf(self, path: str, operand: Any) -> dict[str, Any]:
        needs, value = self._value(operand)
        if not needs:
            return {path: value}
        guard = {"$or": [{path: {"$exists": False}}, _and([{path: need} for need in needs])]}
        if guard not in self.guards:
            self.guards.append(guard)
        if matches({path: operand}, {}, now=self._now):
            return {"$or": [{path: {"$exists": False}}, {path: value}]}
        return _and([{path: {"$exists": True}}, {path: value}])

    def _value(self, operand: Any) -> tuple[Needs, Any]:
        """A value condition that SDKs agree on for values that meet the needs."""
        if is_operator_object(operand):
            return self._operators(operand)
        if isinstance(operand, str):
            return (() if _is_word(operand) else (_STRING,)), {"$eq": operand}
        if isinstance(operand, bool):
            return (_BOOLEAN,), {"$eq": operand}
        if is_number(operand):
            return (_NUMBER,), {"$eq": operand}
        if operand is None:
            return (), None
        if isinstance(operand, list) and not any(isinstance(entry, dict | list) for entry in operand):
            return (), operand
        raise NotPortableError("its condition compares an attribute with a whole object")

    def _operators(self, operators: dict[str, Any]) -> tuple[Needs, dict[str, Any]]:
        needs: list[dict[str, Any]] = []
        together: dict[str, Any] = {}
        for name, operand in operators.items():
            more, translated = self._operator(name, operand)
            needs += [need for need in more if need not in needs]
            if any(together.get(key, value) != value for key, value in translated.items()):
                raise NotPortableError("its condition asks more of one time than can be said at once")
            together |= translated
        if sum(need in (_STRING, _NUMBER, _BOOLEAN) for need in needs) > 1:
            raise NotPortableError("its condition compares one attribute both as text and as a number")
        return tuple(needs), together

    def _operator(self, name: str, operand: Any) -> tuple[Needs, dict[str, Any]]:
        if name in _SAME_EVERYWHERE:
            return (), {name: operand}
        if name in {"$in", "$nin", "$ini", "$nini"}:
            return (), {name: [entry for entry in operand if not isinstance(entry, dict | list)]}
        translator = self._TRANSLATORS.get(name)
        if translator is None:
            raise NotPortableError(f"its condition uses {name}, which SDKs do not know or do not agree on")
        return translator(self, name, operand)

    def _ordered(self, name: str, bound: Any) -> tuple[Needs, dict[str, Any]]:
        if is_number(bound):
            return (_NUMBER,), {name: bound}
        if isinstance(bound, str):
            return (_STRING,), {name: bound}
        raise NotPortableError(
            f"its condition compares by {name} with something that is no number and no text"
        )

    def _text(self, name: str, operand: Any) -> tuple[Needs, dict[str, Any]]:
        if not isinstance(operand, str):
            raise NotPortableError(f"its condition compares by {name} with something that is no text")
        return (_STRING,), {name: operand}

    def _unlike(self, name: str, pattern: Any) -> tuple[Needs, dict[str, Any]]:
        # Under `$not`, which SDKs have known for longer than `$notRegex`.
        return self._not("$not", {name.replace("$notR", "$r"): pattern})

    def _age(self, name: str, duration: Any) -> tuple[Needs, dict[str, Any]]:
        self.ages = True
        return _PLAIN_TIME, {
            "$regex": UTC_TIME,
            "$lt" if name == "$olderThan" else "$gte": _moment_before(self._now, parse_duration(duration)),
        }

    def _not(self, name: str, operand: Any) -> tuple[Needs, dict[str, Any]]:
        needs, value = self._value(operand)
        return needs, {name: value}

    def _size(self, name: str, operand: Any) -> tuple[Needs, dict[str, Any]]:
        needs, value = self._value(operand)
        if needs not in ((), (_NUMBER,)):
            raise NotPortableError(
                "its condition compares the size of a list with something that is no number"
            )
        return (), {name: value}

    def _has_all(self, name: str, entries: list[Any]) -> tuple[Needs, dict[str, Any]]:
        if not all(isinstance(entry, str) and _is_word(entry) for entry in entries):
            raise NotPortableError(f"its condition asks by {name} for entries that are not plain words")
        return (), {name: entries if name == "$alli" else [{"$eq": entry} for entry in entries]}

    def _some_entry(self, name: str, operand: dict[str, Any]) -> tuple[Needs, dict[str, Any]]:
        if not matches_entries_whole(operand):
            inner = _Translation(self._now, within_entries=True)
            value = inner.condition(operand)
            if inner.guards or inner.ages:
                raise NotPortableError("its condition compares fields of the entries of a list by type")
            return (), {name: value}
        needs, value = self._value(operand)
        if not needs:
            return (), {name: value}
        if needs not in ((_NUMBER,), (_STRING,)) or "$type" in value:
            raise NotPortableError("its condition compares the entries of a list with the present")
        return ({"$not": {name: {"$not": needs[0]}}},), {name: {**needs[0], **value}}

    _TRANSLATORS: ClassVar[dict[str, Callable[["_Translation", str, Any], tuple[Needs, dict[str, Any]]]]] = {
        **dict.fromkeys(("$lt", "$lte", "$gt", "$gte"), _ordered),
        **dict.fromkeys(("$regex", "$regexi"), _text),
        **dict.fromkeys(("$notRegex", "$notRegexi"), _unlike),
        **dict.fromkeys(("$veq", "$vne", "$vgt", "$vgte", "$vlt", "$vlte"), _text),
        **dict.fromkeys(("$olderThan", "$newerThan"), _age),
        **dict.fromkeys(("$all", "$alli"), _has_all),
        "$not": _not,
        "$size": _size,
        "$elemMatch": _some_entry,
    }


def _any(parts: list[dict[str, Any]]) -> dict[str, Any]:
    return parts[0] if len(parts) == 1 else {"$or": parts}


def _and(parts: list[dict[str, Any]]) -> dict[str, Any]:
    return parts[0] if len(parts) == 1 else {"$and": parts}


def _is_word(text: str) -> bool:
    """Text that no number, true, false or null is written as, so that it equals nothing but itself."""
    return number_written_as(text) is None and text.lower() not in {"", "true", "false", "null"}


def _moment_before(now: datetime, age: timedelta) -> str:
    try:
        moment = (now - age).replace(microsecond=0, tzinfo=None)
    except OverflowError as error:
        raise NotPortableError("its condition looks back to before the year 1000") from error
    if moment.second == 0:
        # A time to the minute is the beginning of its own text to the second, and would compare as earlier than itself.
        moment -= timedelta(seconds=1)
    if moment.year < 1000:
        raise NotPortableError("its condition looks back to before the year 1000")
    return moment.isoformat()
