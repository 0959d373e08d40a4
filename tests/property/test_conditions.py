"""One meaning, two executions: on any attributes, SQL and the closures give every condition the same answer.

And whatever the attributes are, a condition that passed validation answers and never raises.
"""

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sqlalchemy import Column, Integer, MetaData, Table, insert, select

from experiments.database import JsonDocument
from targeting.conditions import Scope, compile_condition, describe, matches, validate_condition
from targeting.conditions.sql import MAX_CLAUSES, MAX_LIST, compile_sql, is_sql_expressible, split
from tests.property.condition_language import NOW, attributes, beyond_sql, conditions, scalars, values

SCOPE = Scope(NOW)
PEOPLE = Table(
    "people", MetaData(), Column("id", Integer, primary_key=True), Column("attributes", JsonDocument)
)


@pytest.fixture
def engine(database):
    PEOPLE.create(database.engine)
    yield database.engine
    PEOPLE.drop(database.engine)


def _selected(engine, people, where):
    # A connection for each transaction, as the application does; leaving it rolls the rows back.
    with engine.connect() as connection:
        _add(connection, people)
        return set(connection.scalars(select(PEOPLE.c.id).where(where)))


def _add(connection, people):
    connection.execute(insert(PEOPLE), [{"id": index, "attributes": one} for index, one in enumerate(people)])


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(people=st.lists(attributes, min_size=1, max_size=12), condition=conditions)
@example(
    people=[{"plan": 5}, {"plan": "5"}, {"plan": True}, {"plan": None}, {}], condition={"plan": {"$eq": 5}}
)
@example(
    people=[{"plan": "true"}, {"plan": True}, {"plan": 1}, {"plan": [True]}],
    condition={"plan": {"$in": [True]}},
)
@example(people=[{}, {"age": None}, {"age": "x"}, {"age": []}], condition={"age": {"$lt": 1}})
def test_sql_and_closure_agree(engine, people, condition):
    assert is_sql_expressible(condition)
    test = compile_condition(condition)
    expected = {index for index, one in enumerate(people) if test(one, SCOPE)}
    assert (
        _selected(engine, people, compile_sql(condition, attributes=PEOPLE.c.attributes, now=NOW)) == expected
    )


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    people=st.lists(attributes, min_size=1, max_size=8), parts=st.lists(conditions | beyond_sql, max_size=4)
)
def test_both_halves_of_a_split_together_are_the_whole(engine, people, parts):
    condition = {"$and": parts}
    in_sql, residual = split(condition)
    rows = range(len(people))
    if in_sql is not None:
        rows = _selected(engine, people, compile_sql(in_sql, attributes=PEOPLE.c.attributes, now=NOW))
    left = compile_condition(residual or {})
    assert {i for i in rows if left(people[i], SCOPE)} == {
        i for i, one in enumerate(people) if matches(condition, one, now=NOW)
    }


ODD = [
    None, True, False, 0, -0.0, 1, 1.0, -1, 5, 5.5, 10, 2**40, 1e21, "", "0", "1", "-1", "5", "5.0", "5.5", "05", "10", "5 ", "+5",
    "1e3", "1e+21", "5.", ".5", "5.5.5", "-", "--1", "9" * 40, "9" * 41, "true", "false", "null", "a", "A", "Z", "_", "é", "z", "😀", "\uffff",
    [], ["a"], ["5"], [5], [True], [None], [[]], [["a"]], [{"a": 1}], ["a", 5, None, False], {}, {"a": "a"}, {"city": 5},
]  # fmt: skip
TIMES = [
    f"{day}{clock}{zone}"
    for day in ("2026-02-28", "2026-02-29", "2026-02-30", "2026-03-01", "2024-02-29", "2026-00-10", "2026-13-01", "2026-01-32", "2026-01-00", "0026-01-01", "26-01-01", "9999-12-31")
    for clock in ("", "T12:00", " 12:00:00", "T12:00:00.25", "T12:00:00.2500009", "T12:00:00.x", "T12:00:00.", "T24:00", "T25:00:00.1", "T11:60", "T11:59:59", "T1:00", "t12:00")
    for zone in ("", "Z", "z", "+01:00", "-23:59", "+24:00", "+25:00", "+0100", "+1:00", " ", "Z\n")
]  # fmt: skip


