"""Variants, one by one or crossed from factors. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from math import prod
from typing import Any, Final

from dashboard.campaign.documents import Document, Path, at, items_at, with_value

PARTS: Final = ("message", "send_time", "frequency")
FACTOR_KEYS: Final = {"message": "content", "send_time": "hour", "frequency": "frequency"}
"""What a new factor of a part is called."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One arm as it will be: its share of the traffic, and what it does to a user."""

    key: str
    share: float | None
    control: bool
    treatment: Mapping[str, Any]
    levels: Mapping[str, str]

    @property
    def silent(self) -> bool:
        return self.treatment.get("message") is None


def is_crossed(document: Document) -> bool:
    return bool(at(document, ("factors",)))


def parts_of(factor: Any) -> list[str]:
    """Which parts of a treatment the levels of a factor set."""
    levels = items_at(factor, ("levels",))
    return [part for part in PARTS if any(at(level, (part,)) is not None for level in levels)]


def varied_parts(document: Document) -> list[str]:
    """The parts that some factor varies."""
    found = [parts_of(factor) for factor in items_at(document, ("factors",))]
    return [part for part in PARTS if any(part in parts for parts in found)]


def cells(document: Document) -> list[Cell]:
    """Every arm that the API will make of the document: combinations first, then variants of its own.

    A share is None where a weight is no number.
    """
    rows = [*_combinations(document), *(_row(variant) for variant in items_at(document, ("variants",)))]
    if is_crossed(document) and not any(row["control"] for row in rows) and rows:
        rows[0]["control"] = True
    weights = [row["weight"] for row in rows]
    known = all(isinstance(weight, int | float) and not isinstance(weight, bool) for weight in weights)
    total = sum(weights) if known else 0
    return [
        Cell(
            key=row["key"],
            share=row["weight"] / total if total else None,
            control=row["control"],
            treatment=row["treatment"],
            levels=row["levels"],
        )
        for row in rows
    ]


def _row(variant: Any) -> dict[str, Any]:
    return {
        "key": str(at(variant, ("key",), "")),
        "weight": at(variant, ("weight",), 1),
        "control": at(variant, ("control",)) is True,
        "treatment": {part: at(variant, (part,)) for part in PARTS if at(variant, (part,)) is not None},
        "levels": at(variant, ("levels",), {}),
    }


def _combinations(document: Document) -> list[dict[str, Any]]:
    factors = items_at(document, ("factors",))
    levels = [items_at(factor, ("levels",)) for factor in factors]
    if not factors or not all(levels):
        return []
    common = {part: at(document, ("treatment", part)) for part in PARTS}
    rows = []
    for chosen in product(*levels):
        weights = [at(level, ("weight",), 1) for level in chosen]
        known = all(isinstance(weight, int | float) for weight in weights)
        treatment = dict(common)
        for level in chosen:
            treatment |= {part: at(level, (part,)) for part in PARTS if at(level, (part,)) is not None}
        rows.append(
            {
                "key": ".".join(str(at(level, ("key",), "")) for level in chosen),
                "weight": prod(weights) if known else None,
                "control": False,
                "treatment": {part: value for part, value in treatment.items() if value is not None},
                "levels": {
                    str(at(factor, ("key",), "")): str(at(level, ("key",), ""))
                    for factor, level in zip(factors, chosen, strict=True)
                },
            }
        )
    return rows


def crossed(document: Any) -> Any:
    """The document with its variants as the levels of a factor `content`; silent ones stay as they are."""
    variants = items_at(document, ("variants",))
    silent = [variant for variant in variants if at(variant, ("message",)) is None]
    speaking = [variant for variant in variants if at(variant, ("message",)) is not None]
    levels = [_level(variant) for variant in speaking]
    while len(levels) < 2:
        taken = [str(at(level, ("key",), "")) for level in levels]
        levels.append({"key": free_key("message", taken), "message": {}})
    first = speaking[0] if speaking else {}
    common = {part: first[part] for part in ("send_time", "frequency") if at(first, (part,)) is not None}
    found = with_value(document, ("factors",), [{"key": "content", "levels": levels}])
    found = with_value(found, ("variants",), silent or None)
    return with_value(found, ("treatment",), common or None)


