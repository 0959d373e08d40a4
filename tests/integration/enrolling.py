"""Enrolment as tests drive it: all of its steps at once, and what came of them."""

from typing import Any

from sqlalchemy import ColumnElement
from sqlmodel import Session, select

from experiments.clock import SteppedClock
from experiments.database import Database
from experiments.models import Experiment
from targeting import enrolment
from targeting.enrolment import EnrolmentOutcome, EnrolmentStep
from targeting.models import Assignment, Enrolment
from tests.integration.people import campaign, start_campaign


def enrol(
    database: Database,
    clock: SteppedClock,
    experiment: Experiment,
    *,
    limit: int = 50,
    ineligible: dict[str, ColumnElement[bool]] | None = None,
    global_holdout: float = 0.0,
) -> list[EnrolmentStep]:
    """Every step until enrolment is finished."""
    steps: list[EnrolmentStep] = []
    while not steps or not steps[-1].finished:
        with database.transaction() as session:
            steps.append(
                enrolment.enrol_batch(
                    session,
                    clock,
                    experiment=experiment,
                    limit=limit,
                    ineligible=ineligible or {},
                    global_holdout=global_holdout,
                )
            )
    return steps


def enrol_users(
    database: Database,
    clock: SteppedClock,
    experiment: Experiment,
    user_pks: list[int],
    *,
    ineligible: dict[str, ColumnElement[bool]] | None = None,
    global_holdout: float = 0.0,
    source: str = "rule:welcome",
) -> dict[int, EnrolmentOutcome]:
    with database.transaction() as session:
        return enrolment.enrol_users(
            session,
            clock,
            experiment=experiment,
            user_pks=user_pks,
            ineligible=ineligible or {},
            global_holdout=global_holdout,
            source=source,
        )


def assignments(database: Database, experiment: Experiment) -> dict[int, Assignment]:
    """By internal user id."""
    with database.snapshot() as session:
        found = session.exec(select(Assignment).where(Assignment.experiment_id == experiment.id)).all()
    assert len({row.user_pk for row in found}) == len(found)
    return {row.user_pk: row for row in found}


def variants(database: Database, experiment: Experiment) -> dict[int, str]:
    return {pk: row.variant for pk, row in assignments(database, experiment).items()}


def counts(database: Database, experiment: Experiment) -> dict[str, Any]:
    with database.snapshot() as session:
        found = session.get(Enrolment, experiment.id)
    assert found is not None
    return found.counts


def begin(session: Session, clock: SteppedClock, **changes: Any) -> Experiment:
    return start_campaign(session, clock, campaign(**changes))
