"""What happens is noted in its own transaction, and costs one read of an index when no rule waits for it."""

import pytest
from sqlalchemy import event as sqlalchemy_event
from sqlalchemy import text

from experiments.clock import SteppedClock
from experiments.database import Database
from targeting import events, rule_triggers, users
from targeting.rule_triggers import AttributeChange
from targeting.trigger_repository import _AWAITED
from tests.integration.rule_world import ORDERED, happens, person, put, rule, waiting


def test_nothing_is_written_when_no_rule_waits(database: Database, clock: SteppedClock) -> None:
    put(database, clock, rule(), rule("other", trigger={"type": "attribute", "attribute": "plan"}), on=False)
    statements: list[str] = []
    sqlalchemy_event.listen(
        database.engine, "before_cursor_execute", lambda *args: statements.append(args[2])
    )
    with database.transaction() as session:
        session.connection()
        statements.clear()
        change = AttributeChange(1, {}, {"plan": "paid"})
        assert rule_triggers.note_events(session, events=[(1, 1, ORDERED)], now=clock.now()) == 0
        assert rule_triggers.note_changes(session, changes=[change], now=clock.now()) == 0
    assert len(statements) == 2
    assert all("waits_for" in statement for statement in statements)


def test_what_is_awaited_is_read_from_an_index(database: Database, clock: SteppedClock) -> None:
    put(database, clock, *(rule(f"r{n}") for n in range(3)))
    with database.snapshot() as session:
        assert rule_triggers.awaited_events(session) == {ORDERED}
        if database.is_sqlite:
            plan = session.execute(text(f"EXPLAIN QUERY PLAN {_AWAITED.compile(session.get_bind())}")).all()
            assert any("COVERING INDEX ix_rules_waits_for" in row[-1] for row in plan)


def test_a_transaction_that_fails_takes_what_it_noted_along(database: Database, clock: SteppedClock) -> None:
    put(database, clock, rule(), rule("plan", trigger={"type": "attribute", "attribute": "plan"}))
    with pytest.raises(ZeroDivisionError), database.transaction() as session:
        call = events.TrackCall("m1", "ann", None, ORDERED, clock.now())
        events.ingest(session, clock, calls=[call], default_region="")
        users.upsert(session, clock, actor="test", user_id="ann", attributes={"plan": "free"})
        _ = 1 / 0
    assert waiting(database) == 0
    happens(database, clock, "ann", message_id="m1")
    person(database, clock, "ann", plan="free")
    person(database, clock, "ann", country="NL")
    assert waiting(database) == 2
