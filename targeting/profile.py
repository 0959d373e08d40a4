"""What may stand in a user's profile: phone, time zone, locale, attributes. Pure checks, shared by every way in.

Each check returns the value as it is stored, or raises Invalid naming the field as its caller knows it.
"""

import json
import math
import re
import zoneinfo
from collections.abc import Mapping
from functools import cache, lru_cache
from typing import Any, Final

import phonenumbers
from phonenumbers import NumberParseException, PhoneNumberFormat, ValidationResult

from experiments.errors import Invalid

MAX_ID_LENGTH: Final = 200
MAX_ATTRIBUTE_NAME_LENGTH: Final = 200
MAX_CALL_BYTES: Final = 32_000
"""Largest JSON of one call's properties or traits, and of one row's attributes."""
MAX_PROFILE_BYTES: Final = 64_000
"""Largest JSON of all attributes of one user."""
MAX_DEPTH: Final = 20
ANONYMOUS_PREFIX: Final = "anonymous:"
"""Starts the user id of somebody of whom only an anonymous id is known; no caller may choose such an id."""

WHATSAPP_PREFIX: Final = "whatsapp:"
"""Starts the user id of somebody who wrote to us on WhatsApp before anybody else told us of them."""

ERASED_PREFIX: Final = "erased:"
"""Starts the random name of the empty row that is left of somebody who was erased."""

_LOCALE: Final = re.compile(r"[A-Za-z]{2,3}([_-][A-Za-z0-9]{2,8})*")
_UNSTORABLE: Final = re.compile("[\x00\ud800-\udfff]")
_encode: Final = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode
_ESCAPED_NUL: Final = "\\u0000"
_LETTER: Final = re.compile(r"[^\W\d_]")
_MANY_DIGITS: Final = re.compile(r"\d{19}")
_MAX_WHOLE: Final = 2**63 - 1
_WHY_IMPOSSIBLE: Final = {
    ValidationResult.INVALID_COUNTRY_CODE: "has an unknown country code",
    ValidationResult.TOO_SHORT: "is too short for its country",
    ValidationResult.TOO_LONG: "is too long for its country",
    ValidationResult.IS_POSSIBLE_LOCAL_ONLY: "has no area code",
    ValidationResult.INVALID_LENGTH: "has a wrong length for its country",
}


def normalise_phone(text: str, *, default_region: str, field: str = "phone") -> str:
    """The number in E.164, such as `+12025550123`; raises Invalid.

    Checked: it reads as a phone number, its country code exists, and its length is possible there. Not checked:
    whether the range is in use, because numbers reserved for fiction (+1 NXX 555 01XX) must pass, numbering plans
    change faster than libraries, and WhatsApp tells in the end. A number without + needs `default_region` (`NL`).
    """
    check_region(default_region)
    if _LETTER.search(text):
        raise Invalid("contains letters; write digits only, such as +12025550123", field=field)
    try:
        number = phonenumbers.parse(text, default_region or None)
    except NumberParseException as error:
        raise Invalid(_unreadable_phone(text, error, default_region), field=field) from error
    why = _WHY_IMPOSSIBLE.get(phonenumbers.is_possible_number_with_reason(number))
    if why is not None:
        raise Invalid(why, field=field)
    return str(phonenumbers.format_number(number, PhoneNumberFormat.E164))


def check_region(region: str, *, field: str = "default_region") -> str:
    """A country by its two capitals, such as `NL`, or nothing."""
    if region and region not in phonenumbers.SUPPORTED_REGIONS:
        raise Invalid(f"{region!r} is not a region; write two capitals such as NL", field=field)
    return region


def _unreadable_phone(text: str, error: NumberParseException, default_region: str) -> str:
    if error.error_type != NumberParseException.INVALID_COUNTRY_CODE:
        return "is not a phone number"
    if text.lstrip().startswith("+"):
        return "has an unknown country code"
    if default_region:
        return "is not a phone number"
    return "has no country code; write it with + and the country code, or give a default region"


@cache
def _time_zones() -> frozenset[str]:
    return frozenset(zoneinfo.available_timezones() - {"localtime"})


def check_time_zone(text: str, *, field: str = "time_zone") -> str:
    """An IANA name such as `Europe/Amsterdam`."""
    if text not in _time_zones():
        raise Invalid(f"{text[:64]!r} is not an IANA time zone such as Europe/Amsterdam", field=field)
    return text