def _agree(engine, people, some_conditions):
    with engine.connect() as connection:
        _add(connection, people)
        for condition in some_conditions:
            test = compile_condition(condition)
            expected = {index for index, one in enumerate(people) if test(one, SCOPE)}
            for opposite in (False, True):
                asked = {"$not": condition} if opposite else condition
                where = compile_sql(asked, attributes=PEOPLE.c.attributes, now=NOW)
                found = set(connection.scalars(select(PEOPLE.c.id).where(where)))
                wanted = set(range(len(people))) - expected if opposite else expected
                assert found == wanted, (asked, [people[index] for index in found ^ wanted])


@pytest.mark.slow
def test_every_operator_agrees_on_every_kind_of_value(engine):
    operands = [operand for operand in ODD if not isinstance(operand, dict | list)]
    tests = [*operands, {"$in": [operands[0], "a"]}, {"$in": operands[1:3]}, {"$nin": ["5", 10]}, {"$in": []}]
    tests += [{name: operand} for name in ("$eq", "$lt", "$gte") for operand in operands]
    tests += [{"$in": [operand]} for operand in operands]
    tests += [
        {"$exists": True},
        {"$size": 1},
        {"$size": {"$lt": 2}},
        {"$size": {"$in": [0, 4]}},
        {"$all": ["a"]},
        {"$all": []},
    ]
    people = [{}, *({"x": value} for value in ODD), *({"x": {"city": value}} for value in ODD)]
    _agree(engine, people, [{path: test} for test in tests for path in ("x", "x.city")])


def test_every_spelling_of_a_time_agrees(engine):
    tests = [
        {name: age}
        for name in ("$olderThan", "$newerThan")
        for age in ("0d", "1d", "12h", "800d", "1000000d")
    ]
    _agree(engine, [{"x": time} for time in [*ODD, *TIMES]], [{"x": test} for test in tests])


@pytest.mark.slow
def test_the_largest_statement_runs(engine):
    # As many ages of times as one statement admits, and as many listed values: the most parameters there can be.
    ages = [{f"at{number}": {"$not": {"$olderThan": "1d"}}} for number in range(MAX_CLAUSES - 1)]
    condition = {"$and": [*ages, {"plan": {"$in": [str(number) for number in range(MAX_LIST)]}}]}
    where = compile_sql(condition, attributes=PEOPLE.c.attributes, now=NOW)
    assert _selected(engine, [{"plan": "7"}, {"plan": "x"}, {"at5": "2020-01-01", "plan": "7"}], where) == {0}


@given(condition=conditions, person=values)
def test_odd_attributes_never_raise_and_valid_conditions_read_aloud(condition, person):
    assert compile_condition(condition)(person, SCOPE) in {True, False}
    assert validate_condition(condition) == []
    assert describe(condition)


@given(person=attributes, condition=conditions)
def test_nor_is_the_opposite_of_or_and_not_of_itself(person, condition):
    held = matches(condition, person, now=NOW)
    assert matches({"$not": condition}, person, now=NOW) is not held
    assert matches({"$nor": [condition]}, person, now=NOW) is not held
    assert matches({"$or": [condition]}, person, now=NOW) is held


@given(
    junk=st.recursive(
        scalars | st.floats(),
        lambda i: (
            st.lists(i, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    [
                        "$and",
                        "$or",
                        "$not",
                        "$in",
                        "$size",
                        "$elemMatch",
                        "$all",
                        "$regex",
                        "$olderThan",
                        "a",
                        "a.b",
                        "",
                    ]
                ),
                i,
                max_size=3,
            )
        ),
        max_leaves=12,
    )
)
def test_validation_takes_any_json_and_evaluation_survives_what_it_refuses(junk):
    problems = validate_condition(junk)
    assert all(problem.field.startswith("audience.condition") for problem in problems)
    assert compile_condition(junk)({"a": {"b": 1}}, SCOPE) in {True, False}
