"""What users did and which lists hold them: SQL over events and members answers as the closures do, to the microsecond."""

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sqlalchemy import insert, select
from sqlmodel import SQLModel

from experiments.database import Database
from targeting.conditions import Occurrence, Scope, compile_condition, validate_condition
from targeting.conditions.needs import needs_of
from targeting.conditions.sql import compile_sql, is_sql_expressible, split
from tests.property.condition_language import (
    LISTS,
    NOW,
    attributes,
    beyond_sql,
    clauses,
    combined,
    event_clauses,
    histories,
    memberships,
    segment_clauses,
)

USERS, EVENTS, SEGMENTS, MEMBERS = (
    SQLModel.metadata.tables[name] for name in ("users", "events", "segments", "segment_members")
)
people = st.lists(st.tuples(attributes, histories, memberships), min_size=1, max_size=6)
whole_language = combined(event_clauses | segment_clauses | clauses, leaves=4)
slowly = settings(
    max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


def _add(connection, population):
    connection.execute(
        insert(SEGMENTS),
        [
            {"id": i, "key": key, "name": key, "created_at": NOW, "updated_at": NOW}
            for i, key in enumerate(LISTS, 1)
        ],
    )
    for pk, (known, history, lists) in enumerate(population, 1):
        connection.execute(
            insert(USERS),
            {"id": pk, "user_id": f"u{pk}", "attributes": known, "created_at": NOW, "updated_at": NOW},
        )
        events = [
            {
                "message_id": f"{pk}-{name}-{number}",
                "user_pk": pk,
                "name": name,
                "at": occurrence.at,
                "received_at": NOW,
                "properties": occurrence.properties,
            }
            for name, occurrences in history.items()
            for number, occurrence in enumerate(occurrences)
        ]
        members = [{"segment_id": LISTS.index(key) + 1, "user_pk": pk, "added_at": NOW} for key in lists]
        if events:
            connection.execute(insert(EVENTS), events)
        if members:
            connection.execute(insert(MEMBERS), members)


def _selected(database, population, condition):
    with database.engine.connect() as connection:
        _add(connection, population)
        where = compile_sql(condition, attributes=USERS.c.attributes, now=NOW, user_pk=USERS.c.id)
        return set(connection.scalars(select(USERS.c.id).where(where)))


def _kept(population, condition):
    test = compile_condition(condition)
    return {
        pk
        for pk, (known, history, lists) in enumerate(population, 1)
        if test(known, Scope(NOW, events=history, segments=lists))
    }


@slowly
@given(population=people, condition=whole_language)
@example(
    population=[
        ({}, {"Opened": [Occurrence(NOW, {})]}, set()),
        ({}, {"Opened": []}, {"vip"}),
        ({}, {"Order Completed": [Occurrence(NOW, {})]}, {"staff"}),
    ],
    condition={"$event": {"name": "Opened", "within": "0d"}, "$not": {"$inSegment": ["vip"]}},
)
def test_sql_and_closure_agree_on_what_users_did(database, population, condition):
    assert validate_condition(condition) == []
    assert is_sql_expressible(condition)
    assert _selected(database, population, condition) == _kept(population, condition)


@slowly
@given(population=people, parts=st.lists(whole_language | beyond_sql, max_size=3))
def test_both_halves_of_a_split_are_the_whole(database, population, parts):
    condition = {"$and": parts}
    in_sql, residual = split(condition)
    selected = (
        set(range(1, len(population) + 1)) if in_sql is None else _selected(database, population, in_sql)
    )
    assert selected & _kept(population, residual or {}) == _kept(population, condition)


@given(population=people, condition=whole_language)
def test_the_needs_of_a_condition_are_all_that_it_looks_at(population, condition):
    needs = needs_of(condition)
    for known, history, lists in population:
        everything = Scope(NOW, events=history, segments=lists)
        needed = Scope(
            NOW,
            events={
                name: [o for o in history.get(name, []) if longest is None or NOW - o.at <= longest]
                for name, longest in needs.events.items()
            },
            segments=lists & needs.segments,
        )
        some = {name: value for name, value in known.items() if name in needs.attributes}
        test = compile_condition(condition)
        assert test(known, everything) == test(some, needed)


@pytest.mark.parametrize("condition", [{"$event": {"name": "X"}}, {"$event": {"name": "X", "count": 2}}])
def test_sqlite_reaches_events_over_their_index(sqlite_url, condition):
    """It runs the subquery for each user, which is hopeless without; PostgreSQL chooses among plans by the rows."""
    database = Database(sqlite_url)
    where = compile_sql(condition, attributes=USERS.c.attributes, now=NOW, user_pk=USERS.c.id)
    statement = (
        select(USERS.c.id).where(where).compile(database.engine, compile_kwargs={"literal_binds": True})
    )
    with database.engine.connect() as connection:
        plan = str(connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}").all())
    database.dispose()
    assert "ix_events_user_name_at (user_pk=? AND name=? AND at<?)" in plan
