"""The consent ledger and the present state, on both databases."""

from datetime import timedelta

import pytest
from sqlmodel import select

from experiments.clock import SteppedClock
from experiments.database import Database
from experiments.errors import NotFound
from experiments.vocabulary import OPTED_OUT_EVENT
from targeting import consent, users
from targeting.consent import Applied, ConsentChange
from targeting.models import Event
from targeting.user_repository import ledger_of


@pytest.fixture
def user_pk(database: Database, clock: SteppedClock) -> int:
    with database.transaction() as session:
        pk = users.upsert(session, clock, actor="ann", user_id="u1").id
    assert pk is not None
    return pk


def state(database: Database, user_pk: int) -> dict[str, bool]:
    with database.snapshot() as session:
        return {row.category: row.granted for row in consent.consents_of(session, user_pk=user_pk)}


def ledger(database: Database, user_pk: int) -> list[tuple[bool, str]]:
    with database.snapshot() as session:
        return [(row.granted, row.evidence) for row in ledger_of(session, user_pk)]


def opt_outs(database: Database) -> list[Event]:
    with database.snapshot() as session:
        return list(session.exec(select(Event).where(Event.name == OPTED_OUT_EVENT)).all())


def test_a_user_who_was_never_asked_has_no_consent(database: Database, user_pk: int) -> None:
    assert state(database, user_pk) == {}


def test_grant_withdraw_grant(database: Database, clock: SteppedClock, user_pk: int) -> None:
    steps = [
        (consent.grant, "form", True),
        (consent.grant, "form again", False),
        (consent.withdraw, "STOP", True),
        (consent.withdraw, "STOP again", False),
        (consent.grant, "START", True),
    ]
    for change, evidence, news in steps:
        clock.advance(timedelta(minutes=1))
        with database.transaction() as session:
            said = change(
                session, clock, user_pk=user_pk, category="marketing", source="whatsapp", evidence=evidence
            )
        assert said is news
        assert state(database, user_pk) == {"marketing": change is consent.grant}
    assert ledger(database, user_pk) == [(True, "form"), (False, "STOP"), (True, "START")]
    [event] = opt_outs(database)
    assert (event.user_pk, event.properties) == (user_pk, {"category": "marketing", "source": "whatsapp"})


def test_categories_are_apart(database: Database, clock: SteppedClock, user_pk: int) -> None:
    with database.transaction() as session:
        consent.grant(session, clock, user_pk=user_pk, category="utility", source="api")
        consent.grant(session, clock, user_pk=user_pk, category="marketing", source="api")
        consent.withdraw(session, clock, user_pk=user_pk, category="marketing", source="api")
    assert state(database, user_pk) == {"marketing": False, "utility": True}


def test_stopping_before_ever_agreeing_is_an_opt_out(
    database: Database, clock: SteppedClock, user_pk: int
) -> None:
    with database.transaction() as session:
        assert consent.withdraw(session, clock, user_pk=user_pk, category="marketing", source="whatsapp")
    assert state(database, user_pk) == {"marketing": False}
    assert len(opt_outs(database)) == 1


def test_nobody_is_told_by_name(database: Database, clock: SteppedClock, user_pk: int) -> None:
    with pytest.raises(NotFound), database.transaction() as session:
        consent.grant(session, clock, user_pk=user_pk + 1, category="marketing", source="api")


def test_a_file_never_undoes_an_opt_out(database: Database, clock: SteppedClock, user_pk: int) -> None:
    yes = ConsentChange(user_pk, "marketing", granted=True, source="import", evidence="line 2")
    no = ConsentChange(user_pk, "marketing", granted=False, source="import", evidence="line 3")
    for changes, expected in [
        ([yes], Applied(granted=1)),
        ([yes, yes], Applied()),
        ([no], Applied(withdrawn=1)),
        ([yes], Applied(kept_withdrawn=1)),
        ([yes, no], Applied(kept_withdrawn=1)),
    ]:
        with database.transaction() as session:
            assert consent.apply_changes(session, clock, changes=changes, from_file=True) == expected
    assert state(database, user_pk) == {"marketing": False}
    assert len(opt_outs(database)) == 1


def test_a_no_in_a_file_about_somebody_never_asked_is_no_opt_out(
    database: Database, clock: SteppedClock, user_pk: int
) -> None:
    no = ConsentChange(user_pk, "marketing", granted=False, source="import")
    with database.transaction() as session:
        assert consent.apply_changes(session, clock, changes=[no], from_file=True) == Applied(withdrawn=1)
    assert state(database, user_pk) == {"marketing": False}
    assert opt_outs(database) == []


def test_within_one_batch_the_order_counts(database: Database, clock: SteppedClock, user_pk: int) -> None:
    changes = [
        ConsentChange(user_pk, "marketing", granted=granted, source="api", evidence=str(step))
        for step, granted in enumerate([True, False, True])
    ]
    with database.transaction() as session:
        assert consent.apply_changes(session, clock, changes=changes) == Applied(granted=2, withdrawn=1)
    assert state(database, user_pk) == {"marketing": True}
    assert ledger(database, user_pk) == [(True, "0"), (False, "1"), (True, "2")]
