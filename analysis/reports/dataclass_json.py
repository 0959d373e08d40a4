"""Frozen values as plain JSON and back, by their fields and annotations: a field that is added tomorrow is carried without a word here.

Written are dataclasses, enums, moments, durations, texts, numbers, and tuples, lists and mappings of these. Three rules beyond JSON:
- A field that is None and is None by default is left out; a field that is absent has its default.
- Where an annotation allows several dataclasses, the object says which one it is under `$type`; without it, it is the first.
- A float that is not finite is the text `nan`, `inf` or `-inf`.
A whole number stays a whole number and a float a float, whatever the annotation says: what is computed from them is the same.
"""

import dataclasses
import math
import numbers
import types
import typing
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from enum import Enum
from functools import cache
from typing import Any, Final, TypeVar, Union, cast

from experiments.clock import MICROSECOND, format_moment, parse_moment
from experiments.errors import Invalid

TYPE: Final = "$type"
_ODD: Final = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}
Value = TypeVar("Value")


def to_plain(value: object, annotation: Any = None) -> Any:
    """A value as plain JSON. annotation: as what `from_plain` will read it; by default its own class.

    Raises TypeError for what is not carried.
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _object_of(value, type(value) if annotation is None else annotation)
    if isinstance(value, Mapping):
        inner = _arguments(annotation)[1]
        return {_key(key): to_plain(each, inner) for key, each in value.items()}
    if isinstance(value, (tuple, list)):
        inners = _items(annotation, len(value)) or (None,) * len(value)
        return [to_plain(each, inner) for each, inner in zip(value, inners, strict=True)]
    return _scalar(value)


def from_plain(kind: type[Value], plain: Any, *, path: str = "") -> Value:
    """The inverse of `to_plain` for a dataclass. Raises Invalid naming the path of what does not fit."""
    return cast("Value", _read(kind, plain, path))


def _object_of(value: Any, annotation: Any) -> dict[str, Any]:
    kind: Any = type(value)
    hints = _hints(kind)
    plain: dict[str, Any] = {}
    if len(_classes(annotation)) > 1:
        plain[TYPE] = type(value).__name__
    for each in dataclasses.fields(value):
        told = getattr(value, each.name)
        if not each.init or (told is None and each.default is None):
            continue
        plain[each.name] = to_plain(told, hints[each.name])
    return plain


def _scalar(value: object) -> Any:
    if isinstance(value, Enum):
        return value.value
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, numbers.Integral):
        return int(value)
    if isinstance(value, numbers.Real) and not isinstance(value, numbers.Rational):
        return _number(float(value))
    if isinstance(value, datetime):
        return format_moment(value)
    if isinstance(value, timedelta):
        return value // MICROSECOND
    raise TypeError(f"{type(value).__name__} is not carried as JSON: {value!r}")


def _number(value: float) -> float | str:
    return value if math.isfinite(value) else str(value)


def _key(key: object) -> str:
    text = key.value if isinstance(key, Enum) else key
    if isinstance(text, bool) or not isinstance(text, (str, int)):
        raise TypeError(f"{key!r} is not carried as a key")
    return str(text)


def _read(annotation: Any, plain: Any, path: str) -> Any:
    members = _members(annotation)
    if Any in members or object in members:
        return plain
    if plain is None:
        if types.NoneType in members:
            return None
        raise Invalid("must not be null", field=path)
    if isinstance(plain, Mapping):
        return _read_object(annotation, plain, path)
    if isinstance(plain, list):
        inners = _items(annotation, len(plain))
        if inners is None:
            raise Invalid("must not be a list", field=path)
        read = [
            _read(inner, each, f"{path}[{i}]")
            for i, (inner, each) in enumerate(zip(inners, plain, strict=True))
        ]
        return read if any(typing.get_origin(member) is list for member in members) else tuple(read)
    return _read_scalar(annotation, plain, path)


def _read_object(annotation: Any, plain: Mapping[str, Any], path: str) -> Any:
    kinds = _classes(annotation)
    if not kinds:
        kind, inner = _arguments(annotation)
        if inner is None:
            raise Invalid("must not be an object", field=path)
        return {
            _read_key(kind, key, path): _read(inner, each, f"{path}.{key}" if path else key)
            for key, each in plain.items()
        }
    named = plain.get(TYPE, kinds[0].__name__)
    found = next((kind for kind in kinds if kind.__name__ == named), None)
    if found is None:
        raise Invalid(f"{named!r} is not known by this version of Touchstone", field=path or TYPE)
    return _read_dataclass(found, plain, path)


def _read_dataclass(kind: Any, plain: Mapping[str, Any], path: str) -> Any:
    hints = _hints(kind)
    unknown = plain.keys() - hints.keys() - {TYPE}
    if unknown:
        first = min(unknown)
        raise Invalid(
            "is not known by this version of Touchstone", field=f"{path}.{first}" if path else first
        )
    told = {
        name: _read(hints[name], plain[name], f"{path}.{name}" if path else name)
        for name in hints
        if name in plain
    }
    try:
        return kind(**told)
    except TypeError as error:
        raise Invalid(f"a value is missing: {error}", field=path or kind.__name__) from error


def _read_scalar(annotation: Any, plain: Any, path: str) -> Any:
    for member in _members(annotation):
        try:
            if isinstance(member, type) and issubclass(member, Enum):
                return member(plain)
            if member is datetime and isinstance(plain, str):
                return parse_moment(plain)
        except ValueError as error:
            raise Invalid(str(error), field=path) from error
        if member is timedelta and isinstance(plain, int):
            return timedelta(microseconds=plain)
        if member is float and isinstance(plain, str) and plain in _ODD:
            return _ODD[plain]
        if _fits(member, plain):
            return plain
    raise Invalid(f"{plain!r} does not fit", field=path)


def _fits(member: Any, plain: Any) -> bool:
    if typing.get_origin(member) is typing.Literal:
        return plain in typing.get_args(member)
    if member is bool or isinstance(plain, bool):
        return member is bool and isinstance(plain, bool)
    if member in (int, float):
        return isinstance(plain, (int, float))
    return member is str and isinstance(plain, str)


def _read_key(kind: Any, key: str, path: str) -> Any:
    if kind is int:
        try:
            return int(key)
        except ValueError as error:
            raise Invalid(f"the key {key!r} is not a whole number", field=path) from error
    return _read_scalar(kind, key, path) if isinstance(kind, type) and issubclass(kind, Enum) else key


@cache
def _hints(kind: Any) -> dict[str, Any]:
    hints = typing.get_type_hints(kind)
    return {each.name: hints[each.name] for each in dataclasses.fields(kind) if each.init}


def _members(annotation: Any) -> tuple[Any, ...]:
    if typing.get_origin(annotation) in (Union, types.UnionType):
        return typing.get_args(annotation)
    return (annotation,)


def _classes(annotation: Any) -> list[Any]:
    return [member for member in _members(annotation) if dataclasses.is_dataclass(member)]


def _arguments(annotation: Any) -> tuple[Any, Any]:
    """The annotations of keys and values where a mapping is allowed; else None."""
    for member in _members(annotation):
        if isinstance(origin := typing.get_origin(member), type) and issubclass(origin, Mapping):
            key, value = typing.get_args(member)
            return key, value
    return None, None


def _items(annotation: Any, count: int) -> Sequence[Any] | None:
    """The annotation of each item of a tuple or list of `count` items; None where neither is allowed."""
    for member in _members(annotation):
        origin, arguments = typing.get_origin(member), typing.get_args(member)
        if origin is tuple and not (len(arguments) == 2 and arguments[1] is Ellipsis):
            return arguments if len(arguments) == count else None
        if isinstance(origin, type) and issubclass(origin, Sequence):
            return (arguments[0],) * count
    return None