def _level(variant: Mapping[str, Any]) -> dict[str, Any]:
    return {name: variant[name] for name in ("key", "weight", "message") if name in variant}


def uncrossed(document: Any) -> Any:
    """The document with every combination written out as a variant, and without factors."""
    if not is_crossed(document):
        return document
    variants = [
        {
            "key": row["key"],
            **({"control": True} if cell.control else {}),
            **({} if row["weight"] == 1 else {"weight": row["weight"]}),
            **row["treatment"],
        }
        for row, cell in zip(_combinations(document), cells(document), strict=False)
    ]
    own = items_at(document, ("variants",))
    found = with_value(document, ("variants",), [*variants, *own])
    return with_value(with_value(found, ("factors",), None), ("treatment",), None)


def vary(document: Any, part: str) -> Any:
    """The document with a factor of its own for `part`: two levels, the first of which is what all had."""
    common = at(document, ("treatment", part))
    taken = [str(at(factor, ("key",), "")) for factor in items_at(document, ("factors",))]
    first, second = _first_levels(part, common)
    key = FACTOR_KEYS[part] if FACTOR_KEYS[part] not in taken else free_key(FACTOR_KEYS[part], taken)
    factor = {"key": key, "levels": [first, second]}
    found = with_value(document, ("factors",), [*items_at(document, ("factors",)), factor])
    return with_value(found, ("treatment", part), None)


def _first_levels(part: str, common: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    if part == "send_time":
        return (
            {"key": "morning", "send_time": common or {"local_time": "09:30"}},
            {"key": "evening", "send_time": {"local_time": "18:30"}},
        )
    if part == "frequency":
        return (
            {"key": "once", "frequency": common or {"steps": 1}},
            {"key": "twice", "frequency": {"steps": 2, "min_interval": "72h"}},
        )
    return {"key": "message-1", "message": common or {}}, {"key": "message-2", "message": {}}


def free_key(stem: str, taken: Sequence[str]) -> str:
    """`stem` with the first number that makes it a key which is not taken.

    >>> free_key("variant", ["variant-1"])
    'variant-2'
    """
    return next(f"{stem}-{n}" for n in range(1, len(taken) + 2) if f"{stem}-{n}" not in taken)


def with_control(document: Any, key: str | None) -> Any:
    """The document in which the listed variant `key` is the control, and no other."""
    if key == control_of(document):
        return document
    variants: list[Any] = []
    for variant in items_at(document, ("variants",)):
        chosen = with_value(variant, ("control",), True if at(variant, ("key",)) == key and key else None)
        variants.append(chosen)
    return with_value(document, ("variants",), variants)


def with_first(document: Any, key: str) -> Any:
    """The document whose first combination is `key`: in every factor its level comes first, with which the others are compared."""
    chosen = next((cell.levels for cell in cells(document) if cell.key == key and cell.levels), None)
    if chosen is None:
        return document
    factors = []
    for factor in items_at(document, ("factors",)):
        first = chosen.get(str(at(factor, ("key",), "")))
        levels = sorted(items_at(factor, ("levels",)), key=lambda level: at(level, ("key",)) != first)
        factors.append(with_value(factor, ("levels",), levels))
    return with_value(document, ("factors",), factors)


def control_of(document: Document) -> str | None:
    """The key of the listed variant that is the control."""
    for variant in items_at(document, ("variants",)):
        if at(variant, ("control",)) is True:
            return str(at(variant, ("key",), ""))
    return None


def messages_of(document: Document) -> list[Path]:
    """The place of every message of the document."""
    places: list[Path] = [("variants", i, "message") for i in range(len(items_at(document, ("variants",))))]
    places.append(("treatment", "message"))
    for i, factor in enumerate(items_at(document, ("factors",))):
        levels = range(len(items_at(factor, ("levels",))))
        places += [("factors", i, "levels", j, "message") for j in levels]
    return [place for place in places if isinstance(at(document, place), Mapping)]
