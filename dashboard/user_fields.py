"""What somebody writes into the form of an attribute, as the value that is stored. Pure."""

import json
import math
from datetime import UTC, datetime
from typing import Any, Final

from dashboard.viewer import zone

KINDS: Final = ("text", "number", "boolean", "time", "list", "none")
"""What an attribute may be given as; `none` takes it away."""
YES: Final = "true"
NO: Final = "false"


class NotAValueError(ValueError):
    """What was written is no value of its kind; `str` is the key of the text that says so."""


def attribute_value(kind: str, written: str) -> Any:
    """The value of an attribute; raises NotAValueError.

    >>> attribute_value("number", " 12.5 "), attribute_value("list", "a, b"), attribute_value("none", "x")
    (12.5, ['a', 'b'], None)
    """
    text = written.strip()
    if kind == "none":
        return None
    if not text:
        raise NotAValueError("users.attribute.empty")
    if kind == "number":
        return _number(text)
    if kind == "boolean":
        return text == YES
    if kind == "time":
        return _time(text)
    return [part for each in text.split(",") if (part := each.strip())] if kind == "list" else text


def shown(value: Any) -> str:
    """A value as a person reads it.

    >>> shown("a"), shown(["a", "b"]), shown(True), shown({"a": 1})
    ('a', 'a, b', 'true', '{"a": 1}')
    """
    if isinstance(value, str):
        return value
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        return ", ".join(value)
    return json.dumps(value, ensure_ascii=False)


def _number(text: str) -> int | float:
    try:
        found = json.loads(text)
    except ValueError as error:
        raise NotAValueError("users.attribute.no_number") from error
    if isinstance(found, bool) or not isinstance(found, int | float) or not math.isfinite(found):
        raise NotAValueError("users.attribute.no_number")
    return found


def _time(text: str) -> str:
    """ISO 8601 in UTC, as conditions compare times; one without a zone is of the viewer's."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise NotAValueError("users.attribute.no_time") from error
    local = found if found.tzinfo else found.replace(tzinfo=zone())
    return f"{local.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
