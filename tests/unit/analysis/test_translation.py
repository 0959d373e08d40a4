"""Queries in the words of other engines: what is said, and that what cannot be said is an error."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest
import sqlglot
from sqlalchemy import Column, Integer, MetaData, String, Table, literal, select
from sqlglot import exp

from analysis.facts import facts
from analysis.facts.allocation_facts import gather_allocation, gather_drawn
from analysis.facts.arm_facts import arms_query, suppressed_query
from analysis.facts.compliance_facts import gather_compliance
from analysis.facts.epoch_facts import gather_epochs
from analysis.facts.event_facts import events_query, names_in
from analysis.facts.outcome_facts import mature_query
from analysis.facts.slice_facts import OTHERS, By, gather_by, sliced_query
from analysis.facts.unit_facts import gather_units
from analysis.warehouse.translation import ENGINES, render, translate, write
from experiments.errors import Unavailable
from experiments.metrics import MetricDefinition
from tests.integration.analysis_rows import START
from tests.integration.test_metric_kinds import METRICS
from tests.unit.analysis.constructs import CONSTRUCTS

ODD = "it's \\ \\' \"x\" 😀 %s :y -- /* \n"
T = Table("t", MetaData(), Column("id", Integer), Column("name", String))


def queries() -> dict[str, Any]:
    definitions = {
        "revenue": MetricDefinition(
            kind="mean",
            event=ODD,
            value="order total",
            window=timedelta(days=7),
            covariate=timedelta(days=28),
        ),
        "bought": MetricDefinition(kind="proportion", event="Order", window=timedelta(days=7)),
    }
    groups = facts.group_metrics(definitions | METRICS)
    sizes = {"silence": 10, "reminder": 11}
    return {
        "arms": arms_query(1, as_of=START),
        "suppressed": suppressed_query(1),
        "mature": mature_query(1, timedelta(days=7), as_of=START),
        "events": events_query(1, names_in(definitions | METRICS), as_of=START),
        **asked_beside(definitions | METRICS),
        **{
            f"{group.metrics[0][0]}, exact: {exact}": facts.metric_query(
                1, group, as_of=START, sizes=sizes, exact=exact
            )
            for group in groups
            for exact in (False, True)
        },
    }


class Asked:
    """Listens to what is asked, and knows nobody."""

    def __init__(self) -> None:
        self.queries: list[Any] = []

    def fetch(self, query: Any) -> list[Any]:
        self.queries.append(query)
        return []


def asked_beside(definitions: Mapping[str, MetricDefinition]) -> dict[str, Any]:
    """What is asked per user reached, by epoch, by day or attribute, and for a bandit."""
    experiment: Any = {"experiment_id": 1, "as_of": START}
    few = {key: definitions[key] for key in ("revenue", "both", "cut per order", "reads")}
    found = {}
    for name, ask in {
        "reached": lambda engine: gather_compliance(engine, definitions=definitions, found={}, **experiment),
        "epoch": lambda engine: gather_epochs(engine, definitions=definitions, **experiment),
        "day": lambda engine: gather_by(engine, definitions=few, by=By(), **experiment),
        "country": lambda engine: gather_by(engine, definitions=few, by=By(attribute="country"), **experiment),
        "drawn": lambda engine: gather_drawn(engine, **experiment),
        "units": lambda engine: gather_units(engine, attributes=("household", "city"), **experiment),
        **{
            f"bandit of {key}": lambda engine, metric=definitions[key]: gather_allocation(
                engine, metric=metric, variants=("silence",), with_messages=True, **experiment
            )
            for key in ("revenue", "bought", "capped", "reads", "came back")
        },
    }.items():  # fmt: skip
        engine = Asked()
        ask(engine)
        assert engine.queries, name
        found |= {f"{name}, {i}": query for i, query in enumerate(engine.queries)}
    # Of nobody no more is asked than how many there are.
    for name, by in {"of a day": By(), "of a country": By(attribute="country")}.items():
        found |= {
            f"{name}, {i}": sliced_query(1, group, as_of=START, by=by, names=("NL", OTHERS))
            for i, group in enumerate(facts.group_metrics(few))
        }
    return found


def texts_in(query: str, dialect: str) -> set[str]:
    tree = sqlglot.parse_one(query, read=dialect)
    return {str(literal.this) for literal in tree.find_all(exp.Literal) if literal.is_string}


@pytest.mark.parametrize("engine", ENGINES)
def test_every_query_of_the_facts_can_be_read_back(engine: str) -> None:
    for name, query in queries().items():
        said = translate(query, engine)
        tree = sqlglot.parse_one(said, read=engine)
        columns = [column.alias_or_name for column in tree.selects]
        assert columns == [column.name for column in query.selected_columns], (engine, name)
        assert {table.name for table in tree.find_all(exp.Table)} >= {"assignments"}


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    "value", [ODD, "'", "\\", "\\'", "'; DROP TABLE t; --", "\\' OR 1=1 --", "\u2028", "é"]
)
def test_a_value_stays_one_text_in_every_engine(engine: str, value: str) -> None:
    said = translate(select(T.c.id).where(T.c.name == value), engine)
    assert texts_in(said, engine) == {value}
    assert len(sqlglot.parse(said, read=engine)) == 1


def test_what_is_rendered_is_plain_postgresql() -> None:
    assert render(select(literal("a'b\\c"))) == "SELECT 'a''b\\c' AS anon_1"


@pytest.mark.parametrize(
    ("engine", "said"),
    [
        ("duckdb", "TRY_CAST(JSON_EXTRACT_STRING(d, '/a~1b.c') AS DOUBLE)"),
        ("spark", "TRY_CAST(CAST(FROM_JSON(d, 'MAP<STRING, VARIANT>')['a/b.c'] AS STRING) AS DOUBLE)"),
        ("bigquery", """SAFE_CAST(JSON_VALUE(d, '$."a/b.c"') AS FLOAT64)"""),
        ("snowflake", "TRY_CAST(CAST(GET(PARSE_JSON(d), 'a/b.c') AS VARCHAR) AS DOUBLE)"),
    ],
)
def test_a_property_is_named_and_not_a_path(engine: str, said: str) -> None:
    assert write("SELECT CAST(d ->> 'a/b.c' AS DOUBLE PRECISION)", engine) == f"SELECT {said}"


@pytest.mark.parametrize(
    ("engine", "said"),
    [
        ("duckdb", "(t.id // (7 + t.id))"),
        ("spark", "(t.id DIV (7 + t.id))"),
        ("bigquery", "(DIV(t.id, (7 + t.id)))"),
    ],
)
def test_whole_numbers_are_divided_as_whole_numbers(engine: str, said: str) -> None:
    assert translate(select((T.c.id // (7 + T.c.id)).label("d")), engine) == f"SELECT {said} AS d FROM t"


def test_a_division_that_is_exact_stays_exact() -> None:
    assert "//" not in translate(select((T.c.id / 2).label("d")), "duckdb")


def test_other_casts_stay_as_strict_as_they_are() -> None:
    assert write("SELECT CAST(x AS DOUBLE PRECISION)", "duckdb") == "SELECT CAST(x AS DOUBLE)"


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("query", CONSTRUCTS)
def test_what_metrics_may_be_made_of_can_be_said(engine: str, query: str) -> None:
    if engine == "bigquery" and "ROWS BETWEEN" in query:
        with pytest.raises(Unavailable, match="NULLS LAST"):
            write(query, engine)
        return
    said = write(query, engine)
    assert (
        sqlglot.parse_one(said, read=engine).named_selects
        == sqlglot.parse_one(query, read="postgres").named_selects
    )


@pytest.mark.parametrize(
    ("query", "why"),
    [
        ("SELECT d -> name FROM t", "named by a text"),
        ("SELECT d -> 0 FROM t", "named by a text"),
        ("SELECT (", "cannot be said"),
    ],
)
def test_what_cannot_be_said_is_an_error_of_one_line(query: str, why: str) -> None:
    with pytest.raises(Unavailable, match=why) as caught:
        write(query, "duckdb")
    assert "\n" not in str(caught.value)
