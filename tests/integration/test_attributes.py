"""Attributes as the database keeps them: discovered, kept for a while, indexed and not indexed any more."""

from datetime import timedelta

import numpy as np
import pytest
from sqlalchemy import insert, update
from sqlmodel import select

from experiments.audit import AuditEntry
from experiments.clock import SteppedClock
from experiments.database import Database
from experiments.errors import Invalid, NotFound
from targeting.models import ImportRun, User
from targeting.segments import attributes
from tests.integration.crowd import DOCUMENTS, add_crowd


def rng() -> np.random.Generator:
    return np.random.default_rng(3)


@pytest.fixture
def crowd(database: Database, clock: SteppedClock) -> Database:
    with database.transaction() as session:
        add_crowd(session, clock)
    return database


def indexes(database: Database) -> set[str]:
    query = (
        "SELECT name FROM sqlite_master WHERE type = 'index'"
        if database.is_sqlite
        else "SELECT indexname FROM pg_indexes"
    )
    with database.snapshot() as session:
        names = session.connection().exec_driver_sql(query).scalars()
        return {name for name in names if name.startswith("ix_users_attribute_")}


def known(database: Database) -> frozenset[str]:
    with database.snapshot() as session:
        return attributes.known_names(session)


def test_discovered_by_a_draw_of_users(crowd: Database, clock: SteppedClock) -> None:
    assert known(crowd) == frozenset()
    assert attributes.discover(crowd, clock, rng=rng()) == len(DOCUMENTS)
    assert known(crowd) == set(DOCUMENTS)
    with crowd.snapshot() as session:
        found = {one.name: one for one in attributes.list_attributes(session, skip=0, limit=50)}
        assert [one.name for one in attributes.list_attributes(session, skip=2, limit=2)] == sorted(
            DOCUMENTS
        )[2:4]
    assert (found["plan"].kind, found["plan"].share) == ("text", 1.0)
    assert set(found["plan"].examples) == {"plan-0", "plan-1", "plan-2", "plan-3"}
    assert found["age"].kind == "mixed"


def test_a_large_crowd_is_drawn_from(crowd: Database, clock: SteppedClock) -> None:
    assert attributes.discover(crowd, clock, rng=rng(), drawn=10) == len(DOCUMENTS)
    with crowd.snapshot() as session:
        (plan,) = [one for one in attributes.list_attributes(session, skip=0, limit=50) if one.name == "plan"]
    assert plan.share == 1.0


def test_what_nobody_has_any_more_is_forgotten_after_a_month(crowd: Database, clock: SteppedClock) -> None:
    attributes.discover(crowd, clock, rng=rng())
    attributes.set_indexed(crowd, clock, actor="test", name="plan", indexed=True, rng=rng())
    with crowd.transaction() as session:
        session.execute(update(User).values(attributes={"new": 1}))
    clock.advance(timedelta(days=29))
    attributes.discover(crowd, clock, rng=rng())
    assert known(crowd) == {*DOCUMENTS, "new"}
    clock.advance(timedelta(days=2))
    attributes.discover(crowd, clock, rng=rng())
    # What is indexed stays until somebody drops its index.
    assert known(crowd) == {"new", "plan"}


def test_due_once_an_hour_and_after_an_import(crowd: Database, clock: SteppedClock) -> None:
    assert attributes.discover_tick(crowd, clock, rng=rng()) == len(DOCUMENTS)
    clock.advance(timedelta(minutes=59))
    assert attributes.discover_tick(crowd, clock, rng=rng()) == 0
    with crowd.transaction() as session:
        run = {"source": "crm", "actor": "test", "started_at": clock.now(), "finished_at": clock.now()}
        session.execute(insert(ImportRun), [run])
    clock.advance(timedelta(seconds=5))
    assert attributes.discover_tick(crowd, clock, rng=rng()) == len(DOCUMENTS)
    assert attributes.discover_tick(crowd, clock, rng=rng()) == 0
    clock.advance(timedelta(hours=1))
    assert attributes.discover_tick(crowd, clock, rng=rng()) == len(DOCUMENTS)


def test_an_index_is_made_once_and_dropped(crowd: Database, clock: SteppedClock) -> None:
    def want(indexed: bool, name: str = "country") -> bool:
        return attributes.set_indexed(
            crowd, clock, actor="test", name=name, indexed=indexed, rng=rng()
        ).indexed

    assert want(True)
    assert want(True)
    assert len(indexes(crowd)) == (1 if crowd.is_sqlite else 2)
    want(True, "age")
    assert not want(False)
    assert len(indexes(crowd)) == (1 if crowd.is_sqlite else 2)
    assert not want(False)
    with crowd.snapshot() as session:
        entries = session.exec(select(AuditEntry).order_by(AuditEntry.id)).all()
    assert [(one.subject_key, one.after) for one in entries] == [
        ("country", {"indexed": True}),
        ("age", {"indexed": True}),
        ("country", {"indexed": False}),
    ]


@pytest.mark.parametrize("name", ["it's 100%: a :name (x)", "städte", "$groups x"[1:]])
def test_odd_names_have_indexes_too(database: Database, clock: SteppedClock, name: str) -> None:
    with database.transaction() as session:
        session.add(
            User(user_id="u", attributes={name: "x" * 10_000}, created_at=clock.now(), updated_at=clock.now())
        )
    attributes.set_indexed(database, clock, actor="test", name=name, indexed=True, rng=rng())
    assert indexes(database)
    with database.transaction() as session:
        # A value longer than an index cell may be.
        long = "".join(map(str, np.random.default_rng(1).integers(0, 10, 9000)))
        session.execute(update(User).values(attributes={name: long}))


def test_what_cannot_be_indexed(crowd: Database, clock: SteppedClock) -> None:
    with pytest.raises(NotFound, match="nope"):
        attributes.set_indexed(crowd, clock, actor="test", name="nope", indexed=True, rng=rng())
    with pytest.raises(Invalid, match="name: a name with a quote"):
        attributes.set_indexed(crowd, clock, actor="test", name='a"b', indexed=True, rng=rng())
    assert indexes(crowd) == set()
