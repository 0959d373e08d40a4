"""Campaigns against real users: created, applied again, and started only when somebody is there to take part."""

from typing import Any

import pytest
from sqlmodel import Session, select

from experiments.audit import AuditEntry
from experiments.clock import SteppedClock
from experiments.database import Database
from experiments.errors import Conflict, Invalid, NotFound, Problem
from experiments.models import Epoch, Experiment
from experiments.vocabulary import ExperimentStatus
from targeting import campaigns
from tests.integration.people import REMINDER, SILENCE, add_people, campaign


def with_parameters(*parameters: str, **changes: Any) -> dict[str, Any]:
    message = {"template": "reminder", "language": "en_US", "parameters": list(parameters)}
    return campaign(variants=[SILENCE, {"key": "reminder", "message": message}], **changes)


def refused(database: Database, clock: SteppedClock, document: dict[str, Any]) -> list[Problem]:
    """The problems with which a start is refused; checks that it left the draft as it was."""
    with database.transaction() as session:
        campaigns.create(session, clock, actor="ann", document=document)
    with pytest.raises(Invalid) as caught, database.transaction() as session:
        campaigns.start(session, clock, actor="ann", key=document["key"])
    with database.snapshot() as session:
        assert session.exec(select(Experiment.status)).all() == [ExperimentStatus.DRAFT]
        assert session.exec(select(Epoch)).all() == []
    return list(caught.value.problems)


def test_problems_of_both_floors_are_told_at_once(database: Database, clock: SteppedClock) -> None:
    document = campaign(priority=5_000, audience={"condition": {"age": {"$gtt": 3}}, "coverage": 2})
    with pytest.raises(Invalid) as caught, database.transaction() as session:
        campaigns.create(session, clock, actor="ann", document=document)
    assert [problem.field for problem in caught.value.problems] == [
        "priority",
        "audience.coverage",
        "audience.condition.age.$gtt",
    ]
    with database.snapshot() as session:
        assert session.exec(select(Experiment)).all() == []


def test_a_wrong_condition_alone_is_refused(database: Database, clock: SteppedClock) -> None:
    for verb in (campaigns.create, campaigns.apply):
        with pytest.raises(Invalid) as caught, database.transaction() as session:
            verb(session, clock, actor="ann", document=campaign(audience={"condition": {"age": {"$in": 3}}}))
        assert [problem.field for problem in caught.value.problems] == ["audience.condition.age.$in"]


@pytest.mark.parametrize("audience", [[], "everybody", {"condition": []}, {"condition": None}])
def test_an_audience_of_a_wrong_shape_is_refused(
    database: Database, clock: SteppedClock, audience: Any
) -> None:
    with pytest.raises(Invalid) as caught, database.transaction() as session:
        campaigns.apply(session, clock, actor="ann", document=campaign(audience=audience))
    assert all(problem.field.startswith("audience") for problem in caught.value.problems)


def test_create_refuses_a_taken_key(database: Database, clock: SteppedClock) -> None:
    with database.transaction() as session:
        campaigns.create(session, clock, actor="ann", document=campaign())
    with pytest.raises(Conflict), database.transaction() as session:
        campaigns.create(session, clock, actor="ann", document=campaign())


def test_apply_creates_then_changes_then_finds_nothing_to_change(
    database: Database, clock: SteppedClock
) -> None:
    outcomes = []
    for document in (campaign(), campaign(name="New"), campaign(name="New")):
        with database.transaction() as session:
            applied = campaigns.apply(session, clock, actor="ann", document=document)
            outcomes.append((applied.outcome, applied.experiment.name))
    assert outcomes == [("created", "spring"), ("changed", "New"), ("unchanged", "New")]
    with database.snapshot() as session:
        actions = [(entry.actor, entry.action) for entry in session.exec(select(AuditEntry))]
    assert actions == [("ann", "experiment.create"), ("ann", "experiment.redesign")]


def test_apply_refuses_a_document_of_another_experiment(database: Database, clock: SteppedClock) -> None:
    with pytest.raises(Invalid) as caught, database.transaction() as session:
        campaigns.apply(session, clock, actor="ann", key="autumn", document=campaign())
    assert [problem.field for problem in caught.value.problems] == ["key"]
    with database.transaction() as session:
        assert (
            campaigns.apply(session, clock, actor="ann", key="spring", document=campaign()).outcome
            == "created"
        )


