"""What a change of the audit log changed, value by value, and how its author may be asked for."""

import json
from collections.abc import Mapping
from typing import Any, Final

KINDS: Final = (
    "experiment",
    "user",
    "segment",
    "rule",
    "metric",
    "attribute",
    "pull",
    "import",
    "webhook",
    "breaker",
    "account",
    "member",
    "key",
)
"""What the log is about, in the API's own words."""
MOST_LETTERS: Final = 80


def differences(before: Mapping[str, Any] | None, after: Mapping[str, Any] | None) -> list[str]:
    """Each value that is not the same, as `name: before → after`; a dash for what was not there.

    >>> differences({"role": "reader", "disabled": False}, {"role": "admin", "disabled": False})
    ['role: reader → admin']
    >>> differences(None, {"name": "shop"})
    ['name: shop']
    """
    old, new = before or {}, after or {}
    lines = []
    for name in [*old, *(name for name in new if name not in old)]:
        if name in old and name in new and old[name] == new[name]:
            continue
        parts = [_shown(old, name)] if before is not None else []
        parts += [_shown(new, name)] if after is not None else []
        lines.append(f"{name}: {' → '.join(parts)}")
    return lines


def actor_asked(text: str) -> str:
    """An author as the log names them: an e-mail is a member's.

    >>> actor_asked(" Ada@example.com "), actor_asked("command line")
    ('member:ada@example.com', 'command line')
    """
    text = text.strip()
    return f"member:{text.lower()}" if "@" in text and ":" not in text else text


def _shown(values: Mapping[str, Any], name: str) -> str:
    if name not in values or values[name] is None:
        return "–"
    value = values[name]
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= MOST_LETTERS else text[: MOST_LETTERS - 1] + "…"
