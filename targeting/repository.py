"""SQL of enrolment and assignments. Audiences, users, consent and events have repositories of their own."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

import msgspec
from sqlalchemy import ColumnElement, TextClause, and_, case, exists, func, literal, not_, null, select, text
from sqlmodel import Session, SQLModel, col

from experiments.clock import to_micros
from experiments.models import Experiment
from experiments.vocabulary import ExperimentStatus
from targeting.models import Enrolment
from targeting.segments.audience_repository import Audience
from targeting.user_repository import USERS

_ASSIGNMENTS: Final = SQLModel.metadata.tables["assignments"]


def lock_for_enrolment(session: Session, *, experiment_id: int, peers: Collection[int] = ()) -> bool:
    """Hold this experiment, and its peers of the same layer, until the transaction ends; False when it does not run.

    Taken in the order of ids, so that two experiments of one layer wait for each other instead of deadlocking, and
    never give one user to both.
    """
    query = select(col(Experiment.id), col(Experiment.status)).where(
        col(Experiment.id).in_({experiment_id, *peers})
    )
    rows = session.execute(query.order_by(col(Experiment.id)).with_for_update(key_share=True)).all()
    return dict(rows).get(experiment_id) == ExperimentStatus.RUNNING


def enrolment_of(session: Session, *, experiment_id: int, now: datetime) -> Enrolment:
    """How far enrolment has come; begins it when it has not begun."""
    found = find_enrolment(session, experiment_id=experiment_id)
    if found is None:
        found = Enrolment(experiment_id=experiment_id, started_at=now, counts={})
        session.add(found)
    return found


def find_enrolment(session: Session, *, experiment_id: int) -> Enrolment | None:
    """How far enrolment has come; None when it has not begun."""
    return session.get(Enrolment, experiment_id, populate_existing=True)


def is_enrolled(session: Session, *, experiment_id: int) -> bool:
    """Whether the whole audience has been looked at."""
    query = select(col(Enrolment.finished_at)).where(col(Enrolment.experiment_id) == experiment_id)
    return session.execute(query).scalar() is not None


class Candidate(NamedTuple):
    """A user who may take part; `reason` is why they cannot, null when SQL knows of none.

    `fits` is false for a user whom the condition of the audience, as far as it is said in SQL, does not mean.
    """

    id: int
    user_id: str
    reason: str | None
    attributes: dict[str, Any] | None
    fits: bool = True


def candidates(
    session: Session,
    audience: Audience,
    *,
    reasons: Mapping[str | None, ColumnElement[bool]],
    with_attributes: bool,
    after_pk: int,
    limit: int,
) -> Sequence[Candidate]:
    """The next users who pass `audience.where`, by id; the first of `reasons` that holds excludes (None: spares the rest).

    Attributes are read only when the closure, or the caller, has to see them.
    """
    columns = _columns(audience, reasons, with_attributes=with_attributes)
    query = (
        select(*columns).where(and_(USERS.c.id > after_pk, audience.where)).order_by(USERS.c.id).limit(limit)
    )
    return [Candidate(*row) for row in session.connection().execute(query).all()]


def candidates_among(
    session: Session,
    audience: Audience,
    *,
    reasons: Mapping[str | None, ColumnElement[bool]],
    with_attributes: bool,
    user_pks: Collection[int],
) -> Sequence[Candidate]:
    """These users, by id, in the audience or not; otherwise as `candidates`."""
    columns: list[ColumnElement[Any]] = [
        *_columns(audience, reasons, with_attributes=with_attributes),
        case((audience.where, literal(True)), else_=literal(False)),
    ]
    query = select(*columns).where(USERS.c.id.in_(user_pks)).order_by(USERS.c.id)
    return [Candidate(*row) for row in session.connection().execute(query).all()]


def _columns(
    audience: Audience, reasons: Mapping[str | None, ColumnElement[bool]], *, with_attributes: bool
) -> list[ColumnElement[Any]]:
    needed = with_attributes or audience.residual is not None
    return [USERS.c.id, USERS.c.user_id, _first_of(reasons), USERS.c.attributes if needed else null()]


def _first_of(reasons: Mapping[str | None, ColumnElement[bool]]) -> ColumnElement[Any]:
    """The first of the reasons that holds for a row of `users`; null where none does."""
    if not reasons:
        return null()
    return case(
        *((condition, null() if name is None else literal(name)) for name, condition in reasons.items()),
        else_=null(),
    )


def pks_of(session: Session, user_ids: Collection[str]) -> dict[str, int]:
    """Internal ids by outside ids; whom nobody knows is absent."""
    query = select(USERS.c.user_id, USERS.c.id).where(USERS.c.user_id.in_(user_ids))
    return dict(session.connection().execute(query).all())


def assigned_between(session: Session, *, experiment_id: int, first_pk: int, last_pk: int) -> set[int]:
    """Users of an experiment whose internal id lies in [first_pk, last_pk]."""
    query = select(_ASSIGNMENTS.c.user_pk).where(
        _ASSIGNMENTS.c.experiment_id == experiment_id, _ASSIGNMENTS.c.user_pk.between(first_pk, last_pk)
    )
    return set(session.connection().execute(query).scalars())


def variants_of(session: Session, *, experiment_id: int, user_pks: Collection[int]) -> dict[int, str]:
    """The variants that these users have in an experiment; users without one are absent."""
    query = select(_ASSIGNMENTS.c.user_pk, _ASSIGNMENTS.c.variant).where(
        _ASSIGNMENTS.c.experiment_id == experiment_id, _ASSIGNMENTS.c.user_pk.in_(user_pks)
    )
    return dict(session.connection().execute(query).all())


def count_unassigned(
    session: Session,
    audience: Audience,
    *,
    experiment_id: int,
    reasons: Mapping[str | None, ColumnElement[bool]],
) -> int:
    """Users of the audience, as far as SQL can say, whom none of `reasons` excludes and who have no assignment."""
    assigned = exists().where(
        _ASSIGNMENTS.c.experiment_id == experiment_id, _ASSIGNMENTS.c.user_pk == USERS.c.id
    )
    query = (
        select(func.count())
        .select_from(USERS)
        .where(audience.narrowed, _first_of(reasons).is_(None), not_(assigned))
    )
    return int(session.connection().execute(query).scalar_one())


def highest_user(session: Session) -> int:
    """The largest internal id of a user; 0 without users. Enrolment walks up to it."""
    return int(session.connection().execute(select(func.coalesce(func.max(USERS.c.id), 0))).scalar_one())


def has_user_id(user_ids: Collection[str]) -> ColumnElement[bool]:
    return USERS.c.user_id.in_(user_ids)


def is_assigned_in(experiment_ids: Collection[int]) -> ColumnElement[bool]:
    """Whether a row of `users` takes part in one of these experiments."""
    return exists().where(
        _ASSIGNMENTS.c.user_pk == USERS.c.id, _ASSIGNMENTS.c.experiment_id.in_(experiment_ids)
    )


def lacks_variant(experiment_id: int | None, *, variants: Collection[str]) -> ColumnElement[bool]:
    """Whether a row of `users` has none of these variants of an experiment (of one that is not there: nobody has any)."""
    return not_(
        exists().where(
            _ASSIGNMENTS.c.user_pk == USERS.c.id,
            _ASSIGNMENTS.c.experiment_id == experiment_id,
            _ASSIGNMENTS.c.variant.in_(variants),
        )
    )


class NewAssignment(NamedTuple):
    """What differs between the assignments of one batch."""

    user_pk: int
    variant: str
    propensity: float
    forced: bool


# Many rows travel as one document, as events do (`event_repository`). Propensities do not: SQLite may read the last bit of a
# number wrong, so the document names their place among the parameters.
_ASSIGN: Final[dict[str, str]] = {
    "sqlite": "INSERT INTO assignments "
    "(experiment_id, epoch, source, assigned_at, user_pk, variant, forced, propensity, occasions) "
    "SELECT :experiment_id, :epoch, :source, :assigned_at, json_extract(value, '$[0]'), json_extract(value, '$[1]'), "
    "json_extract(value, '$[2]'), CASE json_extract(value, '$[3]') {cases} END, 0 "
    "FROM json_each(:rows) WHERE true ON CONFLICT DO NOTHING",
    "postgresql": "INSERT INTO assignments "
    "(experiment_id, epoch, source, assigned_at, user_pk, variant, forced, propensity, occasions) "
    "SELECT CAST(:experiment_id AS BIGINT), CAST(:epoch AS INTEGER), :source, CAST(:assigned_at AS BIGINT), "
    "CAST(item ->> 0 AS BIGINT), item ->> 1, CAST(item ->> 2 AS BOOLEAN), "
    "CASE CAST(item ->> 3 AS INTEGER) {cases} END, 0 "
    "FROM jsonb_array_elements(CAST(:rows AS JSONB)) WITH ORDINALITY AS entry (item, place) ORDER BY place "
    "ON CONFLICT DO NOTHING",
}


def insert_assignments(
    session: Session,
    rows: Sequence[NewAssignment],
    *,
    experiment_id: int,
    epoch: int,
    source: str,
    assigned_at: datetime,
) -> int:
    """Add assignments; a user who is assigned already stays as they are. Returns how many were added."""
    if not rows:
        return 0
    places = {propensity: place for place, propensity in enumerate(dict.fromkeys(row[2] for row in rows))}
    documents = [(row.user_pk, row.variant, row.forced, places[row.propensity]) for row in rows]
    cases = " ".join(f"WHEN {place} THEN CAST(:p{place} AS DOUBLE PRECISION)" for place in places.values())
    connection = session.connection()
    result = connection.execute(
        text(_ASSIGN[connection.dialect.name].format(cases=cases)),
        {
            "experiment_id": experiment_id,
            "epoch": epoch,
            "source": source,
            "assigned_at": to_micros(assigned_at),
            "rows": msgspec.json.encode(documents).decode(),
            **{f"p{place}": propensity for propensity, place in places.items()},
        },
    )
    return result.rowcount


class Unplanned(NamedTuple):
    """An assignment that delivery has yet to plan, for the first time or once more: `occasions` it has been planned for."""

    id: int
    user_pk: int
    variant: str
    assigned_at: datetime
    occasions: int
    user_id: str
    time_zone: str | None


_UNPLANNED: Final = select(
    _ASSIGNMENTS.c.id,
    _ASSIGNMENTS.c.user_pk,
    _ASSIGNMENTS.c.variant,
    _ASSIGNMENTS.c.assigned_at,
    _ASSIGNMENTS.c.occasions,
    USERS.c.user_id,
    USERS.c.time_zone,
).join(USERS, USERS.c.id == _ASSIGNMENTS.c.user_pk)


def unplanned(session: Session, *, experiment_id: int, limit: int) -> list[Unplanned]:
    """The oldest assignments of an experiment that have no plan yet."""
    query = _UNPLANNED.where(
        _ASSIGNMENTS.c.experiment_id == experiment_id, _ASSIGNMENTS.c.planned_at.is_(None)
    )
    rows = session.connection().execute(query.order_by(_ASSIGNMENTS.c.id).limit(limit)).all()
    return [Unplanned(*row) for row in rows]


def planned_before(
    session: Session, *, experiment_id: int, before: datetime, after_pk: int, limit: int
) -> list[Unplanned]:
    """The next assignments by internal user id that were last planned before a moment."""
    query = _UNPLANNED.where(
        _ASSIGNMENTS.c.experiment_id == experiment_id,
        _ASSIGNMENTS.c.user_pk > after_pk,
        _ASSIGNMENTS.c.planned_at < before,
    )
    rows = session.connection().execute(query.order_by(_ASSIGNMENTS.c.user_pk).limit(limit)).all()
    return [Unplanned(*row) for row in rows]


# One parameter for all ids: a list of thousands would be written out, and read, anew each time.
_MARK: Final[dict[str, TextClause]] = {
    "sqlite": text(
        "UPDATE assignments SET planned_at = :at, occasions = occasions + :occasions "
        "WHERE id IN (SELECT value FROM json_each(:ids))"
    ),
    "postgresql": text(
        "UPDATE assignments SET planned_at = :at, occasions = occasions + :occasions "
        "WHERE id = ANY (CAST(:ids AS BIGINT[]))"
    ),
}


def mark_planned(session: Session, *, ids: Sequence[int], at: datetime, occasions: int) -> None:
    """Note that these assignments have been planned at this moment, for so many more occasions."""
    if not ids:
        return
    connection = session.connection()
    is_sqlite = connection.dialect.name == "sqlite"
    connection.execute(
        _MARK[connection.dialect.name],
        {
            "at": to_micros(at),
            "occasions": occasions,
            "ids": msgspec.json.encode(ids).decode() if is_sqlite else list(ids),
        },
    )
