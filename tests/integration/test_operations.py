"""What goes on in delivery, as people and alarms see it."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlmodel import Session, col, select

from api import jobs
from api.overview_memory import Overviews
from api.wiring import Wiring
from delivery.fuses import breakers
from delivery.models import Message, NumberState, WebhookBody
from delivery.planning import planner
from delivery.sending import workers
from delivery.watch.books import Books
from delivery.watch.operations import Overview, failures, overview
from delivery.watch.summary import OLDEST, SETTLED
from delivery.watch.summary_repository import Tally
from experiments import service
from experiments.clock import SteppedClock
from experiments.database import Database
from experiments.lifecycle import Move
from experiments.models import Experiment
from experiments.settings import Settings
from tests.integration.people import add_people, campaign, start_campaign
from tests.integration.test_api_ops import numbers

NUMBER = "106540352242922"
SETTINGS = Settings(whatsapp_phone_number_id=NUMBER, messages_per_second=80)


def planned(database: Database, clock: SteppedClock, *keys: str) -> list[int]:
    """Planned campaigns over sixty people; the ids of their messages."""
    with database.transaction() as session:
        add_people(session, clock, range(1, 61))
        for key in keys:
            start_campaign(session, clock, campaign(key))
    planner.plan_tick(database, clock, settings=SETTINGS)
    with database.snapshot() as session:
        return list(session.exec(select(Message.id).order_by(col(Message.id))).all())


def change(session: Session, ids: list[int], **values: Any) -> None:
    for row in session.exec(select(Message).where(col(Message.id).in_(ids))).all():
        for name, value in values.items():
            setattr(row, name, value)


def seen(database: Database, clock: SteppedClock, key: str | None = None) -> Overview:
    with database.snapshot() as session:
        return overview(session, clock, settings=SETTINGS, key=key)


def test_the_queue_knows_what_is_due_what_is_not_and_what_is_paused(
    database: Database, clock: SteppedClock
) -> None:
    ids = planned(database, clock, "spring", "autumn")
    now = clock.now()
    with database.transaction() as session:
        change(session, ids, due_at=now + timedelta(hours=1))
        spring = [m.id for m in session.exec(select(Message).where(Message.experiment_id == 1)).all()]
        autumn = [m.id for m in session.exec(select(Message).where(Message.experiment_id == 2)).all()]
        change(session, spring[:3], due_at=now)
        change(session, spring[3:4], due_at=now - timedelta(minutes=7))
        change(session, autumn[:2], due_at=now - timedelta(minutes=30))
        change(session, autumn[2:3], due_at=now - timedelta(minutes=40), state="claimed")
    found = seen(database, clock).now.queue
    assert found == (6, len(ids) - 7, 0, now - timedelta(minutes=30))
    with database.transaction() as session:
        service.move(session, clock, actor="test", key="autumn", move=Move.PAUSE)
    found = seen(database, clock).now.queue
    assert found == (4, len(spring) - 4, len(autumn) - 1, now - timedelta(minutes=7))
    document = seen(database, clock).to_json()
    assert document["queue"]["oldest_age_seconds"] == 420
    assert document["waiting"] == len(ids)


def test_what_is_long_over_is_told_as_its_books_last_said(database: Database, clock: SteppedClock) -> None:
    """Once it was stopped for a week and checked since; what runs, what was just stopped and what nobody checks is counted."""
    ids = planned(database, clock, "spring", "autumn")
    with database.transaction() as session:
        spring = [m.id for m in session.exec(select(Message).where(Message.experiment_id == 1)).all()]
        change(session, spring[:2], state="failed", reason="never_for_person", error_code=131026)
        change(session, spring[2:3], state="suppressed", reason="cap")
        planner.stop(session, clock, actor="test", key="spring")
    clock.advance(SETTLED)
    Books(database, clock).tick()
    before = seen(database, clock)
    with database.transaction() as session:
        change(session, ids, state="read", reason=None, error_code=None)
    autumn = len(ids) - len(spring)

    def told() -> tuple[int, int, int]:
        found = seen(database, clock)
        states = found.summary.states
        return (
            states.get("failed", 0),
            states.get("read", 0),
            sum(each.messages for each in found.now.failures),
        )

    assert told() == (2, autumn, 2)
    now = seen(database, clock).summary
    assert (now.experiments[0], now.reasons, now.holds) == (
        before.summary.experiments[0],
        before.summary.reasons,
        True,
    )
    assert seen(database, clock, "spring").summary.states == {"read": len(spring)}
    clock.advance(OLDEST + timedelta(seconds=1))
    assert told() == (0, len(ids), 0)
    Books(database, clock).tick()
    with database.transaction() as session:
        change(session, spring[:1], state="failed")
        session.exec(select(Experiment).where(Experiment.key == "spring")).one().stopped_at = clock.now()
    assert told() == (1, len(ids) - 1, 1)


def test_the_rate_counts_what_went_out_lately_and_was_not_refused(
    database: Database, clock: SteppedClock
) -> None:
    ids = planned(database, clock, "spring")
    now = clock.now()
    with database.transaction() as session:
        change(session, ids[:6], state="accepted", slot_at=now - timedelta(seconds=30))
        change(session, ids[6:10], state="read", slot_at=now - timedelta(minutes=5))
        change(session, ids[10:12], state="read", slot_at=now - timedelta(minutes=15))
        change(session, ids[12:15], state="inflight", slot_at=now - timedelta(seconds=1), lease_until=now)
        change(session, ids[15:20], state="failed", slot_at=None)
    assert seen(database, clock).now.accepted_per_minute == {"1": 6.0, "15": round(10 / 15, 2)}


def test_failures_are_told_by_class_and_code_with_a_remedy(database: Database, clock: SteppedClock) -> None:
    ids = planned(database, clock, "spring")
    with database.transaction() as session:
        change(session, ids[:5], state="failed", reason="bad_request", error_code=132000)
        change(session, ids[5:7], state="suppressed", reason="undeliverable", error_code=131026)
        change(session, ids[7:10], reason="meta_cap", error_code=131049)
        change(session, ids[10:13], state="read", error_code=131049)
        # Its variant was retired while it waited for another try, which it will not get.
        change(session, ids[13:14], state="cancelled", reason="retired", error_code=131026)
        change(session, ids[14:15], state="failed", reason="bad_request", error_code=None)
    rows = seen(database, clock, "spring").to_json()["failures"]
    assert [(row["error_class"], row["code"], row["state"], row["messages"]) for row in rows] == [
        ("bad_request", 132000, "failed", 5),
        ("recipient_later", 131049, "planned", 3),
        ("never_for_person", 131026, "suppressed", 2),
        ("bad_request", None, "failed", 1),
    ]
    assert "parameters" in rows[0]["remedy"]
    assert rows[0]["meaning"] == "the template takes another number of parameters"


def test_lines_of_one_error_are_one_failure() -> None:
    lines = [
        Tally(1, "a", "failed", "bad_request", 132000, 2),
        Tally(2, "b", "failed", "bad_request", 132000, 3),
        Tally(2, "b", None, None, None, 99),
        Tally(2, "b", "planned", "cap", None, 9),
    ]
    assert [(found.error.code, found.messages) for found in failures(lines)] == [(132000, 5)]


def test_fuses_workers_tier_number_and_inbox(database: Database, clock: SteppedClock) -> None:
    ids = planned(database, clock, "spring")
    now = clock.now()
    assert not seen(database, clock).now.paused
    with database.transaction() as session:
        breakers.pause_all(session, clock, actor="test", reason="the shop is closed")
        for name in ("a:1", "b:2"):
            workers.beat(session, clock, name=name, number=NUMBER)
        workers.beat(session, clock, name="c:3", number="another")
        session.add(
            NumberState(
                number=NUMBER, quality="YELLOW", quality_at=now, unique_users=1000, unique_users_at=now
            )
        )
        change(session, ids[:4], state="read", slot_at=now - timedelta(hours=1))
        change(session, ids[4:5], state="read", slot_at=now - timedelta(hours=24))
        people = {m.user_pk for m in session.exec(select(Message).where(col(Message.id).in_(ids[:4]))).all()}
        for at, values in [
            (now - timedelta(minutes=2), {}),
            (now - timedelta(minutes=9), {"projected_at": now}),
            (now - timedelta(minutes=9), {"projected_at": now, "error": "no JSON"}),
            (now - timedelta(minutes=1), {"unmatched": [{}]}),
        ]:
            session.add(WebhookBody(body=b"{}", received_at=at, **values))
    found = seen(database, clock).now
    assert found.paused
    assert [(fuse.kind, fuse.key) for fuse in found.breakers] == [("all", "*")]
    assert "the shop is closed" in found.breakers[0].reason
    assert {process.name: process.share for process in found.workers} == {"a:1": 40, "b:2": 40, "c:3": 80}
    assert (found.tier.unique_users, found.tier.limit) == (len(people), 1000)
    assert (found.number.quality, found.number.status) == ("YELLOW", None)
    assert found.inbox == (1, now - timedelta(minutes=2), 1, 1)


def test_the_answer_keeps_its_old_fields_and_says_more(
    writer: TestClient, wiring: Wiring, clock: SteppedClock
) -> None:
    planned(wiring.database, clock, "spring", "autumn")
    jobs.JOBS["check-books"](wiring)
    document = writer.get("/v1/delivery/summary").json()
    assert {
        "states",
        "reasons",
        "funnel",
        "waiting",
        "webhooks_waiting",
        "experiments",
        "holds",
    } <= document.keys()
    assert document["leader"] is None
    assert [(books["experiment"], books["holds"]) for books in document["books"]] == [
        ("spring", True),
        ("autumn", True),
    ]
    assert datetime.fromisoformat(document["books"][0]["checked_at"]) == clock.now()
    alone = writer.get("/v1/delivery/summary", params={"experiment": "autumn"}).json()
    assert [books["experiment"] for books in alone["books"]] == ["autumn"]
    assert writer.get("/v1/delivery/summary", params={"experiment": "winter"}).status_code == 404
    assert "+1" not in str(document)


def test_prometheus_sees_the_same(writer: TestClient, wiring: Wiring, clock: SteppedClock) -> None:
    ids = planned(wiring.database, clock, "spring")
    jobs.JOBS["check-books"](wiring)
    with wiring.database.transaction() as session:
        change(session, ids[:5], state="failed", reason="bad_request", error_code=132000)
        change(session, ids[5:6], error_code=131049, reason="meta_cap")
        session.delete(session.get(Message, ids[6]))
        breakers.pause_all(session, clock, actor="test", reason="test")
        session.add(
            NumberState(
                number="1",
                quality="GREEN",
                quality_at=clock.now(),
                unique_users=250,
                unique_users_at=clock.now(),
            )
        )
    ready = writer.get("/readyz").json()
    before: Mapping[str, float] = numbers(writer)
    assert before['touchstone_failures{error_class="bad_request",code="132000"}'] == 5
    assert before['touchstone_failures{error_class="recipient_later",code="131049"}'] == 1
    assert before["touchstone_paused"] == 1
    assert before["touchstone_unique_users_limit"] == 250
    assert before['touchstone_number_quality{quality="GREEN"}'] == 1
    assert before['touchstone_books_broken{experiment="spring"}'] == 0
    clock.advance(timedelta(seconds=90))
    assert numbers(writer)['touchstone_books_age_seconds{experiment="spring"}'] == 90
    wiring.__dict__.pop("books")
    jobs.JOBS["check-books"](wiring)
    assert numbers(writer)['touchstone_books_broken{experiment="spring"}'] == 1
    assert writer.get("/readyz").json() == ready


@pytest.mark.parametrize("when", ["due", "later", "paused"])
def test_no_phone_and_no_person_is_in_the_numbers(http: TestClient, when: str) -> None:
    text = http.get("/metrics").text
    assert f'touchstone_queue{{when="{when}"}} 0\n' in text
    assert "user" not in text.replace("touchstone_unique_users", "")


def test_what_took_long_to_count_is_kept_for_a_while_and_says_of_when_it_is(
    database: Database, clock: SteppedClock
) -> None:
    seconds = iter([0.0, 2.0, 3.0, 41.9, 42.0, 42.1, 42.2, 42.3])
    shelf = Overviews(monotonic=lambda: next(seconds))
    began = clock.now()
    with database.snapshot() as session:
        first = shelf.get(session, clock, settings=SETTINGS)
        clock.advance(timedelta(seconds=1))
        assert shelf.get(session, clock, settings=SETTINGS) is first
        assert shelf.get(session, clock, settings=SETTINGS).at == began
        # 20 times the two seconds that it took are over; this time it is quick, so it is not kept.
        assert shelf.get(session, clock, settings=SETTINGS).at == clock.now()
        clock.advance(timedelta(seconds=1))
        assert shelf.get(session, clock, settings=SETTINGS).at == clock.now()
