"""The desk's decisions, POST by POST, on a clock that a test moves."""

import json
from datetime import UTC, datetime, timedelta

from delivery.simulator.behaviour import read_behaviours
from delivery.simulator.config import Faults, SimulatorConfig
from delivery.simulator.desk import Desk
from delivery.simulator.fault_plan import read_fault_plan
from delivery.simulator.graph import Answer
from delivery.simulator.journey import Journey
from delivery.simulator.profile import Engagement, Limits, Pacing
from delivery.simulator.registry import Change
from delivery.simulator.registry_reading import read_registry
from delivery.simulator.world import Person, World
from delivery.whatsapp.payloads import TemplateMessage
from experiments.clock import SteppedClock, to_micros

START = datetime(2026, 12, 1, 10, tzinfo=UTC)
PEOPLE = [Person(f"u{n}", f"+1202555{100 + n:04}") for n in range(100)]


class Office:
    """A desk with people in front of it; `journeys` and `changes` are what it let happen."""

    def __init__(self, behaviour: dict | None = None, **settings) -> None:
        self.config = SimulatorConfig(**({"throughput": None, "seed": 3} | settings))
        self.clock = SteppedClock(START)
        groups = read_behaviours({"templates": {"promo": behaviour or {}}})
        self.world = World(PEOPLE, groups, seed=3, faults=self.config.faults)
        self.registry = read_registry(None, groups, link="https://example.com", pacing=self.config.pacing)
        self.journeys: list[Journey] = []
        self.changes: list[Change] = []
        self.desk = Desk(
            self.config,
            self.clock,
            depart=self.journeys.append,
            announce=self.changes.extend,
            zero=to_micros(START),
        )
        self.real = 0.0

    def answer(self, person: int, data: str | None = None, *, text: str | None = None) -> Answer:
        to = PEOPLE[person].phone
        payload = TemplateMessage(to, "promo", "en_US", (), None, data or f"m-{person}").to_payload()
        if text is not None:
            payload = {key: payload[key] for key in ("messaging_product", "to", "biz_opaque_callback_data")}
            payload |= {"type": "text", "text": {"body": text}}
        return self.desk.receive(json.dumps(payload).encode(), self.world, self.registry, self.real)

    def send(self, person: int, data: str | None = None, *, text: str | None = None) -> int | str:
        """The error code, or the message status, or what the connection went through."""
        answer = self.answer(person, data, text=text)
        if answer.cut or answer.status == 502:
            return answer.cut or "502"
        body = json.loads(answer.body)
        if "error" in body:
            return body["error"]["code"]
        return body["messages"][0].get("message_status", "text")

    def wait(self, **duration: float) -> None:
        self.clock.advance(timedelta(**duration))


def test_what_one_limit_refuses_counts_for_no_other():
    office = Office(throughput=2.0, limits=Limits(pair_rest=6.0, tier=3))
    assert [office.send(n) for n in (0, 1, 2)] == ["accepted", "accepted", 130429]
    office.real = 1.0
    # Three refused by the pair rate leave the number's two for others, and the tier's third.
    assert [office.send(n) for n in (0, 1, 0)] == [131056] * 3
    assert [office.send(n) for n in (2, 2)] == ["accepted", 131056]
    office.real = 2.0
    assert [office.send(n) for n in (3, 4)] == [131048, 131048]
    office.wait(hours=1)
    assert office.send(0) == "accepted"
    office.wait(hours=23)
    office.real = 4.0
    # The first of the day before has written anew since, the other two have left the rolling day.
    assert [office.send(n) for n in (3, 4)] == ["accepted", "accepted"]
    office.real = 6.0
    assert [office.send(n) for n in (5, 0)] == [131048, "accepted"]


def test_the_pair_rate_can_be_measured_in_real_time():
    office = Office(limits=Limits(pair_rest=6.0, pair_clock="real"))
    assert office.send(0) == "accepted"
    office.wait(hours=1)
    assert office.send(0) == 131056
    office.real = 6.0
    assert office.send(0) == "accepted"


def test_free_text_needs_an_open_window():
    office = Office(limits=Limits(tier=1))
    assert office.send(0, text="Hello") == 131047
    wrote = to_micros(office.clock.now())
    office.desk.correspondence.wrote(PEOPLE[0].digits, wrote)
    assert office.send(0, text="Hello") == "text"
    assert office.journeys[-1].category == "service"
    # Inside the window nobody is counted as a new person of the day.
    assert [office.send(n) for n in (0, 1, 2)] == ["accepted", "accepted", 131048]
    office.wait(hours=24)
    assert office.send(0, text="Hello") == 131047


def test_people_of_the_world_open_their_windows_by_writing_back():
    office = Office({"delivered": 1, "read": 1, "replied": 1, "clicked": 0})
    assert office.send(0) == "accepted"
    [replied] = [step.at for step in office.journeys[0].plan if step.step == "reply"]
    assert office.send(0, text="Hello") == 131047
    office.clock.current += timedelta(microseconds=replied - to_micros(START))
    assert office.send(0, text="Hello") == "text"


def test_a_stop_in_the_menu_ends_marketing_if_so_set():
    for stopped, expected in ((True, 131050), (False, "accepted")):
        office = Office(limits=Limits(stopped=stopped))
        office.desk.correspondence.chose(PEOPLE[0].digits, to_micros(START), stop=True)
        assert office.send(0) == expected
        assert office.send(1) == "accepted"


def _tired(**settings) -> tuple[Office, list[list[int | str]]]:
    office = Office(engagement=Engagement(free=1, growth=0.3, most=0.9), **settings)
    rounds = []
    for step in range(5):
        rounds.append([office.send(n, f"{step}-{n}") for n in range(100)])
        office.wait(days=1)
    return office, rounds


