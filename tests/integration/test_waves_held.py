"""Waves that must not go out as they stand: a split in doubt, an audience that has changed, one that was not there; and when all is told."""

from datetime import timedelta
from pathlib import Path

import pytest
from sqlmodel import Session, select

from analysis.bandits.reallocation import act, considered_now, reallocate_tick
from analysis.reports.models import StoredReport
from analysis.reports.repository import newest_report
from analysis.reports.service import refresh_report, refresh_tick
from analysis.warehouse.export import export_facts
from delivery.watch.why import why
from experiments.arms import retire_variant
from experiments.clock import SteppedClock, format_moment
from experiments.database import Database
from experiments.repository import get_experiment
from targeting import campaigns, enrolment
from targeting.models import Consent, User
from tests.integration.analysis_rows import DAY
from tests.integration.broadcast import (
    EVEN,
    KEY,
    WINS,
    a_slot,
    arms,
    assigned,
    begin,
    experiment,
    people_buy,
    plan,
    within,
)
from tests.integration.enrolling import counts
from tests.integration.outbox import settings
from tests.integration.people import add_people
from tests.integration.warehouse_rows import opened


def test_nothing_is_shipped_while_the_split_is_in_doubt(database: Database, clock: SteppedClock) -> None:
    """A report cannot see it: the sizes are right, and the chances that were logged are not."""
    begin(database, clock, people=3000)
    plan(database, clock)
    people_buy(database, clock, WINS)
    with database.transaction() as session:
        session.connection().exec_driver_sql("UPDATE assignments SET propensity = 0.25 WHERE user_pk < 40")
    clock.advance(2 * DAY)
    (row,) = reallocate_tick(database, clock)
    with database.snapshot() as session:
        report = newest_report(session, row.experiment_id)
    assert report is not None
    assert report.body["decision"]["action"] == "ship"
    assert (row.outcome, row.numbers["wave"]["action"]) == ("skipped", "held")
    assert row.numbers["wave"]["reason"].startswith("users of epoch 1 were drawn into")
    assert experiment(database).shipped is None


def test_a_ramp_while_a_slot_is_considered_makes_it_considered_anew(
    database: Database, clock: SteppedClock
) -> None:
    """Twice as many take part now, so a wave of so many users is another share."""
    begin(
        database,
        clock,
        people=3000,
        audience={"coverage": 0.4},
        allocation={"waves": {"users": 300}, "burn_in": 20},
    )
    plan(database, clock)
    people_buy(database, clock, EVEN)
    clock.advance(2 * DAY)
    with database.transaction() as session:
        refresh_report(session, clock, key=KEY)
    with database.snapshot() as session:
        considered = considered_now(session, clock, key=KEY)
    assert considered is not None
    assert considered.wave is not None
    assert considered.wave.action == "released"
    with database.transaction() as session:
        campaigns.ramp(session, clock, actor="ann", key=KEY, coverage=1.0)
    with database.transaction() as session:
        assert act(session, clock, considered) is None
    assert experiment(database).released == considered.wave.before


def test_an_audience_that_nobody_could_take_part_of_is_counted_again(
    database: Database, clock: SteppedClock
) -> None:
    """Whoever agrees by then goes out so many at a time, and not all at once because there was nobody to count."""
    begin(database, clock, people=2000, allocation={"waves": {"users": 300}, "burn_in": 20})
    with database.transaction() as session:
        session.connection().exec_driver_sql("UPDATE consents SET granted = false")
    plan(database, clock)
    assert assigned(database) == {}
    with database.transaction() as session:
        session.connection().exec_driver_sql("UPDATE consents SET granted = true")
    clock.advance(DAY)
    (row,) = reallocate_tick(database, clock)
    words = "nobody could take part; the audience is counted anew for the first wave"
    assert row.numbers["wave"]["reason"] == words
    plan(database, clock)
    assert experiment(database).released == 0.15
    assert set(assigned(database)) == within(0.15, range(1, 2001))


