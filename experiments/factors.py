"""Factors: content, send time and frequency crossed into variants from one declaration (a factorial experiment)."""

from collections.abc import Mapping
from itertools import product
from math import prod
from typing import Any, Final, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from experiments.errors import Problem
from experiments.metrics import KEY_PATTERN
from experiments.treatments import Treatment

MAX_FACTORS: Final = 4
PARTS: Final = tuple(Treatment.model_fields)
"""What a level may set: message, send_time, frequency."""


class Level(Treatment):
    """One of the values of a factor. What it leaves out is as in `treatment`."""

    key: str = Field(pattern=KEY_PATTERN)
    weight: float = Field(1.0, gt=0, le=1e6, allow_inf_nan=False)


class Factor(BaseModel):
    """Something that is varied by itself. The first level is the one that the others are compared with."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: str = Field(pattern=KEY_PATTERN)
    levels: tuple[Level, ...] = Field(min_length=2, max_length=10)

    @model_validator(mode="after")
    def _levels_differ(self) -> Self:
        keys = [level.key for level in self.levels]
        if len(set(keys)) < len(keys):
            raise ValueError("two levels have the same key")
        return self

    @property
    def parts(self) -> frozenset[str]:
        """Which parts of a treatment its levels set."""
        return frozenset(part for level in self.levels for part in PARTS if getattr(level, part) is not None)


class _Declared(BaseModel):
    """The part of a document that declares factors."""

    model_config = ConfigDict(extra="ignore")

    treatment: Treatment = Treatment()
    factors: tuple[Factor, ...] = Field((), max_length=MAX_FACTORS)


def crossed(document: Mapping[str, Any]) -> tuple[Mapping[str, Any], list[Problem]]:
    """The document with a variant for each combination of levels, and what is wrong with the declaration.

    Combinations come first, in the order of the levels, and are named `LEVEL.LEVEL`; variants that the document lists itself
    (a silent arm, say) follow. The first combination is the control unless a listed variant is. The weight of a combination
    is the product of those of its levels. A document without factors, or one that cannot be read, comes back as it is: what
    is wrong with it, its own validation says. Crossing twice is crossing once.
    """
    if not document.get("factors"):
        return document, []
    try:
        declared = _Declared.model_validate(document)
    except ValidationError:
        return document, []
    problems = _problems(declared.factors)
    listed = document.get("variants") or ()
    if problems or not isinstance(listed, list | tuple):
        return document, problems
    made = [_cell(declared.treatment, levels, declared.factors) for levels in _combinations(declared.factors)]
    own, problems = _own(listed, made)
    if not any(isinstance(variant, Mapping) and variant.get("control") for variant in own):
        made[0]["control"] = True
    return {**document, "variants": [*made, *own]}, problems


def _combinations(factors: tuple[Factor, ...]) -> list[tuple[Level, ...]]:
    return list(product(*(factor.levels for factor in factors)))


def _cell(base: Treatment, levels: tuple[Level, ...], factors: tuple[Factor, ...]) -> dict[str, Any]:
    parts = {
        part: chosen.model_dump(mode="json")
        for part in PARTS
        if (chosen := next((getattr(level, part) for level in levels if getattr(level, part)), None))
        or (chosen := getattr(base, part))
    }
    return {
        "key": ".".join(level.key for level in levels),
        "weight": prod(level.weight for level in levels),
        "levels": {factor.key: level.key for factor, level in zip(factors, levels, strict=True)},
        **parts,
    }


def _own(listed: list[Any] | tuple[Any, ...], made: list[dict[str, Any]]) -> tuple[list[Any], list[Problem]]:
    """The variants that are not made from factors; one that claims to be must be as it is made."""
    keys = {variant["key"] for variant in made}
    own, problems = [], []
    for index, variant in enumerate(listed):
        levels = variant.get("levels") if isinstance(variant, Mapping) else None
        if not levels:
            own.append(variant)
        elif variant.get("key") not in keys:
            problems.append(
                Problem(f"variants[{index}].levels", "is not a combination of the factors; change `factors`")
            )
    return own, problems


def _problems(factors: tuple[Factor, ...]) -> list[Problem]:
    problems = []
    seen: dict[str, str] = {}
    for index, factor in enumerate(factors):
        if factor.key in {other.key for other in factors[:index]}:
            problems.append(Problem(f"factors[{index}].key", f"{factor.key!r} is used twice"))
        if not factor.parts:
            problems.append(
                Problem(f"factors[{index}].levels", "set nothing: give message, send_time or frequency")
            )
        for part in sorted(factor.parts):
            if part in seen:
                problems.append(
                    Problem(
                        f"factors[{index}].levels",
                        f"set `{part}`, as the factor {seen[part]!r} does; one factor, one part",
                    )
                )
            seen.setdefault(part, factor.key)
    return problems