def test_who_ignores_marketing_gets_less_of_it_and_who_reads_it_does_not():
    _, ignored = _tired(behaviour={"delivered": 1, "read": 0, "clicked": 0})
    capped = [codes.count(131049) for codes in ignored]
    assert capped[:2] == [0, 0]
    assert 15 <= capped[2] <= 45  # 30 % of those who got two
    assert capped[3] > capped[2]
    _, read = _tired(behaviour={"delivered": 1, "read": 1})
    assert not any(131049 in codes for codes in read)
    _, again = _tired(behaviour={"delivered": 1, "read": 0, "clicked": 0})
    assert again == ignored


def test_trying_again_on_the_same_day_changes_nothing():
    office, rounds = _tired(behaviour={"delivered": 1, "read": 0, "clicked": 0})
    first = [office.send(n, f"x-{n}") for n in range(100)]
    capped = [n for n, code in enumerate(first) if code == 131049]
    assert capped
    office.wait(hours=3)
    assert [office.send(n, f"y-{n}") for n in capped] == [131049] * len(capped)
    assert rounds[0] == ["accepted"] * 100


def test_the_engagement_cap_may_come_as_a_status():
    office, rounds = _tired(
        behaviour={"delivered": 1, "read": 0, "clicked": 0}, faults=Faults(as_status=True)
    )
    assert {answer for codes in rounds for answer in codes} == {"accepted"}
    failed = [journey.plan for journey in office.journeys if journey.plan[0].step == "failed"]
    assert failed
    assert {(step.code, len(plan)) for plan in failed for step in plan} == {(131049, 1)}


def test_what_a_paced_template_holds_follows_its_verdict():
    for good, end in ((1.0, "sent"), (0.0, "failed")):
        pacing = Pacing(first=2, good=good, hold_seconds=600)
        office = Office(pacing=pacing)
        assert [office.send(n) for n in range(4)] == ["accepted"] * 2 + ["held_for_quality_assessment"] * 2
        assert office.desk.ledger.find("m-3").messages[0].state == "held"
        held = office.journeys[3].plan[0]
        assert held.step == end
        assert held.at >= to_micros(START + timedelta(seconds=600))
        assert len(office.changes) == (1 if good else 2)
        office.wait(seconds=600)
        assert office.send(5) == ("accepted" if good else 132015)


def test_a_paused_template_may_be_accepted_and_fail():
    pacing = Pacing(first=1, good=0.0, hold_seconds=60, paused_answer="status")
    office = Office(pacing=pacing, limits=Limits(tier=2))
    assert office.send(0) == "accepted"
    office.wait(seconds=60)
    assert [office.send(n) for n in range(1, 5)] == ["paused"] * 4  # and counts towards no limit
    assert [(step.step, step.code) for step in office.journeys[-1].plan] == [("failed", 132015)]


def test_faults_of_posts_by_share():
    faults = Faults(server_error=0.2, drop=0.2, slow=0.2, reset=0.2, server_error_after=0.2)
    office = Office(faults=faults)
    outcomes = [office.send(n) for n in range(100)]
    entries = [office.desk.ledger.find(f"m-{n}") for n in range(100)]
    assert set(outcomes) == {"502", "whole", "half", "accepted"}
    for outcome, entry in zip(outcomes, entries, strict=True):
        lost = [message.unanswered for message in entry.messages]
        # A 502 may come before or after the message was accepted; the sender cannot tell.
        expected = {"whole": [True], "half": [True], "accepted": [False], "502": [True] if lost else []}
        assert lost == expected[outcome]
        assert entry.refused == (None if lost else {"502": 1})
    assert 10 <= sum(not entry.messages for entry in entries) <= 32
    assert 45 <= sum(message.unanswered for entry in entries for message in entry.messages) <= 75


def test_the_fault_plan_rules_by_time_and_by_number():
    plan = read_fault_plan(
        [
            {"fault": "error", "code": 131016, "from": 2, "to": 4, "by": "posts"},
            {"fault": "drop", "from": 60, "to": 120},
            {"fault": "reset", "from": 120, "to": 180},
            {"fault": "server_error_after", "from": 180, "to": 240},
            {"fault": "server_error", "from": 240},
        ]
    )
    office = Office(fault_plan=plan)
    outcomes = [office.send(n) for n in range(4)]
    for n in range(4, 9):
        office.wait(seconds=59 if n == 4 else 60)
        outcomes.append(office.send(n))
    assert outcomes == ["accepted", 131016, 131016, "accepted", "accepted", "whole", "half", "502", "502"]
    totals = office.desk.ledger.totals()
    assert (totals["posts"], totals["accepted"], totals["unanswered"], totals["doubled"]) == (9, 6, 3, 0)


def test_late_statuses_of_the_plan_are_told_late():
    plan = read_fault_plan(
        [{"fault": "late", "seconds": 500, "to": 100}, {"fault": "duplicate", "seconds": 7, "to": 100}]
    )
    office = Office({"read": 0}, fault_plan=plan)
    office.send(0)
    sent = [step for step in office.journeys[0].plan if step.step == "sent"]
    assert [step.told - step.at for step in sent] == [500_000_000, 507_000_000]


def test_a_post_that_is_wrong_in_itself_is_in_the_ledger_too():
    office = Office({"parameters": 1})
    assert [office.send(0), office.send(0)] == [132000, 132000]
    assert office.desk.ledger.find("m-0").told() == {
        "callback_data": "m-0",
        "posts": 2,
        "accepted": 0,
        "refused": {"132000": 2},
        "messages": [],
    }
