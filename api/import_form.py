"""The options of an import that come as fields of the form that holds its file."""

from dataclasses import dataclass
from typing import Any, Final, TypeVar

from pydantic import TypeAdapter, ValidationError
from starlette.datastructures import FormData, UploadFile

from api.importing import MAX_MAPPING
from experiments.errors import Invalid, Problem

FIELDS: Final = ("format", "mapping", "source", "dry_run", "background")
MAX_FIELDS: Final = 20
"""More than there are, so that a field too many can be named."""
FILE_SCHEMA: Final = {"type": "string", "format": "binary"}
SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["file"],
    "additionalProperties": False,
    "properties": {
        "file": FILE_SCHEMA,
        "format": {"type": "string", "description": "csv, jsonl or parquet"},
        "mapping": {"type": "string", "description": "YAML or JSON, as text or as a small file"},
        "source": {"type": "string", "description": "Where such files come from"},
        "dry_run": {
            "type": "boolean",
            "default": False,
            "description": "Write nothing; answer what would come of it",
        },
        "background": {
            "type": "boolean",
            "default": False,
            "description": "Answer at once with the id of the import, which tells how far it is",
        },
    },
}
T = TypeVar("T")
_BOOLEAN: Final = TypeAdapter(bool)


@dataclass(frozen=True, slots=True)
class ImportAsked:
    """The options of an import, each None where nobody said it."""

    format: str | None
    mapping: str | None
    source: str | None
    dry_run: bool | None
    background: bool | None


async def read_form(form: FormData, asked: ImportAsked) -> tuple[UploadFile, ImportAsked]:
    """The file, and the options as the address (`asked`) and the form say them together.

    Raises Invalid, naming the field, for one that there is not, that comes twice, or that differs from the address.
    """
    names = [name for name, _ in form.multi_items()]
    unknown = [name for name in dict.fromkeys(names) if name not in ("file", *FIELDS)]
    if unknown:
        raise Invalid.of(
            [
                Problem(name[:50], f"unknown field of the form; there are file, {', '.join(FIELDS)}")
                for name in unknown
            ]
        )
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise Invalid("is in the form more than once", field=twice)
    part = form.get("file")
    if not isinstance(part, UploadFile):
        raise Invalid("is required: the part of the form that holds the file of people", field="file")
    said = {name: await _text(form, name) for name in FIELDS}
    return part, ImportAsked(
        format=_one_of("format", asked.format, said["format"]),
        mapping=_one_of("mapping", asked.mapping, said["mapping"]),
        source=_one_of("source", asked.source, said["source"]),
        dry_run=_one_of("dry_run", asked.dry_run, _boolean("dry_run", said["dry_run"])),
        background=_one_of("background", asked.background, _boolean("background", said["background"])),
    )


def _one_of(name: str, asked: T | None, said: T | None) -> T | None:
    if asked is not None and said is not None and asked != said:
        raise Invalid("differs in the address and in the form", field=name)
    return said if asked is None else asked


def _boolean(name: str, said: str | None) -> bool | None:
    try:
        return None if said is None else _BOOLEAN.validate_python(said)
    except ValidationError as error:
        raise Invalid(f"must be true or false, not {said[:20] if said else ''!r}", field=name) from error


async def _text(form: FormData, name: str) -> str | None:
    """A field of the form, be it a value or a small file."""
    value = form.get(name)
    if isinstance(value, UploadFile):
        value = (await value.read(MAX_MAPPING + 1)).decode(errors="replace")
    if value is not None and len(value) > MAX_MAPPING:
        raise Invalid(f"is longer than {MAX_MAPPING} characters", field=name)
    return value