def check_locale(text: str, *, field: str = "locale") -> str:
    """A language with or without a region: `nl`, `pt_BR`, `en-GB`."""
    if len(text) > 35 or _LOCALE.fullmatch(text) is None:
        raise Invalid(f"{text[:35]!r} is not a locale such as nl or pt_BR", field=field)
    return text


def check_text(text: str, *, field: str, limit: int = MAX_ID_LENGTH) -> str:
    """Text that is not empty, not longer than `limit` characters, and that every database can store."""
    if not text:
        raise Invalid("is empty", field=field)
    if len(text) > limit:
        raise Invalid(f"is longer than {limit} characters", field=field)
    if _UNSTORABLE.search(text):
        raise Invalid("contains a NUL or half a character", field=field)
    return text


def check_user_id(text: str, *, field: str = "user_id") -> str:
    """The outside world's id of a user."""
    if text.startswith(ANONYMOUS_PREFIX):
        raise Invalid(
            f"may not start with {ANONYMOUS_PREFIX!r}, which marks users without an id", field=field
        )
    if text.startswith(ERASED_PREFIX):
        raise Invalid(f"may not start with {ERASED_PREFIX!r}, which marks users who were erased", field=field)
    return check_text(text, field=field)


def check_document(document: Mapping[str, Any], *, field: str, limit: int = MAX_CALL_BYTES) -> str:
    """A JSON object that both databases store unchanged: finite numbers, 64-bit whole numbers, clean text, not too big.

    Returns it as compact JSON, so that who stores it need not encode it again.
    """
    if not document:
        return "{}"
    try:
        text = _encode(document)
        size = len(text) if text.isascii() else len(text.encode())
    except (TypeError, ValueError, RecursionError):
        # Slow but exact: only a document that is known to be wrong pays for the search of the place.
        _check_value(document, field, MAX_DEPTH)
        raise Invalid("is not a JSON document", field=field) from None
    if size > limit:
        raise Invalid(f"is {size} bytes of JSON; at most {limit} are taken", field=field)
    maybe_deep = text.count("{") + text.count("[") > MAX_DEPTH
    if maybe_deep or _ESCAPED_NUL in text or _MANY_DIGITS.search(text):
        _check_value(document, field, MAX_DEPTH)
    if not all(map(_is_name, document)):
        raise Invalid(
            f"has a name that is empty or longer than {MAX_ATTRIBUTE_NAME_LENGTH} characters", field=field
        )
    return text


@lru_cache(maxsize=10_000)
def _is_name(text: str) -> bool:
    return 0 < len(text) <= MAX_ATTRIBUTE_NAME_LENGTH


def _check_value(value: Any, path: str, depth: int) -> None:
    if depth < 0:
        raise Invalid(f"is nested deeper than {MAX_DEPTH} levels", field=path.split(".", 1)[0])
    if isinstance(value, Mapping):
        for key, item in value.items():
            if not isinstance(key, str) or _UNSTORABLE.search(key):
                raise Invalid("has a key that is not clean text", field=path)
            _check_value(item, f"{path}.{key}", depth - 1)
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            _check_value(item, f"{path}[{index}]", depth - 1)
    else:
        _check_scalar(value, path)


def _check_scalar(value: Any, path: str) -> None:
    if isinstance(value, str):
        if _UNSTORABLE.search(value):
            raise Invalid("contains a NUL or half a character", field=path)
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise Invalid("is not a finite number", field=path)
    elif isinstance(value, int):
        if abs(value) > _MAX_WHOLE:
            raise Invalid("is a whole number of more than 64 bits", field=path)
    elif value is not None:
        raise Invalid("is not a JSON value", field=path)


def merge_attributes(
    known: Mapping[str, Any], changes: Mapping[str, Any], *, field: str = "attributes"
) -> dict[str, Any]:
    """`known` with `changes` on top: a new value replaces the old one whole, null removes it. Raises Invalid by size."""
    merged = {**known, **changes}
    if None in changes.values():
        merged = {name: value for name, value in merged.items() if changes.get(name, value) is not None}
    if known and merged != known:
        size = len(_encode(merged).encode())
        if size > MAX_PROFILE_BYTES:
            raise Invalid(
                f"would grow to {size} bytes of JSON; a user has at most {MAX_PROFILE_BYTES}", field=field
            )
    return merged


def mask_phone(phone: str | None) -> str | None:
    """A phone number as it may stand in the audit log: the last two digits."""
    return None if phone is None else "\N{HORIZONTAL ELLIPSIS}" + phone[-2:]