def test_nothing_is_reported_any_more_once_the_last_window_of_the_last_wave_has_closed(
    database: Database, clock: SteppedClock
) -> None:
    made = begin(database, clock, people=400, allocation={"waves": {"share": 0.5}, "burn_in": 100_000})

    def reports(hours: int) -> int:
        found = 0
        for _ in range(hours):
            clock.advance(timedelta(hours=1))
            found += refresh_tick(database, clock)
        return found

    plan(database, clock)
    clock.advance(2 * DAY)
    # All windows are closed, and half of the audience is still to come.
    assert reports(3) == 3
    (row,) = reallocate_tick(database, clock)
    assert row.numbers["wave"]["upto"] == 1.0
    plan(database, clock)
    assert reports(30) == 24
    with database.snapshot() as session:
        final = newest_report(session, made.id or 0)
    assert final is not None
    assert final.information == 1.0
    # More take part: there is something to tell again.
    with database.transaction() as session:
        add_people(session, clock, range(401, 402))
        enrolment.reopen(session, experiment_id=made.id or 0, growth=1.0)
    assert reports(1) == 1


def _looks(database: Database) -> int:
    with database.snapshot() as session:
        return len(session.exec(select(StoredReport)).all())


def test_a_short_slot_decides_by_a_report_of_its_own(database: Database, clock: SteppedClock) -> None:
    """The report of the last hour knows nothing of those whose window has closed since."""
    begin(database, clock, people=3000, allocation={"interval": "30m"})
    plan(database, clock)
    people_buy(database, clock, WINS)
    clock.advance(DAY - timedelta(minutes=10))
    with database.transaction() as session:
        before = refresh_report(session, clock, key=KEY)
    assert before.body["decision"]["action"] == "continue"
    clock.advance(timedelta(minutes=40))
    (row,) = reallocate_tick(database, clock)
    assert row.outcome == "shipped", row.reason
    assert row.numbers["report"] == {"as_of": format_moment(clock.now()), "decision": "ship"}


def test_a_slot_makes_no_second_report_of_a_moment_ago(database: Database, clock: SteppedClock) -> None:
    begin(database, clock, allocation={"interval": "1d"})
    plan(database, clock)
    people_buy(database, clock, EVEN)
    clock.advance(2 * DAY + timedelta(minutes=30))
    with database.transaction() as session:
        made = refresh_report(session, clock, key=KEY).as_of
    clock.advance(timedelta(minutes=20))
    (row,) = reallocate_tick(database, clock)
    assert row.numbers["report"]["as_of"] == format_moment(made)
    assert _looks(database) == 1
    # One from before the slot began is not of it, however young.
    clock.advance(timedelta(hours=22, minutes=50))
    with database.transaction() as session:
        refresh_report(session, clock, key=KEY)
    clock.advance(timedelta(minutes=20))
    (row,) = reallocate_tick(database, clock)
    assert row.numbers["report"]["as_of"] == format_moment(clock.now())


def test_an_old_copy_of_the_facts_ends_nothing(
    database: Database, clock: SteppedClock, tmp_path: Path
) -> None:
    """The copy knows of a winner, and is older than a slot."""
    begin(database, clock, people=3000)
    plan(database, clock)
    people_buy(database, clock, WINS)
    clock.advance(DAY + timedelta(minutes=1))
    export_facts(database, clock, folder=tmp_path, format_="parquet")
    engine = opened(f"duckdb:///{tmp_path}")
    clock.advance(DAY + timedelta(minutes=1))
    (row,) = reallocate_tick(database, clock, facts=engine)
    engine.dispose()
    assert row.numbers["report"]["decision"] == "ship"
    assert (row.outcome, row.numbers["wave"]["action"]) == ("skipped", "held")
    assert "export it anew" in row.numbers["wave"]["reason"]


def grant_all(session: Session, clock: SteppedClock, people: range) -> None:
    """They agree to be messaged."""
    for n in people:
        session.add(Consent(user_pk=n, category="marketing", granted=True, changed_at=clock.now()))


def test_a_wave_of_so_many_users_reckons_with_those_who_have_joined_since(
    database: Database, clock: SteppedClock
) -> None:
    begin(database, clock, people=1500, allocation={"waves": {"users": 300}, "burn_in": 20})
    plan(database, clock)
    first = len(assigned(database))
    assert experiment(database).released == 0.2
    plan(database, clock)
    clock.advance(2 * DAY)
    with database.transaction() as session:
        add_people(session, clock, range(1501, 2251))
    reallocate_tick(database, clock)
    waiting = 2250 - first
    assert experiment(database).released == pytest.approx(0.2 + 0.8 * 300 / waiting, abs=0.001)
    plan(database, clock)
    assert abs(len(assigned(database)) - first - 300) < 80
    # Nobody has come since: so many of those who were counted.
    released = experiment(database).released or 0.0
    clock.advance(2 * DAY)
    reallocate_tick(database, clock)
    assert experiment(database).released == pytest.approx(released + (1 - released) * 300 / (2250 - len(assigned(database))), abs=0.001)  # fmt: skip


