"""Kept reports can be made again, byte for byte, whatever has changed since; what was altered is told."""

import copy
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from alembic import command
from sqlalchemy import text
from sqlmodel import select

from analysis.reports import history, service
from analysis.reports.canonical import canonical
from analysis.reports.models import StoredReport
from analysis.reports.replay import replay
from api import migrations
from experiments import service as experiments
from experiments.clock import SteppedClock
from experiments.database import Database
from experiments.errors import Conflict
from experiments.metrics import MetricDefinition
from tests.integration.analysis_rows import DAY
from tests.integration.looks import METRICS, campaign, look_often

SPENT = {"kind": "mean", "event": "Order", "value": "revenue", "window": "2d"}


def put_in_library(database: Database, clock: SteppedClock, window: str) -> None:
    definition = MetricDefinition.model_validate({**SPENT, "window": window})
    with database.transaction() as session:
        experiments.put_metric(session, clock, actor="test", key="spent", definition=definition)


def all_kept(database: Database) -> list[StoredReport]:
    with database.snapshot() as session:
        return list(session.exec(select(StoredReport).order_by(StoredReport.id)).all())


def test_every_kept_report_is_made_again_byte_for_byte_whatever_has_changed_since(
    database: Database, clock: SteppedClock
) -> None:
    put_in_library(database, clock, "2d")
    metrics = [*METRICS[:2], {"key": "spent", "role": "secondary"}]
    key = campaign(database, clock, metrics=metrics, audience={"coverage": 0.5})
    shown = look_often(database, clock, key, looks=6, every=timedelta(hours=31))
    bodies = [canonical(report.body) for report in shown]
    # The library, the design and the data go on.
    put_in_library(database, clock, "9d")
    with database.transaction() as session:
        experiments.raise_coverage(session, clock, actor="test", key=key, coverage=0.75)
        session.connection().execute(text("DELETE FROM events"))

    reports = all_kept(database)
    assert [canonical(report.body) for report in reports] == bodies
    for report in reports:
        found = replay(history.exported(report))
        assert found.same, found.lines()
        assert (found.report_hash, found.other_versions) == ((report.hashes or {})["report"], {})
    with database.snapshot() as session:
        now = service.prepare(session, clock, key=key)
    planned = {(report.hashes or {})["specification"] for report in reports}
    assert len(planned) == 1
    assert now.evidence.hashes["specification"] not in planned, "the coverage is part of what was planned"
    assert len({(report.hashes or {})["data"] for report in reports}) == len(reports)


def test_what_is_kept_keeps_its_text_on_both_databases(database: Database, clock: SteppedClock) -> None:
    """JSONB would make 1e+16 a whole number and -0.0 a plain 0, and the bytes would differ."""
    campaign(database, clock, users=3)
    odd = {"large": 1e16, "minus": -0.0, "small": 5e-324, "whole": 10**16, "tenth": 0.1}
    with database.transaction() as session:
        session.add(StoredReport(experiment_id=1, as_of=clock.now(), information=0.0, body=odd, inputs=odd))
    (report,) = all_kept(database)
    assert canonical(report.body) == canonical(report.inputs) == canonical(odd)


def _another_mean(report: dict[str, Any]) -> None:
    report["inputs"]["data"]["arms"][1]["aggregates"]["bought"]["mean"] += 1e-15


def _another_verdict(report: dict[str, Any]) -> None:
    report["decision"]["action"] = "ship"


def _another_plan(report: dict[str, Any]) -> None:
    report["inputs"]["specification"]["plan"]["alpha"] = 0.2


def _another_version(report: dict[str, Any]) -> None:
    report["provenance"]["made_with"]["scipy"] = "1.0"


ALTERATIONS: list[tuple[Callable[[dict[str, Any]], None], bool, str]] = [
    (_another_mean, False, "the data cut was altered"),
    (_another_verdict, False, 'first difference at decision.action: kept "ship", made again "continue"'),
    (_another_plan, False, "the specification was altered"),
    (_another_version, True, "made with another code version: scipy 1.0, now "),
]


def test_a_file_of_exported_json_replays_like_the_row_and_what_was_altered_in_it_is_told(
    database: Database, clock: SteppedClock, subtests: pytest.Subtests
) -> None:
    key = campaign(database, clock, users=60)
    (report,) = look_often(database, clock, key, looks=1, every=5 * DAY)
    exported = history.exported(report)
    assert replay(json.loads(json.dumps(exported, indent=2))).same
    assert exported["provenance"]["id"] == report.id
    assert "inputs" not in history.exported(report, with_inputs=False)
    for alter, same, says in ALTERATIONS:
        with subtests.test(says):
            other = copy.deepcopy(exported)
            alter(other)
            found = replay(other)
            assert found.same is same
            assert any(says in line for line in found.lines()), found.lines()


def test_a_report_from_before_inputs_were_kept_is_readable_and_says_that_it_cannot_be_replayed(
    request: pytest.FixtureRequest, database: Database, clock: SteppedClock, tmp_path: Any
) -> None:
    """Written by the schema before the migration, then migrated."""
    url = (
        f"sqlite:///{tmp_path}/old.db"
        if database.is_sqlite
        else request.getfixturevalue("blank_postgres_url")
    )
    old = Database(url)
    migrations.upgrade(old)
    command.downgrade(migrations.config(old), "0003")
    body = {"experiment": "spring", "as_of": "2026-12-01T10:00:00Z", "arms": [], "tiny": 1e-7}
    with old.transaction() as session:
        session.connection().execute(
            text(
                "INSERT INTO experiments (id, key, name, status, priority, definition, created_at, updated_at)"
                " VALUES (1, 'spring', 'Spring', 'running', 0, '{}', 0, 0)"
            )
        )
        session.connection().execute(
            text(
                "INSERT INTO reports (id, experiment_id, as_of, information, body) VALUES (1, 1, 0, 0.5, :body)"
            ),
            {"body": json.dumps(body)},
        )
    migrations.upgrade(old)
    with old.snapshot() as session:
        report = history.find(session, report_id=1, key="spring")
        (listed,) = history.list_kept(session, key="spring")
        (look,) = history.series(session, key="spring")
    old.dispose()
    assert report.body == body
    assert (listed.hashes, listed.made_with, listed.action) == (None, None, None)
    assert (look.information, look.effects) == (None, ())
    with pytest.raises(Conflict, match="cannot be replayed: made before"):
        replay(history.exported(report))
