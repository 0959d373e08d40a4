"""What may be wrong with a valid condition: worth a warning, and no more."""

import difflib
from collections.abc import Collection, Mapping
from typing import Any, Final

from targeting.conditions.needs import needs_of
from targeting.conditions.values import readable

MAX_WARNINGS: Final = 20


def unknown_attributes(condition: Mapping[str, Any], known: Collection[str]) -> list[str]:
    """A warning for each attribute of a condition that no user is known to have, with the nearest one that some have.

    Nothing when `known` is empty: then nobody has looked yet.

    >>> unknown_attributes({"contry": "NL"}, ["country", "age"])
    ['`contry` is no known attribute; did you mean `country`?']
    """
    if not known:
        return []
    named = sorted(name for name in needs_of(condition).attributes if not name.startswith("$"))
    unknown = [name for name in named if name not in known]
    warnings = [f"`{readable(name)}` is no known attribute{_nearest(name, known)}" for name in unknown]
    return warnings[:MAX_WARNINGS]


def _nearest(name: str, known: Collection[str]) -> str:
    lowered = {one.lower(): one for one in sorted(known)}
    close = difflib.get_close_matches(name.lower(), lowered, n=1)
    return f"; did you mean `{lowered[close[0]]}`?" if close else ""
