"""Copies that are not what they should be: one line that names what is wrong. And copies that change under a reader's eyes."""

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import duckdb
import pytest

from analysis.facts import engines, facts
from analysis.reports import service
from analysis.reports.evidence import read_inputs
from analysis.warehouse import folder as folders
from analysis.warehouse.export import export_facts
from experiments import service as experiments
from experiments.clock import SteppedClock, to_micros
from experiments.database import Database
from experiments.errors import Invalid, Unavailable
from experiments.lifecycle import Move
from experiments.settings import Settings
from tests.integration.analysis_rows import DAY, HOUR, START, Assigned, design, enrolment, store
from tests.integration.test_compliance_facts import deliver
from tests.integration.warehouse_rows import opened

AT = to_micros(START)
GOOD = {
    "assignments": f"SELECT 1 AS experiment_id, 1 AS user_pk, 'coupon' AS variant, 1 AS epoch, false AS forced, {AT} AS assigned_at",
    "events": f"SELECT 1 AS id, 1 AS user_pk, 'Order' AS name, {AT} AS \"at\", '{{}}' AS properties",
    "messages": f"SELECT 1 AS experiment_id, 1 AS user_pk, 'coupon' AS variant, 'sent' AS state, 'x' AS reason, {AT} AS accepted_at,"
    f" {AT} AS sent_at, {AT} AS delivered_at, {AT} AS read_at, {AT} AS clicked_at",
}


def write(folder: Path, format_: str = "parquet", **changes: str) -> Path:
    """A copy as somebody else makes it: no manifest, no users, nothing but what facts need."""
    folder.mkdir(exist_ok=True)
    for table, query in (GOOD | changes).items():
        if query:
            duckdb.sql(f"COPY ({query}) TO '{folder}/{table}.{format_}' (FORMAT {format_})")
    return folder


def said(place: Path) -> str:
    engine = opened(f"duckdb:///{place}")
    with pytest.raises(Unavailable) as caught:
        engine.fetch(facts.arms_query(1, as_of=START))
    engine.dispose()
    message = str(caught.value)
    assert message.startswith("the facts of TOUCHSTONE_FACTS_URL cannot be read: ")
    assert "\n" not in message
    return message