def test_apply_leaves_a_started_experiment_alone(database: Database, clock: SteppedClock) -> None:
    with database.transaction() as session:
        add_people(session, clock, [1])
        campaigns.create(session, clock, actor="ann", document=campaign())
        campaigns.start(session, clock, actor="ann", key="spring")
    with database.transaction() as session:
        assert campaigns.apply(session, clock, actor="ann", document=campaign()).outcome == "unchanged"
    with pytest.raises(Conflict), database.transaction() as session:
        campaigns.apply(session, clock, actor="ann", document=campaign(name="New"))


def test_start_opens_the_first_epoch(database: Database, clock: SteppedClock) -> None:
    with database.transaction() as session:
        add_people(session, clock, [1])
        campaigns.create(
            session, clock, actor="ann", document=campaign(variants=[SILENCE, {**REMINDER, "weight": 3}])
        )
        experiment = campaigns.start(session, clock, actor="ann", key="spring")
    assert (experiment.status, experiment.started_at) == (ExperimentStatus.RUNNING, clock.now())
    with database.snapshot() as session:
        (epoch,) = session.exec(select(Epoch)).all()
    assert epoch.weights == {"silence": 0.25, "reminder": 0.75}


def test_start_refuses_what_is_not_a_draft(database: Database, clock: SteppedClock) -> None:
    with pytest.raises(NotFound), database.transaction() as session:
        campaigns.start(session, clock, actor="ann", key="spring")
    with database.transaction() as session:
        add_people(session, clock, [1])
        campaigns.create(session, clock, actor="ann", document=campaign())
        campaigns.start(session, clock, actor="ann", key="spring")
    with pytest.raises(Conflict), database.transaction() as session:
        campaigns.start(session, clock, actor="ann", key="spring")


@pytest.mark.parametrize("condition", [{}, {"country": "BR"}, {"country": {"$regex": "^B"}}])
def test_start_refuses_an_empty_audience(
    database: Database, clock: SteppedClock, condition: dict[str, Any]
) -> None:
    if condition:
        with database.transaction() as session:
            add_people(session, clock, range(1, 4))
    (problem,) = refused(database, clock, campaign(audience={"condition": condition}))
    assert problem.field == "audience.condition"
    assert "matches no user" in problem.message


@pytest.mark.parametrize("condition", [{"country": "NL"}, {"country": {"$regex": "^N"}}])
def test_start_refuses_an_attribute_that_nobody_has(
    database: Database, clock: SteppedClock, condition: dict[str, Any]
) -> None:
    with database.transaction() as session:
        add_people(session, clock, range(1, 4), attributes={"first_name": "Ann", "nickname": None})
        # Somebody outside the audience has them, which is of no use inside.
        add_people(session, clock, [4], attributes={"country": "BR", "frist_name": "Bo", "nickname": "B"})
    document = with_parameters(
        "{{ user.first_name }}",
        "{{ user.frist_name }} {{ user.nickname }}",
        "{{ user.last_name | default('x') }} {{ user.user_id }}",
        audience={"condition": condition},
    )
    problems = refused(database, clock, document)
    assert [problem.field for problem in problems] == ["variants[1].message.parameters[1]"] * 2
    assert "'frist_name'; did you mean 'first_name'?" in problems[0].message
    assert "'nickname'" in problems[1].message


@pytest.mark.parametrize("name", ["first_name", "last order", "größe", 'a"b', "a.b"])
def test_start_finds_the_one_user_who_has_the_attribute(
    database: Database, clock: SteppedClock, name: str
) -> None:
    with database.transaction() as session:
        add_people(session, clock, range(1, 3))
        add_people(session, clock, [3], attributes={name: 0})
        document = with_parameters("{{ user[%r] }}" % name)  # noqa: UP031
        campaigns.create(session, clock, actor="ann", document=document)
        assert campaigns.start(session, clock, actor="ann", key="spring").status == ExperimentStatus.RUNNING


def test_start_looks_past_the_first_page_when_sql_cannot_decide(
    database: Database, clock: SteppedClock
) -> None:
    with database.transaction() as session:
        add_people(session, clock, range(1, 1_101), phone=False)
        add_people(session, clock, [1_101], attributes={"city": "Utrecht"})
        start = _start(session, clock, {"city": {"$regex": "^Ut"}})
    assert start.status == ExperimentStatus.RUNNING


def _start(session: Session, clock: SteppedClock, condition: dict[str, Any]) -> Experiment:
    campaigns.create(session, clock, actor="ann", document=campaign(audience={"condition": condition}))
    return campaigns.start(session, clock, actor="ann", key="spring")
