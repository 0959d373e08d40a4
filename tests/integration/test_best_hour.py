"""What the best hour is learned from, as it is stored: the same on both databases, and never more than is asked for."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import event, insert, text
from sqlmodel import col, select

from delivery.local_time import zone_of
from delivery.models import Message
from delivery.planning.best_hour import choose, draws, learned_hours
from delivery.planning.best_hour_repository import Heard, Window, heard_by_zone, heard_of, panel
from delivery.planning.planner import plan_tick
from experiments.clock import SteppedClock
from experiments.database import Database
from experiments.send_times import BestHour
from tests.integration.outbox import add_experiment, settings
from tests.integration.people import REMINDER, SILENCE, add_people, campaign, start_campaign

NOW = datetime(2026, 12, 1, 10, 0, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
AMSTERDAM, KOLKATA = zone_of("Europe/Amsterdam"), zone_of("Asia/Kolkata")
WINDOW = Window(since=NOW - 90 * DAY, until=NOW - DAY, read=HOUR, click=DAY)


def add_messages(database: Database, clock: SteppedClock, rows: Iterable[dict[str, Any]]) -> None:
    experiment_id = add_experiment(database, clock)
    with database.transaction() as session:
        session.connection().execute(
            insert(Message),
            [
                {
                    "experiment_id": experiment_id,
                    "variant": "a",
                    "step": step,
                    "category": "marketing",
                    "state": "delivered",
                    "first_due_at": NOW,
                    "due_at": NOW,
                    "read_at": None,
                    "clicked_at": None,
                    "delivered_at": row["slot_at"],
                    **row,
                }
                for step, row in enumerate(rows, 100)  # far from what a planner would number
            ],
        )


def sent(
    user_pk: int, slot_at: datetime, *, read: timedelta | None = None, click: timedelta | None = None
) -> dict[str, Any]:
    return {
        "user_pk": user_pk,
        "slot_at": slot_at,
        "read_at": None if read is None else slot_at + read,
        "clicked_at": None if click is None else slot_at + click,
    }


def evening(day: int) -> datetime:
    """19:20 in Amsterdam on a day of November."""
    return datetime(2026, 11, day, 18, 20, tzinfo=UTC)


@pytest.fixture
def people(database: Database, clock: SteppedClock) -> Database:
    with database.transaction() as session:
        add_people(session, clock, [1, 2])
        add_people(session, clock, [3], time_zone="Asia/Kolkata")
        add_people(session, clock, [4], time_zone="Nowhere/At_All")
    return database


def test_messages_are_summed_by_the_quarter_of_an_hour_of_sending(
    people: Database, clock: SteppedClock
) -> None:
    add_messages(
        people,
        clock,
        [
            sent(1, evening(2), read=HOUR, click=DAY),
            sent(1, evening(2) + timedelta(minutes=5), read=HOUR + timedelta(microseconds=1)),
            sent(1, evening(2) + timedelta(minutes=6), click=DAY + timedelta(microseconds=1)),
            sent(1, evening(2) + timedelta(minutes=7)),
            sent(2, evening(3), read=timedelta(0)),
        ],
    )
    quarter = int(evening(2).timestamp()) // 900
    with people.snapshot() as session:
        assert sorted(heard_of(session, [1, 2, 3], window=WINDOW)) == [
            Heard(1, quarter, messages=4, reads=2, clicks=2, read_soon=1, clicked_soon=1),
            Heard(2, quarter + 96, messages=1, reads=1, clicks=0, read_soon=1, clicked_soon=0),
        ]
        assert heard_of(session, [], window=WINDOW) == []


def test_what_was_not_delivered_or_is_too_old_or_too_fresh_does_not_count(
    people: Database, clock: SteppedClock
) -> None:
    add_messages(
        people,
        clock,
        [
            sent(1, evening(2)) | {"delivered_at": None, "state": "failed"},
            sent(1, NOW - 90 * DAY, read=HOUR),
            sent(1, NOW - DAY + timedelta(microseconds=1), read=HOUR),
            sent(1, evening(2)) | {"slot_at": None, "state": "planned"},
            sent(2, NOW - DAY, read=HOUR),  # the first that counts, and the last
            sent(2, NOW - 90 * DAY + timedelta(microseconds=1), read=HOUR) | {"delivered_at": None},
        ],
    )
    with people.snapshot() as session:
        heard = heard_of(session, [1, 2], window=WINDOW)
    assert [(each.user_pk, each.messages, each.reads) for each in heard] == [(2, 1, 1)] * 2


def test_the_panel_is_summed_by_zone(people: Database, clock: SteppedClock) -> None:
    add_messages(people, clock, [sent(user, evening(2), read=HOUR) for user in (1, 2, 3, 4)])
    with people.snapshot() as session:
        found = heard_by_zone(session, panel(session, size=2000), window=WINDOW)
    assert sorted((str(zone), heard.messages, heard.user_pk) for zone, heard in found) == [
        ("Asia/Kolkata", 1, 0),
        ("Europe/Amsterdam", 2, 0),
        ("UTC", 1, 0),
    ]


def test_a_panel_is_spread_over_all_users_and_bounded(people: Database) -> None:
    with people.snapshot() as session:
        assert panel(session, size=2000) == [1, 2, 3, 4]
        assert panel(session, size=2) == [1, 3]
        assert panel(session, size=3) == [1, 3]


def test_without_users_there_is_no_panel_and_nothing_is_known(database: Database) -> None:
    with database.snapshot() as session:
        assert panel(session, size=2000) == []
        assert learned_hours(session, [], zones={}, now=NOW) == {}


def test_the_hour_of_a_user_is_learned_and_planned(people: Database, clock: SteppedClock) -> None:
    # User 1 answers at seven in the evening and not at nine; user 3 was sent the same, in the night of Kolkata.
    mornings = [datetime(2026, 11, day, 8, 10, tzinfo=UTC) for day in range(2, 12)]
    evenings = [evening(day) for day in range(2, 12)]
    add_messages(
        people,
        clock,
        [sent(user, at, read=timedelta(minutes=5), click=HOUR) for user in (1, 3) for at in evenings]
        + [sent(user, at) for user in (1, 3) for at in mornings],
    )
    with people.snapshot() as session:
        known = learned_hours(session, [1, 2, 3], zones={1: AMSTERDAM, 2: AMSTERDAM, 3: KOLKATA}, now=NOW)
    assert set(known) == {1, 3}  # nobody wrote to user 2
    assert (known[1].messages, known[1].reads, known[1].clicks) == (20, 10, 10)
    rule = BestHour.model_validate({"fallback": "12:00", "explore": 0})
    draw = draws(experiment_id=1, user_pk=1)
    assert choose(rule, learned=known[1], draws=[draw(0)])[0]["hour"] == 19
    late = BestHour.model_validate({"fallback": "12:00", "explore": 0, "hours": [0, 23]})
    assert choose(late, learned=known[3], draws=[draw(0)])[0]["hour"] == 23


def test_it_reads_the_ledger_of_the_users_asked_for_and_scans_nothing(
    people: Database, clock: SteppedClock
) -> None:
    with people.transaction() as session:
        add_people(session, clock, range(5, 1500))
    add_messages(people, clock, [sent(user, evening(2), read=HOUR) for user in range(1, 1500)])
    if not people.is_sqlite:
        with people.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("ANALYZE messages"))
    statements: list[tuple[str, Any]] = []

    def note(_conn: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if statement.startswith("SELECT"):
            statements.append((statement, parameters))

    with people.snapshot() as session:
        event.listen(people.engine, "before_cursor_execute", note)
        heard_of(session, [7, 8, 9], window=WINDOW)
        heard_by_zone(session, [7, 8, 9], window=WINDOW)
        event.remove(people.engine, "before_cursor_execute", note)
        plans = [
            " ".join(
                str(row)
                for row in session.connection().exec_driver_sql(
                    ("EXPLAIN QUERY PLAN " if people.is_sqlite else "EXPLAIN ") + statement, parameters
                )
            )
            for statement, parameters in statements
        ]
    assert len(plans) == 2
    for plan in plans:
        assert "ix_messages_ledger" in plan
        assert "SCAN messages" not in plan
        assert "Seq Scan on messages" not in plan


def test_a_planned_message_says_how_its_hour_was_chosen(people: Database, clock: SteppedClock) -> None:
    evenings = [evening(day) for day in range(2, 12)]
    add_messages(people, clock, [sent(1, at, read=timedelta(minutes=5)) for at in evenings])
    arm = {
        **REMINDER,
        "send_time": {"best_hour": {"fallback": "12:10", "explore": 0.5}},
        "frequency": {"steps": 3},
    }
    with people.transaction() as session:
        experiment_id = start_campaign(
            session,
            clock,
            campaign("hours", variants=[{**SILENCE, "weight": 1}, {**arm, "weight": 1_000_000}]),
        ).id
    plan_tick(people, clock, settings=settings())
    with people.snapshot() as session:
        query = select(Message).where(col(Message.experiment_id) == experiment_id)
        planned = session.exec(query.order_by(col(Message.user_pk), col(Message.step))).all()
    assert [message.user_pk for message in planned] == [user for user in (1, 2, 3, 4) for _ in range(3)]
    for message in planned:
        choice = message.choice
        assert choice is not None
        draw = draws(experiment_id=experiment_id or 0, user_pk=message.user_pk)(message.step)
        best = 19 if message.user_pk == 1 else 12
        assert choice["best"] == best
        assert choice["hour"] == (8 + int(draw / 0.5 * 14) if draw < 0.5 else best)
        assert choice["propensity"] == pytest.approx(0.5 / 14 + 0.5 * (choice["hour"] == best))
        assert choice["evidence"]["reads"] == (10 if message.user_pk == 1 else 0)
        zone = {3: KOLKATA, 4: UTC}.get(message.user_pk, AMSTERDAM)
        assert message.due_at.astimezone(zone).strftime("%H:%M") == f"{choice['hour']:02}:10"
