"""One process leads: on PostgreSQL by a lock that dies with its session, on SQLite because there is only one."""

from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.engine import make_url

from api import jobs, leadership_repository
from api.leadership import LEASE, Leadership
from api.wiring import Wiring
from api.worker import SEEK, make_scheduler
from experiments.database import Database


@pytest.fixture
def postgres(postgres_url: str) -> Database:
    return Database(postgres_url)


def leader(database: Database) -> str | None:
    with database.snapshot() as session:
        return leadership_repository.leader(session)


def test_one_leads_and_the_next_follows_when_it_goes(postgres: Database) -> None:
    first, second = Leadership(postgres, "one"), Leadership(postgres, "two")
    assert (first.is_leader, second.is_leader) == (False, False)
    assert (first.seek(), second.seek(), first.seek()) == (True, False, True)
    assert (first.is_leader, second.is_leader, leader(postgres)) == (True, False, "one")
    first.close()
    assert (first.is_leader, leader(postgres)) == (False, None)
    assert (second.seek(), leader(postgres)) == (True, "two")
    second.close()
    postgres.dispose()


def test_whoever_loses_the_connection_gives_up_and_may_come_back(postgres: Database) -> None:
    first, second = Leadership(postgres, "one"), Leadership(postgres, "two")
    assert first.seek()
    with postgres.transaction() as session:
        session.execute(
            text(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name LIKE 'touchstone leader%'"
            )
        )
    assert second.seek()
    assert not first.seek()
    assert not first.is_leader
    second.close()
    assert first.seek()
    first.close()
    postgres.dispose()


def test_whoever_cannot_ask_stops_by_itself_before_the_server_gives_the_lock_away(postgres: Database) -> None:
    seconds = [0.0]
    first = Leadership(postgres, "one", monotonic=lambda: seconds[0])
    assert first.seek()
    seconds[0] = LEASE - 0.1
    assert first.is_leader
    seconds[0] = LEASE
    assert not first.is_leader
    assert first.seek()
    assert first.is_leader
    with postgres.transaction() as session:
        timeout = text("SELECT setting::int FROM pg_settings WHERE name = 'idle_session_timeout'")
        assert session.execute(timeout).scalar() == 0, "only the leader's own session ends when it is idle"
    first.close()
    postgres.dispose()


def test_a_server_that_is_gone_makes_nobody_leader(postgres_url: str) -> None:
    nowhere = Database(
        make_url(postgres_url)
        .set(database="no_such_database")
        .update_query_dict({"connect_timeout": "2"})
        .render_as_string(hide_password=False)
    )
    lonely = Leadership(nowhere, "one")
    assert (lonely.seek(), lonely.is_leader) == (False, False)
    lonely.close()
    nowhere.dispose()


def test_two_databases_of_one_server_have_a_leader_each(postgres: Database, blank_postgres_url: str) -> None:
    other = Database(blank_postgres_url)
    first, second = Leadership(postgres, "one"), Leadership(other, "two")
    assert (first.seek(), second.seek()) == (True, True)
    assert (leader(postgres), leader(other)) == ("one", "two")
    for each in (first, second):
        each.close()
    for database in (postgres, other):
        database.dispose()


def test_on_sqlite_the_process_leads(sqlite_url: str) -> None:
    database = Database(sqlite_url)
    alone = Leadership(database, "one")
    assert alone.is_leader
    assert alone.seek()
    assert leader(database) is None
    alone.close()
    assert alone.is_leader
    database.dispose()


def test_single_jobs_run_where_the_leader_is_and_the_others_everywhere(wiring: Wiring) -> None:
    ran: list[str] = []
    other = replace(wiring)
    assert wiring.leadership.seek()
    assert other.leadership.seek() == wiring.database.is_sqlite
    for each, name in ((wiring, "leader"), (other, "follower")):
        jobs.guarded("plan", lambda _: ran.append(f"plan {name}"), each)  # noqa: B023
        jobs.guarded("dispatch", lambda _: ran.append(f"dispatch {name}"), each)  # noqa: B023
    follower = ["plan follower"] if wiring.database.is_sqlite else []
    assert ran == ["plan leader", "dispatch leader", *follower, "dispatch follower"]
    wiring.leadership.close()
    other.leadership.close()


def test_every_job_is_shared_or_single_and_the_lock_is_sought_often(wiring: Wiring) -> None:
    assert jobs.JOBS.keys() > jobs.SHARED
    assert jobs.JOBS.keys() == jobs.SINGLE | jobs.SHARED
    scheduler = make_scheduler(wiring)
    assert {job.id for job in scheduler.get_jobs()} == {*jobs.JOBS, SEEK}
    assert scheduler.get_job(SEEK).trigger.interval <= timedelta(seconds=LEASE / 3)
