"""Pulls from other databases, SQLite and PostgreSQL as sources and as our own: nobody lost, nobody twice, errors told."""

import io
import logging
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from pydantic import SecretStr
from sqlalchemy import Engine, create_engine, text
from sqlmodel import select

from experiments.audit import AuditEntry
from experiments.clock import SteppedClock
from experiments.database import Database
from experiments.errors import Conflict, Invalid, NotFound, Unavailable
from experiments.settings import Settings
from targeting import users
from targeting.imports import storing as import_storing
from targeting.models import ImportRun, Pull, User
from targeting.pulls import runs as pull_runs
from targeting.pulls import service as pulls
from targeting.pulls.definitions import PullDefinition
from targeting.pulls.hold import Hold

QUERY = "SELECT id, mobile, plan, changed FROM people -- everybody: '10:30' 5%"
CURSOR = {"query": QUERY, "cursor_column": "changed", "mapping": {"user_id": "id", "phone": "mobile"}}


class Source:
    """Somebody else's table of people."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.engine: Engine = create_engine(url)
        self.run("CREATE TABLE people (id TEXT, mobile TEXT, plan TEXT, changed INTEGER)")

    def run(self, statement: str, **values: Any) -> None:
        with self.engine.begin() as connection:
            connection.execute(text(statement), values)

    def add(self, *people: tuple[str, int | None]) -> None:
        with self.engine.begin() as connection:
            connection.execute(
                text("INSERT INTO people VALUES (:id, NULL, 'basic', :changed)"),
                [{"id": name, "changed": changed} for name, changed in people],
            )


@pytest.fixture(params=["sqlite", "postgresql"])
def source(request: pytest.FixtureRequest, tmp_path: Any) -> Iterator[Source]:
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path / 'crm.db'}"
    else:
        url = request.getfixturevalue("blank_postgres_url")
    made = Source(url)
    yield made
    made.engine.dispose()


@pytest.fixture
def settings(source: Source) -> Settings:
    return Settings(sources={"crm": SecretStr(source.url)})


def put(
    database: Database, clock: SteppedClock, settings: Settings, key: str = "crm", **definition: Any
) -> None:
    document = PullDefinition.model_validate({"source": "crm"} | CURSOR | definition)
    with database.transaction() as session:
        pulls.put(session, clock, actor="ann", key=key, definition=document, enabled=True, settings=settings)


def pull(database: Database, clock: SteppedClock, settings: Settings) -> dict[str, int]:
    outcome = pull_runs.run(database, clock, settings=settings, key="crm", actor="ann")
    return {name: value for name, value in outcome.summary.to_json().items() if value}


def state(database: Database, key: str = "crm") -> Pull:
    with database.snapshot() as session:
        return pulls.find(session, key=key)


def people(database: Database) -> list[str]:
    with database.snapshot() as session:
        return sorted(session.exec(select(User.user_id)).all())


def test_rows_become_users_and_the_cursor_brings_only_what_is_new(
    database: Database, clock: SteppedClock, source: Source, settings: Settings
) -> None:
    source.add(("u1", 1), ("u2", 2), ("u3", None))
    put(database, clock, settings)
    assert pull(database, clock, settings) == {"rows": 3, "created": 3}
    with database.snapshot() as session:
        assert users.find(session, user_id="u1").attributes == {"plan": "basic", "changed": 1}
    source.add(("u4", 7))
    # The row of the last value and the row without one come again, and change nothing.
    assert pull(database, clock, settings) == {"rows": 3, "created": 1, "unchanged": 2}
    assert state(database).cursor == {"column": "changed", "kind": "number", "value": 7}
    assert (state(database).error, state(database).claimed_until) == (None, None)


def test_ties_at_the_cursor_lose_nobody(
    database: Database, clock: SteppedClock, source: Source, settings: Settings
) -> None:
    source.add(("u1", 5), ("u2", 5))
    put(database, clock, settings)
    pull(database, clock, settings)
    source.add(("u3", 5))
    assert pull(database, clock, settings) == {"rows": 3, "created": 1, "unchanged": 2}


@pytest.mark.parametrize("survives", [0, 1, 2])
def test_a_crash_in_the_middle_loses_nobody(
    database: Database,
    clock: SteppedClock,
    source: Source,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    survives: int,
) -> None:
    # The newest first, as a table may well give them when nobody asks for an order.
    source.add(*((f"u{n:04d}", n) for n in reversed(range(5000))))
    put(database, clock, settings)
    stored = 0

    class Crash(BaseException):
        pass

    real = Hold.advance

    def dying(self: Hold, session: Any, last: Any) -> None:
        nonlocal stored
        real(self, session, last)
        if stored == survives:
            raise Crash
        stored += 1

    monkeypatch.setattr(Hold, "advance", dying)
    # A process that is gone releases nothing.
    monkeypatch.setattr(Hold, "release", lambda self, error: None)
    with pytest.raises(Crash):
        pull(database, clock, settings)
    monkeypatch.undo()
    assert len(people(database)) == 2000 * survives
    with pytest.raises(Conflict, match="is running already"):
        pull(database, clock, settings)
    clock.advance(settings.source_timeout + settings.lease)
    assert pull_runs.pull_tick(database, clock, settings=settings) == pull_runs.Pulled(done=1)
    assert len(people(database)) == 5000
    with database.snapshot() as session:
        last = session.exec(select(ImportRun).order_by(ImportRun.id.desc())).first()
    assert last is not None
    assert last.summary is not None
    # Only the tie at the cursor is read again.
    assert last.summary["rows"] == 5000 - 2000 * survives + min(survives, 1)


def test_a_pull_that_was_changed_while_it_ran_gives_up_and_starts_again(
    database: Database,
    clock: SteppedClock,
    source: Source,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    source.add(("u1", 1), ("u2", 2))
    put(database, clock, settings)
    real = import_storing.store

    def meddling(*args: Any, **kwargs: Any) -> Any:
        put(database, clock, settings, mapping={"user_id": "id", "attributes": {"level": "plan"}})
        return real(*args, **kwargs)

    monkeypatch.setattr("targeting.imports.importing.store", meddling)
    with pytest.raises(Conflict, match="was changed or taken over"):
        pull(database, clock, settings)
    monkeypatch.undo()
    assert people(database) == []
    assert pull(database, clock, settings) == {"rows": 2, "created": 2}
    with database.snapshot() as session:
        assert users.find(session, user_id="u1").attributes == {"level": "basic"}


def test_a_new_column_becomes_an_attribute_and_is_told(
    database: Database, clock: SteppedClock, source: Source, settings: Settings
) -> None:
    source.add(*((f"u{n}", n) for n in range(5)))
    put(database, clock, settings, query="SELECT * FROM people", cursor_column=None)
    pull(database, clock, settings)
    source.run("ALTER TABLE people ADD COLUMN city TEXT")
    source.run("UPDATE people SET city = 'Delft'")
    outcome = pull_runs.run(database, clock, settings=settings, key="crm", actor="ann")
    assert outcome.summary.updated == 5
    assert [item["sentence"] for item in outcome.quality["findings"] if item["topic"] == "drift"] == [
        "city is a new column."
    ]
    with database.snapshot() as session:
        assert users.find(session, user_id="u1").attributes["city"] == "Delft"


def test_bad_rows_are_rejected_counted_and_kept_without_what_stood_in_them(
    database: Database, clock: SteppedClock, source: Source, settings: Settings
) -> None:
    source.add(("u1", 1))
    source.run("INSERT INTO people VALUES ('u2', 'not a phone', 'basic', 2)")
    put(database, clock, settings)
    rejects = io.StringIO()
    outcome = pull_runs.run(database, clock, settings=settings, key="crm", actor="ann", rejects=rejects)
    assert (outcome.summary.created, outcome.summary.rejected) == (1, 1)
    assert "not a phone" in rejects.getvalue()
    with database.snapshot() as session:
        run = session.get(ImportRun, outcome.run_id)
    assert run is not None
    assert run.summary is not None
    assert (run.source, run.error) == ("pull:crm", None)
    assert [(item["line"], item["field"]) for item in run.summary["rejects"]] == [(2, "mobile")]


@pytest.mark.parametrize(
    ("definition", "field"),
    [
        ({"query": "SELECT * FROM nowhere"}, "query"),
        ({"query": "SELECT 1 AS changed"}, "mapping.user_id"),
        ({"cursor_column": "Nope"}, None),
        ({"mapping": {"user_id": "id", "phone": "fone"}}, "mapping.phone"),
    ],
)
def test_a_pull_that_cannot_work_says_why_and_is_tried_again_at_its_next_time(
    database: Database,
    clock: SteppedClock,
    source: Source,
    settings: Settings,
    definition: dict[str, Any],
    field: str | None,
) -> None:
    put(database, clock, settings, **definition)
    assert pull_runs.pull_tick(database, clock, settings=settings) == pull_runs.Pulled(failed=1)
    told = state(database)
    assert told.error is not None
    assert "\n" not in told.error
    assert field is None or told.error.startswith(f"{field}: ")
    assert told.next_at == clock.now() + timedelta(hours=1)
    assert pull_runs.pull_tick(database, clock, settings=settings) == pull_runs.Pulled()
    clock.advance(timedelta(hours=1))
    assert pull_runs.pull_tick(database, clock, settings=settings) == pull_runs.Pulled(failed=1)


def test_a_source_is_read_and_never_written(
    database: Database, clock: SteppedClock, source: Source, settings: Settings
) -> None:
    source.add(("u1", 1))
    if source.engine.dialect.name == "postgresql":
        source.run("CREATE FUNCTION harm() RETURNS int LANGUAGE sql AS 'DELETE FROM people RETURNING 1'")
        put(database, clock, settings, query="SELECT harm() AS id, 1 AS changed, NULL AS mobile")
        with pytest.raises(Invalid, match="read-only transaction"):
            pull(database, clock, settings)
    for query in (
        "DELETE FROM people",
        "SELECT 1; DELETE FROM people",
        "WITH gone AS (DELETE FROM people RETURNING *) SELECT * FROM gone",
        "SELECT * INTO other FROM people",
    ):
        with pytest.raises(Invalid) as error:
            put(database, clock, settings, query=query)
        assert error.value.problems[0].field == "query"
    with source.engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM people")).scalar() == 1


def test_a_statement_that_takes_too_long_is_ended(
    database: Database, clock: SteppedClock, source: Source
) -> None:
    slow = {
        "postgresql": "SELECT 'u1' AS id, pg_sleep(20) AS nap",
        "sqlite": "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) AS id FROM n",
    }[source.engine.dialect.name]
    settings = Settings(sources={"crm": SecretStr(source.url)}, source_timeout=timedelta(milliseconds=200))
    put(database, clock, settings, query=slow, cursor_column=None, mapping={"user_id": "id"})
    with pytest.raises(Invalid, match=r"interrupted|statement timeout"):
        pull(database, clock, settings)


def test_a_source_that_cannot_be_reached_is_told_without_its_password(
    database: Database, clock: SteppedClock, tmp_path: Any, caplog: pytest.LogCaptureFixture
) -> None:
    gone = Settings(
        sources={
            "crm": SecretStr("postgresql://ann:hush-hush@127.0.0.1:1/x"),
            "file": SecretStr(f"sqlite:///{tmp_path / 'none.db'}"),
            "odd": SecretStr("hush-hush"),
            "unknown": SecretStr("nodb://ann:hush-hush@h/x"),
        }
    )
    for name, error in (("crm", Unavailable), ("file", Unavailable), ("odd", Invalid), ("unknown", Invalid)):
        with caplog.at_level(logging.DEBUG), pytest.raises(error) as told:
            put(database, clock, gone, source=name)
            pull(database, clock, gone)
        assert "hush" not in str(told.value) + caplog.text
    assert "hush" not in str(state(database).error)
    assert not (tmp_path / "none.db").exists()


def test_put_enable_ask_and_delete_are_in_the_audit_log(
    database: Database, clock: SteppedClock, source: Source, settings: Settings
) -> None:
    put(database, clock, settings)
    put(database, clock, settings)
    with database.transaction() as session:
        pulls.set_enabled(session, clock, actor="bob", key="crm", enabled=False)
    assert pull_runs.pull_tick(database, clock, settings=settings) == pull_runs.Pulled()
    with pytest.raises(Conflict, match="is disabled"), database.transaction() as session:
        pulls.ask(session, clock, actor="bob", key="crm")
    with database.transaction() as session:
        pulls.set_enabled(session, clock, actor="bob", key="crm", enabled=True)
        pulls.ask(session, clock, actor="bob", key="crm")
        pulls.delete(session, clock, actor="bob", key="crm")
        with pytest.raises(NotFound):
            pulls.find(session, key="crm")
    with database.snapshot() as session:
        entries = session.exec(select(AuditEntry).order_by(AuditEntry.id)).all()
    assert [(entry.action, entry.actor) for entry in entries] == [
        ("pull.put", "ann"),
        ("pull.disable", "bob"),
        ("pull.enable", "bob"),
        ("pull.run", "bob"),
        ("pull.delete", "bob"),
    ]
    assert source.url not in str(entries)
