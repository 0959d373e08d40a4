"""What a pull is, as a validated value, and how far it has come. Pure."""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field

from experiments.errors import Invalid
from experiments.metrics import Duration
from targeting.imports.mapping_document import MappingDocument

SHORTEST: Final = timedelta(minutes=1)
LONGEST: Final = timedelta(days=31)
MAX_QUERY: Final = 20_000
_DIALECTS: Final[Mapping[str, str]] = {"postgresql": "postgres", "mssql": "tsql", "mariadb": "mysql"}


class PullDefinition(BaseModel):
    """A query of one of the sources in the settings, run every so often; its rows are imported like those of a file.

    With `cursor_column` only rows at or after the highest value seen so far are asked for.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: str = Field(min_length=1, max_length=64, description="A name in TOUCHSTONE_SOURCES")
    query: str = Field(min_length=1, max_length=MAX_QUERY, description="One SELECT statement")
    mapping: MappingDocument = MappingDocument()
    cursor_column: str | None = Field(None, min_length=1, max_length=200)
    every: Annotated[Duration, Field(ge=SHORTEST, le=LONGEST)] = timedelta(hours=1)

    def to_document(self) -> dict[str, Any]:
        """As it is stored: what was said, without what is so by default."""
        return self.model_dump(mode="json", exclude_defaults=True)

    def same_rows(self, other: "PullDefinition") -> bool:
        """Whether both bring the same from the same place, so that the cursor of one holds for the other."""
        return self.model_copy(update={"every": other.every}) == other


def check_source(name: str, known: Mapping[str, Any]) -> str:
    """The name of a source in the settings; raises Invalid naming the nearest."""
    if name not in known:
        nearest = difflib.get_close_matches(name, list(known), n=1)
        hint = f"did you mean {nearest[0]!r}?" if nearest else f"there are: {', '.join(known) or 'none'}"
        raise Invalid(f"is not a name in TOUCHSTONE_SOURCES; {hint}", field="source")
    return name


def check_query(query: str, *, backend: str) -> str:
    """The query without the semicolon at its end; raises Invalid unless it is one SELECT that changes nothing.

    `backend` is SQLAlchemy's name of the database. The database is opened for reading only all the same.
    """
    # A second to load, which only pulls should wait for.
    import sqlglot
    from sqlglot import exp

    dialect = _DIALECTS.get(backend, backend)
    try:
        known = sqlglot.Dialect.get(dialect)
        statements = sqlglot.parse(query, read=dialect if known else None)
    except (sqlglot.errors.SqlglotError, RecursionError) as error:
        raise Invalid(
            f"is not SQL that can be read: {' '.join(str(error).split())[:200]}", field="query"
        ) from error
    if len(statements) != 1 or not isinstance(statements[0], exp.Query):
        raise Invalid("must be one SELECT statement, with nothing behind it", field="query")
    changing = (exp.DML, exp.DDL, exp.Into, exp.Lock, exp.Command)
    found = next(
        (
            node
            for node in statements[0].walk()
            if isinstance(node, changing) and not isinstance(node, exp.Query)
        ),
        None,
    )
    if found is not None:
        raise Invalid(f"may only read, but holds {found.key.upper()}", field="query")
    return query.strip().removesuffix(";")


@dataclass(frozen=True, slots=True)
class Position:
    """The highest value of the cursor column seen, as the database gave it."""

    column: str
    value: Any

    def to_json(self) -> dict[str, Any]:
        """Keeps the type, because a database compares 10 and "10" in different ways."""
        for kind, (type_, _) in _KINDS.items():
            if type(self.value) is type_:
                return {"column": self.column, "kind": kind, "value": _encode(self.value)}
        raise Invalid(
            f"holds values that cannot be a cursor ({type(self.value).__name__}); "
            "use whole numbers, decimals, text, dates or times",
            field="cursor_column",
        )

    @classmethod
    def of_json(cls, document: Mapping[str, Any] | None) -> "Position | None":
        """The inverse of `to_json`."""
        if document is None:
            return None
        return cls(document["column"], _KINDS[document["kind"]][1](document["value"]))


_KINDS: Final[Mapping[str, tuple[type, Any]]] = {
    "number": (int, int),
    "float": (float, float),
    "decimal": (Decimal, Decimal),
    "text": (str, str),
    "time": (datetime, datetime.fromisoformat),
    "date": (date, date.fromisoformat),
}


def _encode(value: Any) -> Any:
    if isinstance(value, datetime | date):
        return value.isoformat()
    return str(value) if isinstance(value, Decimal) else value
