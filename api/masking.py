"""What may be shown to whom without the numbers of people: bodies of webhooks, attributes of users, the quality of imports."""

import json
import re
from collections.abc import Mapping
from typing import Any, Final

from targeting.profile import mask_phone

_NUMBER: Final = re.compile(r"\+?\d(?:[ ().\-/]{0,2}\d){6,}")
"""Seven digits or more, however they are grouped."""
_INTERNATIONAL: Final = re.compile(r"\+\d(?:[ ().\-/]{0,2}\d){6,}")
"""Of an attribute a number is one when it says so: without the plus it may be that of an order .."""
_NAMES_A_PHONE: Final = re.compile(
    r"phone|mobile|m[oó]vil|telef|celular|whats_?app|msisdn|e\.?164|手机|手機|电话|電話", re.IGNORECASE
)
_SHORT_NAMES: Final = frozenset({"tel", "cell", "fax", "gsm", "wa", "mobil", "mobiel", "handy"})
_WORD: Final = re.compile(r"[A-Z]*[a-z]+|[A-Z]+")
_WHOLE: Final = re.compile(r"\s*\+?\(?\d(?:[ ().\-/]{0,2}\d){6,14}\s*")
""".. unless its name says so, and it is nothing but a number."""
_DAY: Final = re.compile(r"\s*\d{4}-\d\d-\d\d")
_LEAST, _MOST = 10**6, 10**15
_WAMID: Final = re.compile(r"wamid\.[A-Za-z0-9+/=_-]+")
_OURS: Final = frozenset({"phone_number_id", "display_phone_number", "message_template_id"})
"""Numbers that name no person; so does `id` of an entry, and whatever ends in `time` or `timestamp`."""


def masked_body(body: bytes) -> str:
    """The body as indented JSON, or as it is when it is none; of each number of a person only the last two digits are left.

    WhatsApp's ids of messages hold the number too, so they are cut.

    >>> print(masked_body(b'["+12025550101"]'))
    [
      "…01"
    ]
    """
    try:
        read = json.loads(body)
    except (ValueError, RecursionError):
        return _printable(_masked(body.decode(errors="replace")))
    return _printable(json.dumps(_shown(read), ensure_ascii=False, indent=2))


def masked_attributes(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Attributes as readers see them: of each number only its last two digits are left, be it international (`+..`, anywhere in a
    text, or in a name) or the whole value of what is called like a phone.

    >>> masked_attributes({"office": "call +1 202 555 0101", "mobile": "2025550102", "order": "12025550101"})
    {'office': 'call …01', 'mobile': '…02', 'order': '12025550101'}
    """
    masked: dict[str, Any] = without_numbers(attributes)
    return masked


def without_numbers(value: Any, *, called: str = "") -> Any:
    """The same of any JSON, which is the value of what is `called` so; WhatsApp's ids of messages hold the number too, so they are
    cut.
    """
    return _without(value, names_a_phone(called))


def names_a_phone(name: str) -> bool:
    """Whether what is called so is likely to hold phone numbers.

    >>> [names_a_phone(name) for name in ("mobileNumber", "wa_id", "Tel.", "Telefon", "total", "wallet")]
    [True, True, True, True, False, False]
    """
    words = (word.lower() for word in _WORD.findall(name))
    return _NAMES_A_PHONE.search(name) is not None or not _SHORT_NAMES.isdisjoint(words)


def masked_quality(quality: Mapping[str, Any]) -> dict[str, Any]:
    """The quality of an import as readers see it: of a column that is called like a phone neither the values nor the smallest and the
    largest number, which are somebody's.
    """
    columns = [
        {**column, "numbers": None, "categories": None}
        if names_a_phone(column["name"]) or names_a_phone(column["meaning"])
        else column
        for column in quality["columns"]
    ]
    masked: dict[str, Any] = without_numbers({**quality, "columns": columns})
    return masked


def _without(value: Any, is_phone: bool) -> Any:
    if isinstance(value, str):
        if is_phone and _WHOLE.fullmatch(value) and not _DAY.match(value):
            return mask_phone(value.strip())
        text = _WAMID.sub("wamid.\N{HORIZONTAL ELLIPSIS}", value)
        return _INTERNATIONAL.sub(lambda found: str(mask_phone(found[0])), text)
    if isinstance(value, Mapping):
        return {
            _without(name, False): _without(inner, is_phone or names_a_phone(name))
            for name, inner in value.items()
        }
    if isinstance(value, (list, tuple)):
        return [_without(each, is_phone) for each in value]
    if (
        is_phone
        and not isinstance(value, bool)
        and isinstance(value, int | float)
        and _LEAST <= value < _MOST
    ):
        return mask_phone(f"{value:.0f}")
    return value


def _shown(part: Any) -> Any:
    if isinstance(part, Mapping):
        is_entry = "changes" in part
        return {
            _masked(name): value if _is_harmless(name, is_entry, value) else _shown(value)
            for name, value in part.items()
        }
    if isinstance(part, list):
        return [_shown(each) for each in part]
    if isinstance(part, str):
        return _masked(part)
    if isinstance(part, int) and len(str(part)) > 6:
        return _masked(str(part))
    return part


def _is_harmless(name: str, is_entry: bool, value: Any) -> bool:
    if isinstance(value, (Mapping, list)):
        return False
    return name in _OURS or name.endswith(("time", "timestamp")) or (is_entry and name == "id")


def _masked(text: str) -> str:
    text = _WAMID.sub("wamid.\N{HORIZONTAL ELLIPSIS}", text)
    return _NUMBER.sub(lambda found: str(mask_phone(found[0])), text)


def _printable(text: str) -> str:
    """Anybody may have sent it: nothing in it may steer a terminal."""
    return "".join(
        sign if sign.isprintable() or sign == "\n" else "\N{REPLACEMENT CHARACTER}" for sign in text
    )
