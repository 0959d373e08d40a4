"""SQL behind the doors through which other people's software evaluates: which experiments there are, and what is known of one user."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from sqlalchemy import and_, bindparam, select
from sqlmodel import Session, SQLModel, col

from experiments.models import Epoch, Experiment
from experiments.vocabulary import ExperimentStatus
from targeting.enrolment_terms import SHIP_SOURCE
from targeting.payload import Walked
from targeting.user_repository import USERS

_EXPERIMENTS: Final = SQLModel.metadata.tables["experiments"]
_EPOCHS: Final = SQLModel.metadata.tables["epochs"]
_ENROLMENTS: Final = SQLModel.metadata.tables["enrolments"]
_ASSIGNMENTS: Final = SQLModel.metadata.tables["assignments"]
_SEGMENTS: Final = SQLModel.metadata.tables["segments"]
_EVENTS: Final = SQLModel.metadata.tables["events"]
_MEMBERS: Final = SQLModel.metadata.tables["segment_members"]
_LIVE: Final = (ExperimentStatus.RUNNING, ExperimentStatus.PAUSED)

# Everything that can change what an experiment means: a cheap read that tells whether the rest has to be read again.
_STATES: Final = (
    select(_EXPERIMENTS.c.id, _EXPERIMENTS.c.status, _EXPERIMENTS.c.updated_at, _EPOCHS.c.id)
    .outerjoin(_EPOCHS, and_(_EPOCHS.c.experiment_id == _EXPERIMENTS.c.id, _EPOCHS.c.closed_at.is_(None)))
    .where(_EXPERIMENTS.c.status.in_(_LIVE))
    .order_by(_EXPERIMENTS.c.id)
)
_SEGMENT_STATES: Final = (
    select(_SEGMENTS.c.key, _SEGMENTS.c.updated_at, _SEGMENTS.c.refreshed_at, _SEGMENTS.c.size)
    .where(_SEGMENTS.c.key.in_(bindparam("keys", expanding=True)))
    .order_by(_SEGMENTS.c.key)
)
_USERS_NAMED: Final = select(USERS.c.user_id, USERS.c.id, USERS.c.attributes).where(
    USERS.c.user_id.in_(bindparam("user_ids", expanding=True))
)
# Whoever was given what was shipped is no tester.
_BY_HAND: Final = and_(_ASSIGNMENTS.c.forced, _ASSIGNMENTS.c.source != SHIP_SOURCE).label("by_hand")
_ASSIGNED: Final = (
    select(_ASSIGNMENTS.c.user_pk, _EXPERIMENTS.c.key, _ASSIGNMENTS.c.variant, _BY_HAND)
    .join(_EXPERIMENTS, _EXPERIMENTS.c.id == _ASSIGNMENTS.c.experiment_id)
    .where(_ASSIGNMENTS.c.user_pk.in_(bindparam("user_pks", expanding=True)))
)
_STORED: Final = select(_EVENTS.c.message_id).where(
    _EVENTS.c.message_id.in_(bindparam("message_ids", expanding=True))
)

States = tuple[tuple[Any, ...], ...]


def states(session: Session) -> States:
    """The state of every experiment that is running or paused; equal to an earlier one as long as nothing has changed."""
    return tuple(map(tuple, session.connection().execute(_STATES)))


def segment_states(session: Session, keys: Collection[str]) -> States:
    """The same of some segments, their lists included."""
    if not keys:
        return ()
    rows = session.connection().execute(_SEGMENT_STATES, {"keys": sorted(keys)})
    return tuple(map(tuple, rows))


def live(session: Session) -> Sequence[tuple[Experiment, Mapping[str, float]]]:
    """Experiments that are running or paused, with the weights of their open epochs, by id."""
    query = (
        select(Experiment, col(Epoch.weights))
        .join(Epoch, and_(col(Epoch.experiment_id) == col(Experiment.id), col(Epoch.closed_at).is_(None)))
        .where(col(Experiment.status).in_(_LIVE))
        .order_by(col(Experiment.id))
    )
    return [(experiment, weights) for experiment, weights in session.execute(query)]


def walked(session: Session) -> dict[int, list[Walked]]:
    """What the walks of experiments that are running or paused have reached, with the weights they drew with, by internal id; oldest first."""
    reached = (
        select(_ENROLMENTS.c.experiment_id, _ENROLMENTS.c.reach)
        .join(_EXPERIMENTS, _EXPERIMENTS.c.id == _ENROLMENTS.c.experiment_id)
        .where(_EXPERIMENTS.c.status.in_(_LIVE))
    )
    reach = {pk: told for pk, told in session.connection().execute(reached) if told}
    drawn = select(_EPOCHS.c.experiment_id, _EPOCHS.c.number, _EPOCHS.c.weights)
    rows = session.connection().execute(drawn.where(_EPOCHS.c.experiment_id.in_(list(reach))))
    weights = {(pk, number): shares for pk, number, shares in rows}
    return {
        pk: [Walked(weights[pk, epoch], coverage, released) for epoch, coverage, released in told]
        for pk, told in reach.items()
    }


def status_of(session: Session, key: str) -> ExperimentStatus | None:
    """The status of an experiment; None when there is none with this key."""
    found = session.execute(select(_EXPERIMENTS.c.status).where(_EXPERIMENTS.c.key == key)).scalar()
    return None if found is None else ExperimentStatus(found)


def listed(session: Session, key: str, *, most: int) -> Sequence[str] | None:
    """User ids of a list segment, in the order in which users came to be; None when there are more than `most`."""
    query = (
        select(USERS.c.user_id)
        .join(_MEMBERS, _MEMBERS.c.user_pk == USERS.c.id)
        .join(_SEGMENTS, _SEGMENTS.c.id == _MEMBERS.c.segment_id)
        .where(_SEGMENTS.c.key == key)
        .order_by(USERS.c.id)
        .limit(most + 1)
    )
    ids = session.execute(query).scalars().all()
    return ids if len(ids) <= most else None


class Assigned(NamedTuple):
    """forced: chosen by hand, for a tester."""

    variant: str
    forced: bool


@dataclass(frozen=True, slots=True)
class Subject:
    """Somebody to evaluate for. `pk` is None for a user who is not known; `assigned` is by key of the experiment."""

    user_id: str
    pk: int | None = None
    attributes: Mapping[str, Any] = field(default_factory=dict)
    assigned: Mapping[str, Assigned] = field(default_factory=dict)


def subjects(session: Session, user_ids: Collection[str]) -> dict[str, Subject]:
    """What is stored of some users that an evaluation may ask for, by user id; users who are not known are left out."""
    connection = session.connection()
    users = connection.execute(_USERS_NAMED, {"user_ids": list(user_ids)}).all()
    assigned: dict[int, dict[str, Assigned]] = {user.id: {} for user in users}
    if assigned:
        for pk, key, variant, by_hand in connection.execute(_ASSIGNED, {"user_pks": list(assigned)}):
            assigned[pk][key] = Assigned(variant, bool(by_hand))
    return {
        user.user_id: Subject(user.user_id, user.id, user.attributes, assigned[user.id]) for user in users
    }


def stored(session: Session, message_ids: Collection[str]) -> set[str]:
    """Those of these events, by message id, that are stored."""
    if not message_ids:
        return set()
    return set(session.connection().execute(_STORED, {"message_ids": list(message_ids)}).scalars())
