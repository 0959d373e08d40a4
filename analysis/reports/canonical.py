r"""Canonical JSON: one text for one value, so that equal documents have equal bytes and one hash.

The rules:
1. UTF-8, no white space between tokens.
2. Keys are texts, sorted by code point. The order of lists is kept: it means something.
3. A float is written by `repr`: the shortest digits that read back as the same float, with its point or exponent (`1.0`,
   `1e+16`, `-0.0`). A whole number is written in digits. So `1` and `1.0` are two values.
4. NaN and infinities are refused: JSON has no word for them (`dataclass_json.py` writes them as texts).
5. Texts are written as they are, except `"`, `\`, and control characters, which JSON wants escaped (`\n`, `\u0000`). Nothing is
   normalised. Half a surrogate pair has no bytes and is refused.
"""

import hashlib
import json
from collections.abc import Mapping
from itertools import zip_longest
from typing import Any, Final

ABSENT: Final = "(absent)"
_LONGEST_SHOWN: Final = 120


def canonical(value: object) -> bytes:
    """The canonical JSON of plain values (None, bool, int, float, str, lists and objects of them).

    Raises ValueError for what has no canonical form.

    >>> canonical({"b": [1, 1.0, 1e16], "a": "\u00e9"}).decode()
    '{"a":"é","b":[1,1.0,1e+16]}'
    """
    _only_texts_as_keys(value)
    try:
        return json.dumps(
            value, sort_keys=True, ensure_ascii=False, allow_nan=False, separators=(",", ":")
        ).encode()
    except TypeError as error:
        raise ValueError(f"has no canonical JSON: {error}") from error


def content_hash(value: object) -> str:
    """SHA-256 of the canonical JSON, as 64 hexadecimal digits.

    >>> content_hash({"a": 1, "b": 2}) == content_hash({"b": 2, "a": 1})
    True
    """
    return hashlib.sha256(canonical(value)).hexdigest()


def first_difference(left: Any, right: Any, *, path: str = "") -> tuple[str, str, str] | None:
    """The path of the first difference in canonical order, and both values there as text; None when there is none.

    >>> first_difference({"a": [1, {"b": 2.0}]}, {"a": [1, {"b": 2}]})
    ('a[1].b', '2.0', '2')
    """
    if left is _Absent or right is _Absent or (parts := _parts(left, right, path)) is None:
        same = left is not _Absent and right is not _Absent and canonical(left) == canonical(right)
        return None if same else (path, _shown(left), _shown(right))
    found = (first_difference(ours, theirs, path=place) for place, ours, theirs in parts)
    return next((difference for difference in found if difference is not None), None)


def _parts(left: Any, right: Any, path: str) -> list[tuple[str, Any, Any]] | None:
    """The parts of two objects or of two lists with their paths; None for anything else."""
    if isinstance(left, Mapping) and isinstance(right, Mapping):
        return [
            (f"{path}.{key}" if path else key, left.get(key, _Absent), right.get(key, _Absent))
            for key in sorted(left.keys() | right.keys())
        ]
    if isinstance(left, (list, tuple)) and isinstance(right, (list, tuple)):
        pairs = zip_longest(left, right, fillvalue=_Absent)
        return [(f"{path}[{i}]", ours, theirs) for i, (ours, theirs) in enumerate(pairs)]
    return None


class _Absent:
    """Stands for a value that is not there."""


def _shown(value: Any) -> str:
    if value is _Absent:
        return ABSENT
    text = canonical(value).decode()
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]} .."


def _only_texts_as_keys(value: object) -> None:
    # The library would write the key 1 as "1", which may be there already.
    if isinstance(value, Mapping):
        for key, each in value.items():
            if not isinstance(key, str):
                raise ValueError(f"has no canonical JSON: the key {key!r} is not a text")  # noqa: TRY004  # as json says it
            _only_texts_as_keys(each)
    elif isinstance(value, (list, tuple)):
        for each in value:
            _only_texts_as_keys(each)