def test_whoever_comes_to_match_later_makes_no_wave_larger(database: Database, clock: SteppedClock) -> None:
    """Half of the audience is out, and then twice as many agree as were there at all: no new users, and half of them have their
    place among those who are out. They wait with the others, and in the end everybody has had their turn once.
    """
    made = begin(database, clock, people=1200, allocation={"waves": {"users": 300}, "burn_in": 100_000})
    with database.transaction() as session:
        add_people(session, clock, range(1201, 3601), consent=())
    sizes: list[int] = []

    def a_wave() -> None:
        before = len(assigned(database))
        plan(database, clock)
        sizes.append(len(assigned(database)) - before)

    def a_slot_later() -> float:
        clock.advance(2 * DAY)
        reallocate_tick(database, clock)
        return experiment(database).released or 0.0

    a_wave()
    half = a_slot_later()
    a_wave()
    with database.transaction() as session:
        grant_all(session, clock, range(1201, 3601))
    late = min(within(half, range(1201, 3601)))
    with database.snapshot() as session:
        told = why(session, clock, user_id=f"user-{late}", experiment=KEY, settings=settings())
    assert told.experiments[0].outcome == "waiting_for_wave"
    for _ in range(2):
        a_slot_later()
        a_wave()
    # 300 on average, sd below 17.
    assert all(abs(size - 300) < 85 for size in sizes), sizes
    assert len(set(assigned(database)) & within(half, range(1201, 3601))) > 150
    with database.transaction() as session:
        campaigns.release_wave(
            session, clock, actor="ann", experiment=get_experiment(session, KEY), upto=1.0, reason="all"
        )
    a_wave()
    assert set(assigned(database)) == set(range(1, 3601))
    assert counts(database, made) == {"assigned": 3600, "excluded": {}}


def test_a_wave_of_so_many_users_reckons_with_those_who_have_left(
    database: Database, clock: SteppedClock
) -> None:
    begin(
        database,
        clock,
        people=1500,
        audience={"condition": {"country": "NL"}, "holdout": 0.2},
        allocation={"waves": {"users": 300}, "burn_in": 20},
    )
    plan(database, clock)
    released, there = experiment(database).released or 0.0, assigned(database)
    gone = [n for n in range(1, 1501) if n not in there][::2]
    with database.transaction() as session:
        for n in gone:
            session.get_one(User, n).attributes = {"country": "BR"}
    clock.advance(2 * DAY)
    reallocate_tick(database, clock)
    upto = experiment(database).released or 0.0
    # Half of those without a variant are still there, and the held out fifth is not meant by the wave.
    plan(database, clock)
    assert upto - released == pytest.approx((1 - released) * 300 / (0.8 * 1500 - len(there)) * 2, rel=0.15)
    assert abs(len(assigned(database)) - len(there) - 300) < 80


def test_a_variant_that_was_retired_early_does_not_keep_the_winner_from_the_rest(
    database: Database, clock: SteppedClock
) -> None:
    """It has a quarter of the users that a decision asks of every arm, and will never have more; nor has it sold anything."""
    begin(
        database,
        clock,
        people=3000,
        allocation={"waves": {"share": 0.04}},
        plan={"rules": {"min_users": 150}},
    )
    a_slot(database, clock, {"silence": 0.05, "reminder": 0.0, "coupon": 0.25})
    assert arms(database)["reminder"] < 60
    with database.transaction() as session:
        retire_variant(
            session, clock, actor="ann", key=KEY, variant="reminder", reason="sold out", silence=False
        )
        campaigns.release_wave(
            session, clock, actor="ann", experiment=get_experiment(session, KEY), upto=0.6, reason="go on"
        )
    row = a_slot(database, clock, WINS, days=2)
    assert arms(database)["reminder"] < 60
    assert row.outcome == "shipped", row.reason
    assert experiment(database).shipped == "coupon"
