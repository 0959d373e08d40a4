"""Pulls as values: what a query may be, and cursors that keep their type."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from pydantic import ValidationError

from experiments.errors import Invalid
from targeting.pulls.definitions import Position, PullDefinition, check_query, check_source


@pytest.mark.parametrize(
    "query",
    [
        "SELECT id FROM people",
        " select id from people ; ",
        "WITH a AS (SELECT 1 AS id) SELECT * FROM a",
        "(SELECT 1 AS id) UNION SELECT 2",
        "SELECT '10:30' AS t, 'a%' AS p, x::text FROM people -- why; not",
        "SELECT id FROM people WHERE note = 'DELETE FROM people; DROP TABLE x'",
        "SELECT deleted, updated FROM people",
    ],
)
@pytest.mark.parametrize("backend", ["postgresql", "sqlite"])
def test_one_select_is_taken(query: str, backend: str) -> None:
    assert check_query(query, backend=backend) == query.strip().removesuffix(";")


@pytest.mark.parametrize(
    "query",
    [
        "",
        ";",
        "DELETE FROM people",
        "INSERT INTO people VALUES (1)",
        "UPDATE people SET id = 1",
        "SELECT 1; SELECT 2",
        "SELECT 1; -- and more",
        "WITH a AS (DELETE FROM people RETURNING *) SELECT * FROM a",
        "WITH a AS (INSERT INTO people VALUES (1) RETURNING *) SELECT * FROM a",
        "SELECT * INTO other FROM people",
        "SELECT * FROM people FOR UPDATE",
        "CREATE TABLE a AS SELECT 1",
        "PRAGMA query_only = OFF",
        "VACUUM",
        "SELECT (((",
        "words, nothing but words",
        "SELECT 'open",
        "SELECT " + "(" * 3000 + "1" + ")" * 3000,
    ],
)
@pytest.mark.parametrize("backend", ["postgresql", "sqlite", "nosuchdb"])
def test_anything_else_is_refused(query: str, backend: str) -> None:
    with pytest.raises(Invalid) as error:
        check_query(query, backend=backend)
    assert error.value.problems[0].field == "query"


@pytest.mark.parametrize(
    "value",
    [
        7,
        1.5,
        "a",
        Decimal("1.10"),
        date(2026, 8, 1),
        datetime(2026, 8, 1, 12, tzinfo=UTC),
        datetime(2026, 8, 1, 12, 0, 0, 1),  # noqa: DTZ001  # what a column without zones holds
    ],
)
def test_a_cursor_comes_back_as_it_was(value: Any) -> None:
    back = Position.of_json(Position("c", value).to_json())
    assert back == Position("c", value)
    assert back is not None
    assert type(back.value) is type(value)


@pytest.mark.parametrize("value", [True, b"x", [1]])
def test_what_has_no_order_is_no_cursor(value: Any) -> None:
    with pytest.raises(Invalid) as error:
        Position("c", value).to_json()
    assert error.value.problems[0].field == "cursor_column"


def test_no_cursor_yet() -> None:
    assert Position.of_json(None) is None


PULL = PullDefinition.model_validate(
    {"source": "crm", "query": "SELECT 1", "mapping": {"attributes": {"a": {"column": "x", "type": "time"}}}}
)


def test_a_definition_survives_its_document() -> None:
    assert PullDefinition.model_validate(PULL.to_document()) == PULL
    assert PULL.every == timedelta(hours=1)


def test_only_the_rhythm_leaves_the_rows_the_same() -> None:
    assert PULL.same_rows(PULL.model_copy(update={"every": timedelta(days=1)}))
    assert not PULL.same_rows(PULL.model_copy(update={"query": "SELECT 2"}))
    assert not PULL.same_rows(PULL.model_copy(update={"cursor_column": "x"}))


@pytest.mark.parametrize("every", ["59s", "32d", "", "soon", 60])
def test_a_rhythm_has_bounds(every: object) -> None:
    with pytest.raises(ValidationError):
        PullDefinition.model_validate({"source": "crm", "query": "SELECT 1", "every": every})


def test_an_unknown_source_names_the_nearest() -> None:
    assert check_source("crm", {"crm": 1}) == "crm"
    with pytest.raises(Invalid, match="did you mean 'crm'"):
        check_source("cmr", {"crm": 1, "erp": 2})
    with pytest.raises(Invalid, match="there are: none"):
        check_source("cmr", {})
