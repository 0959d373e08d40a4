"""Factors: content, send time and frequency crossed into variants from one declaration (a factorial experiment)."""

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from math import prod
from typing import Any, Final, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from experiments.errors import Problem
from experiments.metrics import KEY_PATTERN
from experiments.treatments import Treatment, Variant

MAX_FACTORS: Final = 4
MAX_VARIANTS: Final = 50
_LONGEST_KEY: Final = 63
_PLACE: Final = re.compile(r"variants\[(\d+)\](.*)", re.DOTALL)
PARTS: Final = tuple(Treatment.model_fields)
"""What a level may set: message, send_time, frequency."""


class Level(Treatment):
    """One of the values of a factor. What it leaves out is as in `treatment`."""

    key: str = Field(pattern=KEY_PATTERN)
    weight: float = Field(1.0, gt=0, le=1e6, strict=True, allow_inf_nan=False)


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
    is wrong with it, its own validation says. Crossing twice is crossing once: combinations may be listed, as they are made.
    """
    listed = document.get("variants") or ()
    if not document.get("factors") or not isinstance(listed, list | tuple):
        return document, []
    try:
        declared = _Declared.model_validate(document)
    except ValidationError:
        return document, []
    problems = list(_problems(declared.factors))
    if problems:
        return document, problems
    made = [_cell(declared.treatment, levels, declared.factors) for levels in _combinations(declared.factors)]
    own = [variant for variant in listed if not _is_made(variant)]
    if not any(isinstance(variant, Mapping) and variant.get("control") for variant in own):
        made[0]["control"] = True
    problems = list(_problems_of_copies(listed, made))
    return (document if problems else {**document, "variants": [*made, *own]}), problems


def as_written(
    problems: Sequence[Problem], *, document: Mapping[str, Any], whole: Mapping[str, Any]
) -> list[Problem]:
    """Problems of a crossed document (`whole`), each with the path that its field has in the document itself."""
    if whole is document:
        return list(problems)
    factors = _Declared.model_validate(document).factors
    own = [index for index, variant in enumerate(document.get("variants") or ()) if not _is_made(variant)]
    made = len(whole["variants"]) - len(own)

    def field_of(problem: Problem) -> str:
        place = _PLACE.fullmatch(problem.field)
        if place is None:
            return problem.field
        index = int(place[1])
        if index >= made:
            return f"variants[{own[index - made]}]{place[2]}"
        return written_path(factors, whole["variants"][index]["levels"], place[2])

    # What is wrong with one level is wrong with each combination that has it.
    return list(dict.fromkeys(Problem(field_of(problem), problem.message) for problem in problems))


def written_path(factors: Sequence[Factor], levels: Mapping[str, str], path: str) -> str:
    """Where a part of a combination was written: `.message.text` may be `factors[0].levels[1].message.text`.

    What no level sets stands in `treatment`, and what is wrong with the whole combination comes from all `factors`.
    """
    part = re.split(r"[.\[]", path.removeprefix("."), maxsplit=1)[0]
    if part not in PARTS:
        return "factors"
    for i, factor in enumerate(factors):
        for j, level in enumerate(factor.levels):
            if level.key == levels[factor.key] and getattr(level, part) is not None:
                return f"factors[{i}].levels[{j}]{path}"
    return f"treatment{path}"


def _is_made(variant: Any) -> bool:
    """Whether a listed variant says that it is a combination of levels."""
    return isinstance(variant, Mapping) and bool(variant.get("levels"))


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


def _problems_of_copies(listed: Sequence[Any], made: Sequence[Mapping[str, Any]]) -> Iterator[Problem]:
    """What differs between the combinations that are listed and those that are made; nothing where none is listed."""
    by_key = {variant["key"]: variant for variant in made}
    seen: set[Any] = set()
    for index, variant in enumerate(listed):
        if not _is_made(variant):
            continue
        mine = by_key.get(variant.get("key"))
        if mine is None or variant["key"] in seen:
            yield Problem(
                f"variants[{index}]", "is not a combination of the `factors`; change those, or leave it out"
            )
        elif not _same(variant, mine):
            yield Problem(
                f"variants[{index}]", "is not as the `factors` make it; change those, or leave it out"
            )
        seen.add(variant.get("key"))
    missing = [key for key in by_key if key not in seen]
    if seen and missing:
        yield Problem(
            "variants", f"lists some combinations of the `factors`, but not {missing[0]!r}; list all or none"
        )


def _same(listed: Mapping[str, Any], made: Mapping[str, Any]) -> bool:
    try:
        expected = Variant.model_validate(made)
    except ValidationError:
        return True  # what is wrong with it is said of the combination itself
    try:
        return Variant.model_validate(listed) == expected
    except ValidationError:
        return False


def _problems(factors: tuple[Factor, ...]) -> Iterator[Problem]:
    seen: dict[str, str] = {}
    for index, factor in enumerate(factors):
        if factor.key in {other.key for other in factors[:index]}:
            yield Problem(f"factors[{index}].key", f"{factor.key!r} is used twice")
        if not factor.parts:
            yield Problem(f"factors[{index}].levels", "set nothing: give message, send_time or frequency")
        for part in sorted(factor.parts):
            if part in seen:
                yield Problem(
                    f"factors[{index}].levels",
                    f"set `{part}`, as the factor {seen[part]!r} does; one factor, one part",
                )
            seen.setdefault(part, factor.key)
    number = prod(len(factor.levels) for factor in factors)
    if number > MAX_VARIANTS:
        yield Problem("factors", f"make {number} variants, and {MAX_VARIANTS} are the most there can be")
    longest = sum(max(len(level.key) for level in factor.levels) for factor in factors) + len(factors) - 1
    if longest > _LONGEST_KEY:
        yield Problem(
            "factors",
            f"make keys of up to {longest} characters (the levels' keys with a dot between); {_LONGEST_KEY} is the most",
        )
