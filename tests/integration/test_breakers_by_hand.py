"""Fuses of our numbers are closed by either name of the number."""

from datetime import datetime, timedelta

import pytest

from delivery.fuses import breakers, number_repository
from delivery.fuses.breakers import Kind
from experiments.clock import SteppedClock
from experiments.database import Database
from experiments.errors import NotFound

NUMBER, DIGITS = "106540352242922", "+12025550100"


def _trip(database: Database, key: str, at: datetime) -> None:
    with database.transaction() as session:
        breakers.trip(session, kind=Kind.NUMBER, key=key, at=at, until=None, code=None, reason="FLAGGED")


def _close(database: Database, clock: SteppedClock, key: str) -> str:
    clock.advance(timedelta(seconds=1))
    with database.transaction() as session:
        return breakers.close(session, clock, actor="ops", kind=Kind.NUMBER, key=key).key


@pytest.mark.parametrize(("opened", "named"), [(DIGITS, NUMBER), (NUMBER, DIGITS), (NUMBER, NUMBER)])
def test_a_number_may_be_named_by_its_id_or_its_digits(
    database: Database, clock: SteppedClock, opened: str, named: str
) -> None:
    with database.transaction() as session:
        number_repository.name(session, {NUMBER: DIGITS})
    _trip(database, opened, clock.now())
    assert _close(database, clock, named) == opened
    with database.snapshot() as session:
        assert breakers.open_breakers(session, clock) == []


def test_an_id_whose_digits_nobody_knows_is_refused_with_what_is_open(
    database: Database, clock: SteppedClock
) -> None:
    _trip(database, DIGITS, clock.now())
    with pytest.raises(NotFound, match=r"'106540352242922' is open; open are \+12025550100"):
        _close(database, clock, NUMBER)
