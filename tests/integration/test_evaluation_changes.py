"""What is remembered between evaluations is forgotten as soon as something about an experiment changes, on both databases."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import event as sqlalchemy_event
from sqlmodel import Session

from experiments import service
from experiments.clock import SteppedClock
from experiments.database import Database
from experiments.errors import NotFound
from experiments.vocabulary import Category
from targeting import campaigns
from targeting.evaluation import Answer, Evaluator, Question, Told
from targeting.models import Assignment
from targeting.payload import AGES_STAY, Payload
from targeting.segments import membership
from targeting.segments import service as segments
from tests.integration.people import add_people, campaign, start_campaign


@pytest.fixture
def evaluator() -> Evaluator:
    return Evaluator(global_holdout=0)


Change = Callable[[Session], object]


@pytest.fixture
def payload(database: Database, clock: SteppedClock, evaluator: Evaluator) -> Callable[..., Payload]:
    """The payload, after a change a second later."""

    def after(change: Change | None = None) -> Payload:
        if change is not None:
            clock.advance(timedelta(seconds=1))
            with database.transaction() as session:
                change(session)
        with database.snapshot() as session:
            return evaluator.payload(session, clock)

    return after


def begin(database: Database, clock: SteppedClock, **audience: Any) -> None:
    with database.transaction() as session:
        add_people(session, clock, range(1, 6))
        segments.put(session, clock, actor="t", key="vip", name="VIP", condition=None)
        membership.set_members(session, clock, actor="t", key="vip", user_ids=["user-1"])
        segments.put(session, clock, actor="t", key="dutch", name="Dutch", condition={"country": "NL"})
        start_campaign(session, clock, campaign(audience=audience))


def one_of(told: Told) -> list[Answer]:
    assert isinstance(told, list)
    answers = [answer for answer in told if isinstance(answer, Answer)]
    assert len(answers) == len(told)
    return answers


def rule_of(payload: Payload) -> dict[str, Any]:
    rule: dict[str, Any] = payload.features["spring"]["rules"][-1]
    return rule


def test_nothing_is_made_again_while_nothing_changes(
    database: Database, clock: SteppedClock, payload: Callable[..., Payload]
) -> None:
    begin(database, clock, condition={"$inSegment": ["vip", "dutch"]})
    first = payload()
    statements: list[str] = []
    sqlalchemy_event.listen(
        database.engine, "before_cursor_execute", lambda *arguments: statements.append(arguments[2])
    )
    assert payload() is first
    assert sum(statement.startswith("SELECT") for statement in statements) == 2


def test_new_weights_and_a_raised_coverage_count_at_once(
    database: Database, clock: SteppedClock, payload: Callable[..., Payload]
) -> None:
    begin(database, clock, coverage=0.5)
    assert rule_of(payload())["weights"] == pytest.approx([1 / 3] * 3)
    weights = {"silence": 2, "reminder": 1, "coupon": 1}
    changed = payload(
        lambda session: service.set_weights(
            session, clock, actor="t", key="spring", weights=weights, reason="better"
        )
    )
    assert rule_of(changed)["weights"] == [0.5, 0.25, 0.25]
    assert rule_of(changed)["filters"][0]["ranges"] == [[0.0, 0.5]]
    ramped = payload(lambda session: campaigns.ramp(session, clock, actor="t", key="spring", coverage=0.75))
    assert rule_of(ramped)["filters"][0]["ranges"] == [[0.0, 0.75]]


def test_segments_count_as_they_are_now(
    database: Database, clock: SteppedClock, payload: Callable[..., Payload]
) -> None:
    begin(database, clock, condition={"$inSegment": ["vip", "dutch"]})
    first = payload()
    assert first.saved_groups == {"segment:vip": ["user-1"]}
    assert {"country": {"$eq": "NL"}} in rule_of(first)["condition"]["$or"]
    listed = payload(
        lambda session: membership.set_members(
            session, clock, actor="t", key="vip", user_ids=["user-3", "user-2"]
        )
    )
    assert listed.saved_groups == {"segment:vip": ["user-2", "user-3"]}
    moved = payload(
        lambda session: segments.put(
            session, clock, actor="t", key="dutch", name="Dutch", condition={"country": "BE"}
        )
    )
    assert {"country": {"$eq": "BE"}} in rule_of(moved)["condition"]["$or"]


def test_ages_are_worked_out_again_after_a_while(
    database: Database, clock: SteppedClock, payload: Callable[..., Payload]
) -> None:
    begin(database, clock, condition={"seen": {"$not": {"$newerThan": "30d"}}})
    first = payload()
    clock.advance(AGES_STAY / 2)
    assert payload() is first
    clock.advance(AGES_STAY)
    assert rule_of(payload())["condition"] != rule_of(first)["condition"]


def test_a_list_is_asked_for_each_user(database: Database, clock: SteppedClock, evaluator: Evaluator) -> None:
    begin(database, clock, condition={"$inSegment": "vip"})

    def without(user_id: str) -> str | None:
        with database.snapshot() as session:
            [told] = evaluator.answer(session, clock, [Question(user_id, {}, "spring")])
        return one_of(told)[0].without

    assert [without(user_id) for user_id in ("user-1", "user-2", "stranger")] == [
        None,
        "audience",
        "audience",
    ]


def test_the_global_holdout_is_of_marketing_only(database: Database, clock: SteppedClock) -> None:
    with database.transaction() as session:
        add_people(session, clock, [1], consent=(Category.MARKETING, Category.UTILITY))
        start_campaign(session, clock, campaign("news"))
        start_campaign(session, clock, campaign("receipts", category="utility"))
    with database.snapshot() as session:
        [told] = Evaluator(global_holdout=0.9999).answer(session, clock, [Question("user-1", {})])
    assert [answer.without for answer in one_of(told)] == ["global_holdout", None]


def test_who_has_a_peer_of_the_layer_gets_no_second_one(database: Database, clock: SteppedClock) -> None:
    with database.transaction() as session:
        add_people(session, clock, [1, 2])
        for key, start, end in (("first", 0, 0.5), ("second", 0.5, 1)):
            layer = {"key": "promotions", "range": [start, end]}
            first = start_campaign(session, clock, campaign(key, audience={"layer": layer}))
            if key == "first":
                assert first.id is not None
                for pk in (1, 2):
                    session.add(
                        Assignment(
                            experiment_id=first.id,
                            user_pk=pk,
                            variant="coupon",
                            epoch=1,
                            propensity=1,
                            assigned_at=clock.now(),
                        )
                    )
    with database.snapshot() as session:
        [told] = Evaluator(global_holdout=0).answer(session, clock, [Question("user-1", {})])
    one, two = one_of(told)
    assert (one.variant, two.variant, two.without) == ("coupon", None, "layer")


def test_questions_of_many_are_answered_in_their_order(
    database: Database, clock: SteppedClock, evaluator: Evaluator
) -> None:
    begin(database, clock, condition={"$inSegment": "vip"}, forced={"tester": "coupon"})
    questions = [
        Question("tester", {}, "spring"),
        Question("user-2", {}),
        Question("user-1", {}, "nothing"),
        Question("user-1", {}, "spring"),
        Question("user-1", {}),
    ]
    with database.snapshot() as session:
        told = evaluator.answer(session, clock, questions)
    assert one_of(told[0])[0].variant == "coupon"
    assert one_of(told[1])[0].without == "audience"
    assert isinstance(told[2], NotFound)
    assert told[3] == told[4]
    assert one_of(told[3])[0].variant is not None
