"""What may be shown to whom without the numbers of people: bodies of webhooks, attributes of users."""

import json
import re
from collections.abc import Mapping
from typing import Any, Final

from targeting.profile import mask_phone

_NUMBER: Final = re.compile(r"\+?\d(?:[ ().\-/]{0,2}\d){6,}")
"""Seven digits or more, however they are grouped."""
_INTERNATIONAL: Final = re.compile(r"\+\d(?:[ ().\-/]{0,2}\d){6,}")
"""Of an attribute a number is one when it says so: without the plus it may be that of an order."""
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
    """Attributes as readers see them: of each text that holds an international number only its last two digits are left.

    >>> masked_attributes({"mobile": "+1 202 555 0101", "order": "12025550101"})
    {'mobile': '…01', 'order': '12025550101'}
    """
    return {name: without_numbers(value) for name, value in attributes.items()}


def without_numbers(value: Any) -> Any:
    """The same of any JSON; WhatsApp's ids of messages hold the number too, so they are cut."""
    if isinstance(value, str):
        text = _WAMID.sub("wamid.\N{HORIZONTAL ELLIPSIS}", value)
        return _INTERNATIONAL.sub(lambda found: str(mask_phone(found[0])), text)
    if isinstance(value, Mapping):
        return masked_attributes(value)
    return [without_numbers(each) for each in value] if isinstance(value, (list, tuple)) else value


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
