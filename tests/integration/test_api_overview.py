"""The installation at a glance, and the list of experiments: from kept reports and counts, the same on both databases."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import event
from sqlmodel import Session, select

from analysis.reports.models import StoredReport
from analysis.reports.service import refresh_report
from analysis.warehouse.tables import Copied
from api.overview_memory import Overviews
from api.overviewing import AlertKind, glance
from api.wiring import Wiring
from delivery.fuses import breakers
from delivery.fuses.breakers import Kind
from delivery.models import Balance, Message, NumberState
from delivery.planning import planner
from delivery.sending import workers
from experiments import service
from experiments.clock import ScaledClock, SteppedClock, SystemClock
from experiments.database import Database
from experiments.repository import get_experiment
from experiments.stopped_arms import stop_arm
from experiments.vocabulary import MessageState
from targeting.models import Rule
from tests.integration.looks import campaign as looked_at
from tests.integration.looks import look_often
from tests.integration.people import add_people, campaign, start_campaign
from tests.integration.rule_world import rule

OVERVIEW = "/v1/overview"
DAY = timedelta(days=1)


def seen(http: TestClient) -> dict[str, Any]:
    answer = http.get(OVERVIEW)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def kinds(http: TestClient) -> list[str]:
    return [alert["kind"] for alert in seen(http)["alerts"]]


def listed(http: TestClient, **params: Any) -> dict[str, Any]:
    answer = http.get(f"{OVERVIEW}/experiments", params=params)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def change_report(session: Session, key: str, **parts: Any) -> None:
    """Let the newest report say something else."""
    experiment = get_experiment(session, key)
    rows = session.exec(select(StoredReport).where(StoredReport.experiment_id == experiment.id)).all()
    rows[-1].body = {**rows[-1].body, **parts}


def test_an_empty_installation_has_nothing_to_say(writer: TestClient) -> None:
    found = seen(writer)
    assert (found["alerts"], found["live"], found["counts"], found["not_looked_at"]) == ([], [], {}, 0)
    assert (found["delivery"]["messages"], found["delivery"]["people"]) == (0, 0)
    assert found["delivery"]["marketing"]["week"] == 3
    assert listed(writer) == {"items": [], "next_cursor": None, "counts": {}}


def test_a_card_says_what_the_newest_report_says(
    writer: TestClient, wiring: Wiring, clock: SteppedClock
) -> None:
    key = looked_at(wiring.database, clock, users=150)
    look_often(wiring.database, clock, key, looks=3, every=2 * DAY)
    report = writer.get(f"/v1/experiments/{key}/report").json()
    (card,) = seen(writer)["live"]
    assert (card["key"], card["status"], card["policy"], card["report_old"]) == (
        key,
        "running",
        "fixed",
        False,
    )
    shown = card["report"]
    assert shown["as_of"] == report["as_of"]
    assert shown["metrics"] == [metric for metric in report["metrics"] if metric["role"] == "primary"]
    assert shown["metrics"][0]["effects"][0]["absolute"]["estimate"] is not None
    assert (shown["health"], shown["decision"]) == (report["health"], report["decision"])
    assert [arm["assigned"] for arm in shown["arms"]] == [arm["assigned"] for arm in report["arms"]]
    assert listed(writer)["items"] == [card]


def test_looking_at_the_overview_makes_no_report_and_asks_the_same_however_many_run(
    writer: TestClient, wiring: Wiring, clock: SteppedClock
) -> None:
    def add(*names: str) -> None:
        with wiring.database.transaction() as session:
            for name in names:
                start_campaign(session, clock, campaign(name))
                refresh_report(session, clock, key=name)

    def statements() -> int:
        asked: list[str] = []

        def note(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
            asked.append(statement)

        event.listen(wiring.database.engine, "before_cursor_execute", note)
        seen(writer)
        listed(writer)
        event.remove(wiring.database.engine, "before_cursor_execute", note)
        return len(asked)

    with wiring.database.transaction() as session:
        add_people(session, clock, range(1, 31))
    add("one")
    statements()  # the first connection asks about the server, too
    few = statements()
    add("two", "three", "four", "five")
    clock.advance(DAY)
    assert statements() == few
    with wiring.database.snapshot() as session:
        assert len(session.exec(select(StoredReport.id)).all()) == 5


def test_a_broken_split_and_a_broken_guardrail_are_red_and_come_first(
    writer: TestClient, wiring: Wiring, clock: SteppedClock
) -> None:
    key = looked_at(wiring.database, clock, users=150)
    look_often(wiring.database, clock, key, looks=2, every=3 * DAY)
    assert seen(writer)["alerts"] == []
    with wiring.database.transaction() as session:
        body = session.exec(select(StoredReport).order_by(StoredReport.id.desc())).first().body  # type: ignore[union-attr]
        check = {"check": "srm", "stage": "assigned", "p_value": 1e-9, "ok": False, "detail": "90 : 10"}
        later = {**check, "stage": "read", "blocking": False}
        metrics = [dict(metric) for metric in body["metrics"]]
        harmed = {
            **metrics[0]["effects"][0],
            "guardrail": {"margin": 0.1, "non_inferior": False, "breached": True},
        }
        metrics[0] = {**metrics[0], "effects": [harmed, *metrics[0]["effects"][1:]]}
        change_report(session, key, health=[{**check, "blocking": True}, later], metrics=metrics)
    clock.advance(DAY)
    found = seen(writer)["alerts"]
    assert [(each["kind"], each["severity"], each["subject"], each["detail"]) for each in found] == [
        ("srm", "red", "assigned", "90 : 10"),
        ("guardrail_breached", "red", harmed["variant"], metrics[0]["metric"]),
        ("report_old", "amber", None, ""),
    ]
    assert {each["experiment"] for each in found} == {key}
    # Once it is stopped, that is what is said of the variant.
    with wiring.database.transaction() as session:
        stop_arm(
            session, clock, actor="t", key=key, variant=harmed["variant"], guard="x", reason="harm", numbers={}
        )  # fmt: skip
    found = seen(writer)
    assert [each["kind"] for each in found["alerts"]] == ["variant_stopped", "srm", "report_old"]
    assert found["alerts"][0]["detail"] == "harm"
    assert found["live"][0]["stopped_variants"] == [harmed["variant"]]


def test_a_running_experiment_that_nobody_looks_at_is_told_of(
    writer: TestClient, wiring: Wiring, clock: SteppedClock
) -> None:
    with wiring.database.transaction() as session:
        add_people(session, clock, range(1, 31))
        start_campaign(session, clock, campaign("spring"))
    clock.advance(timedelta(minutes=119))
    assert kinds(writer) == []
    clock.advance(timedelta(minutes=2))
    assert kinds(writer) == ["report_old"]
    assert (seen(writer)["live"][0]["report"], seen(writer)["live"][0]["report_old"]) == (None, True)


def test_an_experiment_that_will_never_decide_is_told_of(
    writer: TestClient, wiring: Wiring, clock: SteppedClock
) -> None:
    with wiring.database.transaction() as session:
        add_people(session, clock, range(1, 61))
        start_campaign(session, clock, campaign("spring"))
        refresh_report(session, clock, key="spring")
    # More may still come: nobody has gone through the audience.
    assert kinds(writer) == []
    planner.plan_tick(wiring.database, clock, settings=wiring.settings)
    clock.advance(timedelta(seconds=1))
    with wiring.database.transaction() as session:
        report = refresh_report(session, clock, key="spring")
        fewest = min(arm["assigned"] for arm in report.body["arms"])
    (alert,) = [each for each in seen(writer)["alerts"] if each["kind"] == "too_few_users"]
    assert (alert["severity"], alert["experiment"]) == ("amber", "spring")
    assert f"has {fewest} users; a decision needs 100 in every arm" in alert["detail"]
    assert writer.post("/v1/experiments/spring/stop").is_success
    assert "too_few_users" not in kinds(writer)


def test_on_a_hurried_clock_reports_have_a_minute_of_the_machine(
    writer: TestClient, wiring: Wiring, clock: SteppedClock
) -> None:
    key = looked_at(wiring.database, clock, users=150)
    look_often(wiring.database, clock, key, looks=2, every=2 * DAY)

    def kinds_after(minutes: float, *, factor: float) -> list[AlertKind]:
        hurried = ScaledClock(clock.now(), factor, SystemClock().now().timestamp() - minutes * 60)
        with wiring.database.snapshot() as session:
            found = glance(session, hurried, settings=wiring.settings, overviews=Overviews())
        return [each.kind for each in found.alerts]

    # Two weeks in five minutes: half a minute is a day and more.
    assert kinds_after(0.5, factor=4032) == []
    assert kinds_after(1.5, factor=4032) == [AlertKind.REPORT_OLD]
    # At the machine's own speed two hours count, as ever.
    assert kinds_after(119, factor=1) == []
    assert kinds_after(121, factor=1) == [AlertKind.REPORT_OLD]


def test_what_stands_in_the_way_of_sending_is_an_alert(
    writer: TestClient, wiring: Wiring, clock: SteppedClock
) -> None:
    with wiring.database.transaction() as session:
        add_people(session, clock, range(1, 61))
        start_campaign(session, clock, campaign("spring"))
    planner.plan_tick(wiring.database, clock, settings=wiring.settings)
    clock.advance(timedelta(minutes=1))
    found = seen(writer)
    assert found["delivery"]["due"] > 0
    (alert,) = found["alerts"]
    assert (alert["kind"], alert["detail"]) == ("sending_stopped", str(found["delivery"]["due"]))
    with wiring.database.transaction() as session:
        workers.beat(session, clock, name="w:1", number="1")
        breakers.pause_all(session, clock, actor="ann", reason="a wrong price")
        breakers.trip(
            session, kind=Kind.TEMPLATE, key="reminder/en_US", at=clock.now(), until=None, code=1, reason="bad"
        )  # fmt: skip
        session.add(NumberState(number="1", quality="RED", quality_at=clock.now()))
        experiment = get_experiment(session, "spring")
        assert experiment.id is not None
        session.add(
            Balance(
                experiment_id=experiment.id, checked_at=clock.now(), slots=3, messages=2, seconds=0.0,
                broken_at=clock.now(), detail={},
            )
        )  # fmt: skip
    found = seen(writer)
    told = {each["kind"]: (each["severity"], each["subject"], each["detail"]) for each in found["alerts"]}
    assert told == {
        "delivery_paused": ("red", None, "a wrong price"),
        "breaker_open": ("red", "template reminder/en_US", "bad"),
        "books_broken": ("red", None, ""),
        "quality_red": ("red", None, ""),
    }
    assert (found["delivery"]["paused"], found["delivery"]["workers"]) == (True, 1)


def test_the_messages_and_people_of_the_last_day_are_counted(
    writer: TestClient, wiring: Wiring, clock: SteppedClock
) -> None:
    with wiring.database.transaction() as session:
        add_people(session, clock, range(1, 61))
        start_campaign(session, clock, campaign("spring"))
    planner.plan_tick(wiring.database, clock, settings=wiring.settings)
    with wiring.database.transaction() as session:
        rows = session.exec(select(Message).order_by(Message.id).limit(5)).all()  # type: ignore[arg-type]
        for number, row in enumerate(rows):
            row.state = MessageState.ACCEPTED
            row.slot_at = clock.now() - (timedelta(hours=25) if number == 0 else timedelta(hours=1))
        people = len({row.user_pk for row in rows[1:]})
        session.add(NumberState(number="1", unique_users=1000, unique_users_at=clock.now()))
    found = seen(writer)["delivery"]
    assert (found["messages"], found["people"], found["people_limit"]) == (4, people, 1000)


@dataclass
class OldCopy:
    """A copy of the facts that reaches so far."""

    until: datetime | None

    def fetch(self, query: Any) -> list[dict[str, Any]]:
        raise AssertionError("nothing is computed")

    def copied(self) -> Copied:
        return Copied(self.until)

    def dispose(self) -> None:
        """Nothing is held."""


def test_a_copy_of_the_facts_that_is_old_or_empty_is_told_of(
    writer: TestClient, wiring: Wiring, clock: SteppedClock
) -> None:
    app: Any = writer.app
    for age, told in (
        (timedelta(minutes=119), []),
        (timedelta(hours=3), ["facts_old"]),
        (None, ["facts_old"]),
    ):
        until = None if age is None else clock.now() - age
        app.state.wiring = replace(wiring, facts=OldCopy(until))
        assert kinds(writer) == told
    app.state.wiring = wiring


def test_rules_that_failed_and_stand_still_are_told_of(writer: TestClient, wiring: Wiring) -> None:
    assert writer.put("/v1/rules/buyers", json=rule()).is_success
    assert kinds(writer) == []
    with wiring.database.transaction() as session:
        session.exec(select(Rule)).one().parked_at = wiring.clock.now()
    (alert,) = seen(writer)["alerts"]
    assert (alert["kind"], alert["severity"], alert["detail"]) == ("rules_parked", "amber", "1")


@pytest.fixture
def several(wiring: Wiring, clock: SteppedClock, database: Database) -> None:
    with database.transaction() as session:
        add_people(session, clock, range(1, 31))
        for number in range(5):
            start_campaign(session, clock, campaign(f"run-{number}", name=f"Summer 100%_{number}"))
        for number in range(3):
            service.create(session, clock, actor="t", document=campaign(f"draft-{number}", name="Winter"))


def test_the_list_is_paged_newest_first_and_narrowed(writer: TestClient, several: None) -> None:
    first = listed(writer, limit=3)
    assert [card["key"] for card in first["items"]] == ["draft-2", "draft-1", "draft-0"]
    assert first["counts"] == {"draft": 3, "running": 5}
    second = listed(writer, limit=3, cursor=first["next_cursor"])
    assert [card["key"] for card in second["items"]] == ["run-4", "run-3", "run-2"]
    narrowed = listed(writer, status="running", search="SUMMER", limit=10)
    assert [card["key"] for card in narrowed["items"]] == [f"run-{number}" for number in (4, 3, 2, 1, 0)]
    # The counts follow the words and not the state, so that each state can be offered with its number.
    assert narrowed["counts"] == {"running": 5}
    assert [card["key"] for card in listed(writer, search="100%_3")["items"]] == ["run-3"]
    assert listed(writer, search="100x")["items"] == []
    assert len(listed(writer, search="draft-")["items"]) == 3


@pytest.mark.parametrize(
    ("query", "field"),
    [("status=over", "status"), ("limit=0", "limit"), ("search=" + "x" * 101, "search"), ("search=%00", "search"), ("q=x", "q")],
)  # fmt: skip
def test_a_wrong_filter_is_named(writer: TestClient, query: str, field: str) -> None:
    answer = writer.get(f"{OVERVIEW}/experiments?{query}")
    assert answer.status_code == 422
    assert [each["field"] for each in answer.json()["errors"]] == [field]


def test_a_key_must_be_one_that_reads(http: TestClient, keys: dict[str, str]) -> None:
    assert http.get(OVERVIEW).status_code == 401
    http.headers["Authorization"] = f"Bearer {keys['ingest']}"
    assert http.get(OVERVIEW).status_code == 403
    http.headers["Authorization"] = f"Bearer {keys['read']}"
    assert http.get(OVERVIEW).status_code == 200
