"""A mapping as people write it (YAML or JSON), checked: every problem is told with the path of its field."""

import difflib
import zoneinfo
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from experiments.errors import Invalid, Problem
from experiments.mistakes import path_of
from targeting.consent import MAX_SOURCE
from targeting.imports.mapping import AttributeColumn, AttributeType, ConsentColumns, ImportMapping
from targeting.profile import MAX_ATTRIBUTE_NAME_LENGTH, check_region, check_time_zone

_OPTIONS: Final[Mapping[str, frozenset[str]]] = {
    "number": frozenset({"decimal"}),
    "time": frozenset({"format", "zone"}),
    "list": frozenset({"separator", "items", "decimal"}),
    "boolean": frozenset({"positive", "negative"}),
}


Words = Annotated[
    tuple[Annotated[str, Field(min_length=1, max_length=40)], ...], Field(max_length=20, strict=False)
]
CategoryName = Annotated[str, Field(min_length=1, max_length=20)]
"""A category that there is not is told with its path when the mapping meets the columns."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


ColumnName = Annotated[str, Field(min_length=1, max_length=200)]


class ConsentPart(_Part):
    """The column that says yes or no, and those with source and evidence."""

    column: ColumnName
    source: ColumnName | None = None
    evidence: ColumnName | None = None
    positive: Words = ()
    negative: Words = ()


class AttributePart(_Part):
    """See `AttributeColumn` for what the options mean."""

    column: ColumnName
    type: AttributeType | None = None
    decimal: Literal[".", ","] = "."
    format: str | None = Field(None, min_length=1, max_length=60)
    zone: str = "UTC"
    separator: str = Field(",", min_length=1, max_length=5)
    items: Literal["text", "number"] = "text"
    positive: Words = ()
    negative: Words = ()

    @field_validator("zone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        return _told(check_time_zone, value)

    @model_validator(mode="after")
    def _options_of_the_type(self) -> Self:
        for name in sorted(self.model_fields_set - {"column", "type"}):
            if name not in _OPTIONS.get(self.type or "", ()):
                raise ValueError(f"{name} means nothing for the type {self.type or 'that is not declared'}")
        return self


def _told(check: Any, value: str) -> str:
    try:
        return str(check(value))
    except (Invalid, zoneinfo.ZoneInfoNotFoundError) as error:
        raise ValueError(error.message if isinstance(error, Invalid) else str(error)) from error


def _named(value: object) -> object:
    """A plain name stands for a column alone."""
    return {"column": value} if isinstance(value, str) else value


class MappingDocument(_Part):
    """What each column of a file is; see docs/imports.md."""

    user_id: ColumnName | None = None
    phone: ColumnName | None = None
    time_zone: ColumnName | None = None
    locale: ColumnName | None = None
    consent: dict[CategoryName, Annotated[ConsentPart, BeforeValidator(_named)]] = Field(default_factory=dict)
    consent_source: str = Field("import", min_length=1, max_length=MAX_SOURCE)
    attributes: (
        dict[
            Annotated[str, Field(min_length=1, max_length=MAX_ATTRIBUTE_NAME_LENGTH)],
            Annotated[AttributePart, BeforeValidator(_named)],
        ]
        | None
    ) = None
    other_columns: bool | None = None
    region: str | None = None
    guess: bool = True

    @field_validator("region")
    @classmethod
    def _known_region(cls, value: str | None) -> str | None:
        return value and _told(check_region, value)

    def to_mapping(self) -> ImportMapping:
        """The mapping for the import itself."""
        return ImportMapping(
            user_id=self.user_id,
            phone=self.phone,
            time_zone=self.time_zone,
            locale=self.locale,
            consent={name: ConsentColumns(**part.model_dump()) for name, part in self.consent.items()},
            consent_source=self.consent_source,
            attributes=None
            if self.attributes is None
            else {name: AttributeColumn(**part.model_dump()) for name, part in self.attributes.items()},
            other_columns=self.other_columns,
            region=self.region,
            guess=self.guess,
        )


def read_mapping(document: Mapping[str, Any]) -> MappingDocument:
    """The mapping in a document; raises Invalid with every problem and the path of its field, such as `mapping.phone`."""
    try:
        return MappingDocument.model_validate(document)
    except ValidationError as error:
        raise Invalid.of(
            [Problem(path_of(("mapping", *_place(item["loc"]))), _say(item)) for item in error.errors()]
        ) from error


def _place(location: tuple[int | str, ...]) -> tuple[int | str, ...]:
    return tuple(part for part in location if part != "[key]")


def _say(item: Mapping[str, Any]) -> str:
    if item["type"] == "extra_forbidden":
        parts: dict[object, type[BaseModel]] = {"consent": ConsentPart, "attributes": AttributePart}
        part = MappingDocument if len(item["loc"]) == 1 else parts[item["loc"][0]]
        known = list(part.model_fields)
        nearest = difflib.get_close_matches(str(item["loc"][-1]), known, n=1)
        hint = f"did you mean {nearest[0]}?" if nearest else f"there are {', '.join(known)}"
        return f"unknown field; {hint}"
    return "is required" if item["type"] == "missing" else str(item["msg"]).removeprefix("Value error, ")
