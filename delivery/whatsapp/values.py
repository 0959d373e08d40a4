"""Odd JSON read as values: a text, a code, a moment, or None. Nothing here raises."""

import re
from datetime import UTC, datetime
from typing import Any, Final

_MILLIS: Final = 100_000_000_000
"""Seconds since 1970 reach this in the year 5138: what is larger counts milliseconds."""
_BIRTH: Final = 1_230_768_000
"""2009, the year of WhatsApp: nothing of it can have happened before."""
_TIER: Final = re.compile(r"(?:TIER_)?(\d{1,9})(K|M)?", re.ASCII)
_FACTOR: Final = {None: 1, "K": 1_000, "M": 1_000_000}
UNLIMITED: Final = frozenset({"UNLIMITED", "TIER_UNLIMITED", "-1"})
_LARGEST: Final = 2**31 - 1


def dicts(value: object) -> list[dict[str, Any]]:
    """The JSON objects in a list; of anything else, none."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def dict_or_empty(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def text(value: object) -> str | None:
    """A non-empty text that any database can store; ids that come as whole numbers count as text."""
    if isinstance(value, str):
        if value.isascii() and "\0" not in value:
            return value or None
        return value.replace("\0", "").encode(errors="replace").decode() or None
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else None


def code(value: object) -> int | None:
    """A whole number, also as text."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 10:
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def moment(value: object) -> datetime | None:
    """Seconds (or milliseconds) since 1970, as text or number, as UTC; None when it is no such thing, or before there was WhatsApp."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    try:
        seconds = float(value)
        seconds = seconds / 1000 if seconds >= _MILLIS else seconds
        return datetime.fromtimestamp(seconds, UTC) if seconds >= _BIRTH else None
    except (ValueError, OverflowError, OSError):
        return None


def digits(value: object) -> str | None:
    """The digits of a phone number, however it is written.

    >>> digits("+1 202-555-0123")
    '12025550123'
    """
    found = "".join(sign for sign in text(value) or "" if sign.isascii() and sign.isdigit())
    return found if 5 <= len(found) <= 20 else None


def limit(value: object) -> tuple[bool, int | None]:
    """Whether this is a limit of people in a day, and which: None is no bound.

    >>> limit("TIER_2K"), limit(250), limit("TIER_UNLIMITED"), limit("TIER_NOT_SET")
    ((True, 2000), (True, 250), (True, None), (False, None))
    """
    word = (text(value) or "").upper()
    if word in UNLIMITED:
        return True, None
    match = _TIER.fullmatch(word)
    number = int(match[1]) * _FACTOR[match[2]] if match else 0
    return (True, number) if 0 < number <= _LARGEST else (False, None)
