"""An index never changes whom a condition means: with it and without it, the same users are found, on both databases."""

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sqlalchemy import and_, func, insert, select, text

from targeting.conditions.indexes import can_be_indexed, index_expressions, prefilter
from targeting.conditions.sql import compile_sql
from targeting.conditions.values import TIME
from targeting.user_repository import USERS
from tests.property.condition_language import KEYS, NOW, attributes, conditions
from tests.property.test_conditions import ODD, TIMES

INDEXED = frozenset(key for key in KEYS if can_be_indexed(key))


@pytest.fixture
def engine(database):
    dialect = database.engine.dialect.name
    with database.engine.begin() as connection:
        for key in INDEXED:
            for name, expression in index_expressions(key, dialect=dialect).items():
                connection.exec_driver_sql(f"CREATE INDEX {name} ON users ({expression})")
        if dialect == "postgresql":
            connection.exec_driver_sql(f"ALTER DATABASE {database.url.database} SET enable_seqscan = off")
    database.engine.dispose()
    return database.engine


def _add(connection, people):
    rows = [
        {"id": n, "user_id": f"u{n}", "attributes": one, "created_at": NOW, "updated_at": NOW}
        for n, one in enumerate(people, start=1)
    ]
    connection.execute(insert(USERS), rows)


def _check(connection, condition):
    """Returns whether an index had anything to tell."""
    narrow = prefilter(condition, indexed=INDEXED, dialect=connection.dialect.name, now=NOW)
    if narrow is None:
        return False
    where = compile_sql(condition, attributes=USERS.c.attributes, now=NOW, user_pk=USERS.c.id)
    plain = set(connection.scalars(select(USERS.c.id).where(where)))
    assert set(connection.scalars(select(USERS.c.id).where(and_(narrow, where)))) == plain, condition
    return True


@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(people=st.lists(attributes, min_size=1, max_size=12), condition=conditions)
@example(people=[{}, {"age": None}, {"age": False}, {"age": ""}], condition={"age": {"$lt": 1}})
@example(people=[{"plan": "x" * 200}, {"plan": "x" * 150}], condition={"plan": {"$gt": "x" * 150}})
@example(people=[{"plan": ["a"]}, {"plan": '["a"]'}], condition={"plan": {"$in": ["a"]}})
def test_the_same_users_are_found(engine, people, condition):
    with engine.connect() as connection:
        _add(connection, people)
        _check(connection, condition)


def test_every_operator_on_every_kind_of_value(engine):
    operands = [operand for operand in ODD if not isinstance(operand, dict | list)]
    tests = [
        *operands,
        {"$in": operands[:6]},
        {"$in": operands[6:]},
        {"$in": [None, "a"]},
        {"$exists": False},
    ]
    tests += [
        {name: one} for name in ("$eq", "$lt", "$lte", "$gt", "$gte") for one in operands if one is not None
    ]
    tests += [{name: age} for name in ("$olderThan", "$newerThan") for age in ("0d", "1d", "800d", "9000d")]
    with engine.connect() as connection:
        _add(connection, [{}, *({"plan": value} for value in [*ODD, *TIMES])])
        told = [_check(connection, {"plan": test}) for test in tests]
        told += [_check(connection, {"$or": [{"plan": one}, {"plan": {"$eq": "b"}}]}) for one in tests]
    assert sum(told) > len(told) * 0.7
    assert any(TIME.fullmatch(time) for time in TIMES)


@pytest.mark.parametrize(
    "condition",
    [
        {"plan": "pro"},
        {"plan": {"$in": ["pro", "team"]}},
        {"age": {"$eq": 42}},
        {"age": {"$gte": 65, "$lt": 70}},
        {"seen at": {"$newerThan": "30d"}},
        {"$or": [{"plan": "pro"}, {"age": 42}], "tags": {"$size": 1}},
    ],
    ids=range(6),
)
def test_the_database_looks_the_index_up(engine, condition):
    with engine.connect() as connection:
        people = [{"plan": f"p{n}", "age": n, "seen at": "2020-01-01"} for n in range(2000)]
        _add(connection, people)
        narrow = prefilter(condition, indexed=INDEXED, dialect=connection.dialect.name, now=NOW)
        query = select(func.count()).select_from(USERS).where(narrow)
        sql = query.compile(connection, compile_kwargs={"render_postcompile": True, "literal_binds": True})
        if connection.dialect.name == "sqlite":
            plan = connection.execute(text(f"EXPLAIN QUERY PLAN {sql}".replace(":", "\\:"))).all()
        else:
            plan = connection.execute(text(f"EXPLAIN {sql}".replace(":", "\\:"))).all()
        shown = "\n".join(str(row) for row in plan)
    assert "ix_users_attribute_" in shown, shown
    assert "SCAN users" not in shown, shown
    assert "Seq Scan" not in shown, shown


@pytest.mark.parametrize("name", ['a"b', "a\\b", "a.b", "$not", "", "a\nb", "\ud800"])
def test_a_name_that_no_index_can_spell(name):
    assert not can_be_indexed(name)
    assert prefilter({name: "x"}, indexed={name}, dialect="sqlite", now=NOW) is None
