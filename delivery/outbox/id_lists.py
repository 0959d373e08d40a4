"""`column IN (a list of ids)` as a statement that is the same for every list, so that it is built and read only once.

SQLAlchemy's own `in_` writes the statement anew for each length of the list; in the hot statements of dispatch that cost more
than the database did. `one_of(column, IDS)` takes the whole list as one parameter: `execute(statement, {"ids": [1, 2]})`.
"""

import json
from collections.abc import Collection
from typing import Any, Final

from sqlalchemy import ARRAY, BigInteger, Boolean, ColumnElement, Dialect, Text, bindparam
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeDecorator, TypeEngine


class _List(TypeDecorator[Collection[Any]]):
    """A list as one parameter: an array on PostgreSQL, JSON on SQLite."""

    impl = Text
    cache_ok = True

    def __init__(self, item: type[TypeEngine[Any]]) -> None:
        super().__init__()
        self.item = item

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect.type_descriptor(ARRAY(self.item()) if dialect.name == "postgresql" else Text())

    def process_bind_param(self, value: Collection[Any] | None, dialect: Dialect) -> Any:
        found = list(value or ())
        return found if dialect.name == "postgresql" else json.dumps(found)


class one_of(FunctionElement[bool]):  # noqa: N801  # reads as a function of SQL
    """Whether a column is one of a list that is a single parameter."""

    name = "one_of"
    inherit_cache = True
    type = Boolean()

    def self_group(self, against: Any = None) -> Any:
        """Itself. SQLAlchemy would append `= 1` where a database has no booleans, and SQLite then reads the whole table instead
        of looking into an index.
        """
        del against
        return self


IDS: Final = bindparam("ids", type_=_List(BigInteger))
TEXTS: Final = bindparam("texts", type_=_List(Text))


@compiles(one_of, "postgresql")
def _on_postgresql(element: Any, compiler: Any, **options: Any) -> str:
    column, values = (compiler.process(clause, **options) for clause in element.clauses)
    return f"({column} = ANY ({values}))"


@compiles(one_of, "sqlite")
def _on_sqlite(element: Any, compiler: Any, **options: Any) -> str:
    column, values = (compiler.process(clause, **options) for clause in element.clauses)
    return f"({column} IN (SELECT value FROM json_each({values})))"  # noqa: S608  # the compiler wrote both


def among(column: Any) -> ColumnElement[bool]:
    """Whether `column` is among the parameter `ids`."""
    return one_of(column, IDS)
