"""A query of `facts.py` in the SQL of another engine: rendered for PostgreSQL, read by sqlglot, written for the engine.

What engines disagree about, and facts need, is JSON: `document -> 'name'` (the property as JSON text) and `document ->> 'name'`
(as plain text) are put in each engine's own words here. The name is a name: dots, quotes and dollars in it are no path. Whatever
else the queries use is sqlglot's business; what it cannot say for an engine is an error, never left out.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

from sqlalchemy import Integer, Select
from sqlalchemy.dialects.postgresql.base import PGCompiler, PGDialect
from sqlglot import ErrorLevel, exp, parse_one
from sqlglot.errors import ParseError, SqlglotError

from analysis.warehouse.tables import wrong

_WHOLE_DIVISION: Final = "TOUCHSTONE_WHOLE_DIVISION"
_Json = Callable[[exp.Expression, str], exp.Expression]


class _Compiler(PGCompiler):
    """Says a division of whole numbers by name. PostgreSQL says it by types, which sqlglot does not know, and elsewhere / is exact."""

    def visit_floordiv_binary(self, binary: Any, operator: Any, **kw: Any) -> str:
        sides = (binary.left, binary.right)
        if all(isinstance(side.type, Integer) for side in sides):
            return f"{_WHOLE_DIVISION}({', '.join(self.process(side, **kw) for side in sides)})"
        return str(super().visit_floordiv_binary(binary, operator, **kw))  # type: ignore[no-untyped-call]


class _PlainDialect(PGDialect):
    """PostgreSQL with standard_conforming_strings, its default: in 'text' a backslash is a letter like any other."""

    statement_compiler = _Compiler
    _backslash_escapes = False


def translate(query: Select[Any], engine: str) -> str:
    """The query in the SQL of `engine`, one of `ENGINES`. Raises Unavailable when it cannot be said there."""
    return write(render(query), engine)


def render(query: Select[Any]) -> str:
    """The query for PostgreSQL, its values written as literals."""
    dialect = _PlainDialect(paramstyle="named")  # type: ignore[no-untyped-call]
    compiled = query.compile(dialect=dialect, compile_kwargs={"literal_binds": True})
    return str(compiled)


def write(rendered: str, engine: str) -> str:
    """PostgreSQL's SQL in the SQL of `engine`."""
    try:
        tree = parse_one(rendered, read="postgres")
        for node in list(tree.find_all(exp.JSONExtract, exp.JSONExtractScalar)):
            _say_in_own_words(node, *ENGINES[engine])
        for call in list(tree.find_all(exp.Anonymous)):
            if call.name.upper() == _WHOLE_DIVISION:
                dividend, divisor = call.expressions
                call.replace(exp.Paren(this=exp.IntDiv(this=dividend, expression=divisor)))
        return tree.sql(dialect=engine, unsupported_level=ErrorLevel.RAISE, copy=False)
    except SqlglotError as error:
        raise wrong(f"the query cannot be said in the SQL of {engine}: {error}") from error


def _say_in_own_words(node: exp.Binary, as_json: _Json, as_text: _Json) -> None:
    match node.expression:
        # What stands in the query as a text is one key here, whatever it holds.
        case exp.JSONPath(expressions=[exp.JSONPathRoot(), exp.JSONPathKey(this=str() as name)]):
            pass
        case other:
            raise ParseError(f"a property must be named by a text, not by {other.sql()}")
    scalar, parent = isinstance(node, exp.JSONExtractScalar), node.parent
    node.replace((as_text if scalar else as_json)(node.this, name))
    # Engines differ in how surely CASE keeps a cast from being tried: one that fails gives NULL.
    if scalar and type(parent) is exp.Cast:
        parent.replace(exp.TryCast(this=parent.this, to=parent.args["to"], safe=True))


def _call(function: str, *arguments: exp.Expression) -> exp.Expression:
    return exp.Anonymous(this=function, expressions=[argument.copy() for argument in arguments])


def _text(value: str) -> exp.Expression:
    return exp.Literal.string(value)


def _pointer(name: str) -> exp.Expression:
    """A JSON pointer (RFC 6901) to a property, whatever its name."""
    return _text("/" + name.replace("~", "~0").replace("/", "~1"))


def _duckdb(function: str, document: exp.Expression, name: str) -> exp.Expression:
    return _call(function, document, _pointer(name))


def _variant(document: exp.Expression, name: str) -> exp.Expression:
    """Spark's own paths cannot name every property, and lose whether a value was a text; a map of variants does neither."""
    parsed = _call("FROM_JSON", document, _text("MAP<STRING, VARIANT>"))
    return exp.Bracket(this=parsed, expressions=[_text(name)])


def _spark_json(document: exp.Expression, name: str) -> exp.Expression:
    return _call("TO_JSON", _variant(document, name))


def _spark_text(document: exp.Expression, name: str) -> exp.Expression:
    return exp.Cast(this=_variant(document, name), to=exp.DataType.build("STRING", dialect="spark"))


def _clickhouse(kind: str, document: exp.Expression, name: str) -> exp.Expression:
    if kind == "raw":
        return _call("JSONExtractRaw", document, _text(name))
    return _call("JSONExtract", document, _text(name), _text("Nullable(String)"))


def _bigquery(function: str, document: exp.Expression, name: str) -> exp.Expression:
    quoted = name.replace("\\", "\\\\").replace('"', '\\"')
    return _call(function, document, _text(f'$."{quoted}"'))


def _snowflake(scalar: bool, document: exp.Expression, name: str) -> exp.Expression:
    found = _call("GET", _call("PARSE_JSON", document), _text(name))
    if scalar:
        return exp.Cast(this=found, to=exp.DataType.build("VARCHAR", dialect="snowflake"))
    return _call("TO_JSON", found)


ENGINES: Final[Mapping[str, tuple[_Json, _Json]]] = {
    "duckdb": (partial(_duckdb, "JSON_EXTRACT"), partial(_duckdb, "JSON_EXTRACT_STRING")),
    "spark": (_spark_json, _spark_text),
    "clickhouse": (partial(_clickhouse, "raw"), partial(_clickhouse, "text")),
    "bigquery": (partial(_bigquery, "JSON_QUERY"), partial(_bigquery, "JSON_VALUE")),
    "snowflake": (partial(_snowflake, False), partial(_snowflake, True)),
}
"""Per engine: `->` and `->>`. DuckDB and Spark are run by tests; the SQL for the other three is only parsed."""