@pytest.mark.parametrize("format_", ["parquet", "csv"])
def test_a_copy_made_by_somebody_else_is_read(tmp_path: Path, format_: str) -> None:
    engine = opened(f"duckdb:///{write(tmp_path, format_)}")
    (row,) = engine.fetch(facts.arms_query(1, as_of=START))
    assert (row["variant"], row["assigned"], row["messages_read"]) == ("coupon", 1, 1)
    assert engine.copied().until == START
    engine.dispose()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"events": ""}, "there is no file"),
        ({"messages": GOOD["messages"].replace("read_at", "opened_at")}, "messages.parquet has no column 'read_at'"),
        ({"events": GOOD["events"].replace("name", '"NAME"')}, "events.parquet has no column 'name'"),
        (
            {"assignments": GOOD["assignments"].replace(str(AT), "TIMESTAMP '2026-12-01 10:00:00'")},
            "column 'assigned_at' of assignments.parquet is TIMESTAMP, and must be an integer of microseconds since 1970",
        ),
        ({"events": GOOD["events"].replace(str(AT), str(AT // 1000))}, "column 'at' of events looks like milliseconds"),
        ({"events": GOOD["events"].replace(str(AT), str(AT // 10**6))}, "column 'at' of events looks like seconds"),
        ({"events": GOOD["events"].replace(str(AT), str(AT * 1000))}, "column 'at' of events looks like nanoseconds"),
        ({"events": GOOD["events"].replace("'{}'", "{'revenue': 3}")}, "column 'properties' of events.parquet is STRUCT"),
        ({"assignments": GOOD["assignments"].replace("false", "0")}, "column 'forced' of assignments.parquet is INTEGER, and must be true or false"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_table_is_named(tmp_path: Path, changes: dict[str, str], words: str) -> None:
    assert words in said(write(tmp_path, **changes))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"events": GOOD["events"].replace("'Order'", "'a'").replace(str(AT), "'2026-12-01'")}, "column 'at': Could not convert"),
        ({"assignments": GOOD["assignments"].replace("epoch", "era")}, "assignments.csv has no column 'epoch'"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_csv_is_named(tmp_path: Path, changes: dict[str, str], words: str) -> None:
    assert words in said(write(tmp_path, "csv", **changes))


def test_what_is_wrong_with_a_place_is_named(tmp_path: Path) -> None:
    assert "there is no folder" in said(tmp_path / "nowhere")
    assert "there is no file" in said(tmp_path / "nowhere.duckdb")
    assert "assignments.parquet (nor .csv)" in said(tmp_path)
    both = write(write(tmp_path / "both"), "csv")
    assert "both as .parquet and as .csv" in said(both)
    (tmp_path / "no.duckdb").write_text("not a database at all")
    said(tmp_path / "no.duckdb")
    with duckdb.connect(str(tmp_path / "empty.duckdb")) as connection:
        connection.execute("CREATE TABLE events (id INT)")
    assert "there is no table 'assignments'" in said(tmp_path / "empty.duckdb")
    broken = write(tmp_path / "broken")
    (broken / "events.parquet").write_bytes(b"PAR1 no parquet")
    said(broken)
    not_json = write(tmp_path / "json", events=GOOD["events"].replace("'{}'", "'{'"))
    engine = opened(f"duckdb:///{not_json}")
    metric = facts.group_metrics(experiments_metric())[0]
    with pytest.raises(Unavailable, match="Malformed JSON"):
        engine.fetch(facts.metric_query(1, metric, as_of=START + 9 * DAY))
    engine.dispose()


def experiments_metric() -> dict[str, facts.MetricDefinition]:
    return {"m": facts.MetricDefinition(kind="mean", event="Order", value="revenue", window=7 * DAY)}


@pytest.mark.parametrize(
    "manifest", ["{", "[]", '{"format": "xml"}', '{"format": "parquet", "taken_at": "soon"}']
)
def test_a_manifest_that_is_none_is_named(tmp_path: Path, manifest: str) -> None:
    (write(tmp_path) / "export.json").write_text(manifest)
    assert "export.json is not the manifest of an export" in said(tmp_path)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("duckdb://", "names no folder"),
        ("duckdb:///:memory:", "names no folder"),
        ("spark://cluster:7077", "names no folder"),
        ("duckdb://host/folder", "not on a host"),
        ("duckdb:///folder?x=1", "no user, password or options"),
        ("duckdb://me:secret@host/folder", "no user, password or options"),
        ("snowflake://x/y", "facts cannot be read from 'snowflake'"),
        ("mysql://x/y", "facts cannot be read from 'mysql'"),
        ("no url", "is not a URL"),
        ("duckdb://host:port/x", "is not a URL"),
        ("", "is not a URL"),
    ],
)
def test_a_url_that_means_nothing_names_the_setting(url: str, words: str) -> None:
    with pytest.raises(Invalid) as caught:
        engines.open_replica(Settings(facts_url=url))
    assert str(caught.value).startswith("TOUCHSTONE_FACTS_URL: ")
    assert words in str(caught.value)
    assert "secret" not in str(caught.value)


def test_spark_without_pyspark_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib.util

    found: Callable[..., object] = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "pyspark" else found(name, *rest)
    )
    with pytest.raises(Invalid, match=r"TOUCHSTONE_FACTS_URL: asks for Spark.*pip install"):
        engines.open_replica(Settings(facts_url="spark:///facts"))


def test_a_database_without_the_tables_is_one_line(tmp_path: Path, blank_postgres_url: str) -> None:
    for url in (f"sqlite:///{tmp_path}/none.db", blank_postgres_url):
        replica = engines.open_replica(Settings(facts_url=url))
        assert replica is not None
        with pytest.raises(Unavailable, match="does not answer") as caught:
            replica.fetch(facts.arms_query(1, as_of=START))
        assert "\n" not in str(caught.value)
        replica.dispose()


def test_files_that_do_not_belong_together_are_not_read(
    sqlite_url: str, tmp_path: Path, clock: SteppedClock
) -> None:
    database = Database(sqlite_url)
    export_facts(database, clock, folder=tmp_path)
    write(tmp_path, assignments="", messages="")
    with pytest.raises(Unavailable, match=r"not those that export\.json lists"):
        folders.look(tmp_path, tries=2)
    database.dispose()


def test_a_report_tells_how_old_its_copy_is_and_a_new_copy_is_seen(
    database: Database, tmp_path: Path, clock: SteppedClock
) -> None:
    with database.transaction() as session:
        experiments.create(session, clock, actor="test", document=design())
        experiments.move(session, clock, actor="test", key="spring", move=Move.START)
    store(database, assigned=[Assigned(user, "coupon", START) for user in range(1, 5)])
    enrolment(database, last_user=4, finished_at=START)
    deliver(database, [(user, START + HOUR, None) for user in range(1, 5)])
    engine = opened(f"duckdb:///{tmp_path}")

    def look() -> service.Look:
        with database.snapshot() as session:
            return service.prepare(session, clock, key="spring", facts=engine)

    with pytest.raises(Unavailable, match="there is no file"):
        look()
    clock.advance(6 * DAY)
    export_facts(database, clock, folder=tmp_path)
    fresh = look()
    assert fresh.body["arms"][2]["assigned"] == 4
    assert not [warning for warning in fresh.body["warnings"] if "data as of" in warning]
    exported_at = clock.now()
    clock.advance(2 * DAY)
    # These have bought since the copy was made, and their windows have closed.
    _bought_late(database)
    old = look()
    assert old.as_of == clock.now()
    assert old.body["warnings"][0].startswith("data as of 2026-12-07T10:00:00Z: the facts come from a copy")
    assert [arm["mature"] for arm in old.body["arms"]] == [0, 0, 0]
    # Who was reached is asked as of the copy too: else users count whose purchases it does not know.
    kept = read_inputs(old.evidence.inputs["data"]).arms
    assert sum(each.n for arm in kept for each in arm.compliance.values()) == 0
    export_facts(database, clock, folder=tmp_path)
    new = look()
    assert [arm["mature"] for arm in new.body["arms"]] == [0, 0, 4]
    assert new.body["metrics"][0]["arms"][2]["mean"] == 1
    assert exported_at < clock.now()
    engine.dispose()


def _bought_late(database: Database) -> None:
    from sqlalchemy import insert

    from targeting.models import Event

    with database.transaction() as session:
        session.connection().execute(
            insert(Event),
            [
                {"message_id": f"late{i}", "user_pk": i, "name": "Order", "at": START + 6 * DAY + HOUR,
                 "received_at": START + 6 * DAY + HOUR, "properties": {}}
                for i in range(1, 5)
            ],
        )  # fmt: skip


def test_a_stopped_experiment_is_not_over_for_a_copy_made_before(
    database: Database, tmp_path: Path, clock: SteppedClock
) -> None:
    with database.transaction() as session:
        experiments.create(session, clock, actor="test", document=design())
        experiments.move(session, clock, actor="test", key="spring", move=Move.START)
    store(database, assigned=[Assigned(user, "coupon", START) for user in range(1, 11)])
    with database.transaction() as session:
        from targeting.models import Enrolment

        session.add(
            Enrolment(
                experiment_id=1,
                last_user_pk=10,
                counts={"assigned": 20},
                started_at=START,
                finished_at=START + 8 * DAY,
            )
        )
    clock.advance(7 * DAY + timedelta(minutes=1))
    export_facts(database, clock, folder=tmp_path)
    clock.advance(5 * DAY)
    engine = opened(f"duckdb:///{tmp_path}")
    with database.snapshot() as session:
        # All ten that the copy knows of are mature, and twenty have been assigned since.
        assert service.prepare(session, clock, key="spring", facts=engine).information == 0.5
        assert json.dumps(service.prepare(session, clock, key="spring", facts=engine).body)
    engine.dispose()
