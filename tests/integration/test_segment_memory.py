"""Slices that took long are told again, of the same report and for an hour."""

from datetime import timedelta

from sqlmodel import select

from analysis.reports.segment_reports import segment_report
from api.segment_memory import LONGEST, MOST, SLOW, SegmentReports
from experiments.clock import SteppedClock
from experiments.database import Database
from targeting.models import User
from tests.integration.segmented import segmented
from tests.integration.test_books import Machine
from tests.integration.test_report import look


def move_everybody_to(database: Database, country: str) -> None:
    with database.transaction() as session:
        for user in session.exec(select(User)):
            user.attributes = user.attributes | {"country": country}


def test_what_took_long_is_told_again_until_there_is_a_newer_report(
    database: Database, clock: SteppedClock
) -> None:
    segmented(database, clock, lifts=(6.0, 0.0, 0.0))
    report, machine = look(database, clock), Machine(SLOW)
    shelf = SegmentReports(machine)

    def names(by: str = "country") -> tuple[str, ...]:
        return shelf.get(database, report, by=by).slices

    before = shelf.get(database, report, by="country")
    assert before == segment_report(database, report, by="country")
    assert len(before.slices) > 1
    move_everybody_to(database, "FR")
    assert shelf.get(database, report, by="country") is before
    assert names("planet") == ("Earth",)
    machine.seconds += LONGEST
    assert names() == ("FR",)
    move_everybody_to(database, "ES")
    assert names() == ("FR",)
    clock.advance(timedelta(hours=2))
    report = look(database, clock)
    assert names() == ("ES",)


def test_what_took_a_moment_is_counted_anew(database: Database, clock: SteppedClock) -> None:
    segmented(database, clock, lifts=(0.0, 0.0, 0.0))
    report, shelf = look(database, clock), SegmentReports(Machine(0.9 * SLOW))
    for country in ("FR", "ES"):
        move_everybody_to(database, country)
        assert shelf.get(database, report, by="country").slices == (country,)


def test_of_many_the_oldest_make_room(database: Database, clock: SteppedClock) -> None:
    segmented(database, clock, lifts=(0.0, 0.0, 0.0))
    names = [f"a{i}" for i in range(MOST + 1)]
    with database.transaction() as session:
        for user in session.exec(select(User)):
            user.attributes = user.attributes | dict.fromkeys(names, "x")
    report, shelf = look(database, clock), SegmentReports(Machine(SLOW))
    first, *_, last = [shelf.get(database, report, by=name) for name in names]
    assert shelf.get(database, report, by=names[-1]) is last
    assert shelf.get(database, report, by=names[0]) is not first
