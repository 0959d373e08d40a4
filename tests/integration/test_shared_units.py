"""Households that are drawn together: their sizes are no sample ratio mismatch, and a draw that is wrong still is one."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert
from sqlmodel import Session

from analysis.bandits.reallocation import would_do
from analysis.facts.engines import SessionFacts
from analysis.facts.unit_facts import gather_units
from analysis.reports.service import refresh_report
from analysis.warehouse.export import export_facts
from experiments.clock import SteppedClock
from experiments.database import Database
from targeting.models import Assignment
from tests.integration.enrolling import assignments, enrol
from tests.integration.people import REMINDER, SILENCE, add_people, campaign, start_campaign
from tests.integration.warehouse_rows import opened

HOUSES, MEMBERS = 60, 40


def houses(session: Session, clock: SteppedClock) -> None:
    """60 households of 40, some of which are numbers."""
    for house in range(HOUSES):
        first = 1 + house * MEMBERS
        name: Any = house + 1 if house % 2 else f"i-{house}"
        add_people(session, clock, range(first, first + MEMBERS), attributes={"household": name})


def checks(database: Database, clock: SteppedClock) -> dict[str, Any]:
    with database.transaction() as session:
        body = refresh_report(session, clock, key="spring").body
    return {check["stage"]: check for check in body["health"] if check["check"] == "srm"}


@pytest.mark.parametrize("method", ["fixed", "spending"])
def test_large_households_are_no_false_alarm(database: Database, clock: SteppedClock, method: str) -> None:
    with database.transaction() as session:
        houses(session, clock)
        document = campaign(
            variants=[SILENCE, REMINDER],
            audience={"hash_attribute": "household"},
            plan={"method": method},
            allocation={"policy": "thompson", "waves": {"share": 0.99}},
        )
        experiment = start_campaign(session, clock, document)
    enrol(database, clock, experiment)
    drawn = assignments(database, experiment)
    reminded = sum(row.variant == "reminder" for row in drawn.values())
    # By users this would be far off: some 1,200 are expected, give or take 25.
    assert abs(reminded - len(drawn) / 2) > 4.5 * 25
    with database.snapshot() as session:
        units = gather_units(
            SessionFacts(session),
            experiment_id=experiment.id or 0,
            attributes=["household"],
            as_of=clock.now(),
        )
    assert units == {
        "silence": {1: (len(drawn) - reminded) // MEMBERS},
        "reminder": {1: reminded // MEMBERS},
    }
    clock.advance(timedelta(days=2))
    found = checks(database, clock)
    assert found["assigned"]["ok"], found["assigned"]["detail"]
    assert found["assigned"]["p_value"] > 0.001
    assert all(
        check["detail"].startswith("cannot tell") for stage, check in found.items() if stage != "assigned"
    )
    (slot,) = would_do(database, clock)
    assert "mismatch" not in slot.reason
    assert slot.doubt is None


def test_households_are_counted_for_a_report_over_a_copy_which_has_no_attributes(
    database: Database, clock: SteppedClock, tmp_path: Path
) -> None:
    with database.transaction() as session:
        houses(session, clock)
        document = campaign(variants=[SILENCE, REMINDER], audience={"hash_attribute": "household"})
        experiment = start_campaign(session, clock, document)
    enrol(database, clock, experiment)
    clock.advance(timedelta(days=2))
    export_facts(database, clock, folder=tmp_path)
    engine = opened(f"duckdb:///{tmp_path}")
    with database.transaction() as session:
        body = refresh_report(session, clock, key="spring", facts=engine).body
    engine.dispose()
    (found,) = (check for check in body["health"] if check["check"] == "srm" and check["stage"] == "assigned")
    assert found["ok"], found["detail"]


def test_a_wrong_draw_of_households_is_found(database: Database, clock: SteppedClock) -> None:
    with database.transaction() as session:
        houses(session, clock)
        document = campaign(
            variants=[SILENCE, REMINDER],
            audience={"hash_attribute": "household"},
            allocation={"policy": "thompson", "waves": {"share": 0.99}},
        )
        experiment = start_campaign(session, clock, document)
    enrol(database, clock, experiment)
    with database.transaction() as session:
        session.connection().exec_driver_sql(f"UPDATE assignments SET variant = 'reminder' WHERE user_pk <= {53 * MEMBERS}")  # fmt: skip
    clock.advance(timedelta(days=2))
    found = checks(database, clock)["assigned"]
    assert not found["ok"]
    (slot,) = would_do(database, clock)
    assert slot.doubt is not None
    assert "sample ratio mismatch" in slot.doubt


def test_a_unit_counts_once_where_its_first_member_was_drawn(database: Database, clock: SteppedClock) -> None:
    """Members who come in a later epoch are no draw of it; 5 and "5" are one, and whoever has no unit is one alone."""
    with database.transaction() as session:
        add_people(session, clock, [1, 2], attributes={"household": "5"})
        add_people(session, clock, [3, 4], attributes={"household": 5})
        add_people(session, clock, [5, 6], attributes={"household": None})
        add_people(session, clock, [7], attributes={"household": "7"})
        experiment = start_campaign(session, clock, campaign(variants=[SILENCE, REMINDER]))
        rows = [
            (4, "reminder", 1, False), (1, "silence", 2, False), (2, "reminder", 2, False), (3, "reminder", 1, False),
            (5, "silence", 2, False), (6, "silence", 2, False), (7, "silence", 1, True),
        ]  # fmt: skip
        session.connection().execute(
            insert(Assignment),
            [
                {
                    "experiment_id": experiment.id, "user_pk": pk, "variant": variant, "epoch": epoch, "forced": forced,
                    "propensity": 0.5, "assigned_at": clock.now() + timedelta(minutes=epoch, seconds=at),
                }
                for at, (pk, variant, epoch, forced) in enumerate(rows)
            ],
        )  # fmt: skip
        later = clock.now() + timedelta(hours=1)
        units = gather_units(
            SessionFacts(session), experiment_id=experiment.id or 0, attributes=["household"], as_of=later
        )
    assert units == {"reminder": {1: 1}, "silence": {2: 2}}
