"""SQL of plans: whom a draw of ids meets, their past as the report would count it, when they last did something, who was reached.

The past is read by the queries of reports themselves (`facts.gather`): in front of the table of assignments stands a common
table expression of the same name, in which everybody asked about was assigned at one moment of the past. So a metric means the
same before and after, whatever kinds of metrics there are.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Select,
    String,
    and_,
    false,
    func,
    literal,
    null,
    or_,
    select,
    type_coerce,
)
from sqlmodel import Session
from sqlmodel import select as select_rows

from analysis.facts.engines import Row
from analysis.facts.facts import ASSIGNMENTS, EVENTS, MESSAGES
from delivery.outbox.id_lists import among
from experiments.clock import from_micros, to_micros
from experiments.models import Experiment
from experiments.vocabulary import REACHED_WHATSAPP, RECEIVED_STATES, MessageState
from targeting import repository as targeting_repository
from targeting.conditions import compile_condition
from targeting.conditions.scope import Scope
from targeting.repository import Candidate
from targeting.segments.audience_repository import Audience
from targeting.user_repository import USERS

CHUNK: Final = 1000
"""Ids in one statement."""
MOST_EVENTS: Final = 500_000
"""Events whose properties are looked at for one plan."""
PAST: Final = "past"
EXPERIMENTS: Final = Experiment.__table__  # type: ignore[attr-defined]
_NOBODY: Final = 0


class PastAssignments:
    """A `FactsEngine` for which these users were all assigned to one variant in the past, and nobody else was.

    All at one moment, `at`; or, with `event`, each when they first did it in [since, at], and those who did not were not assigned.
    """

    def __init__(
        self,
        session: Session,
        user_pks: Collection[int],
        *,
        at: datetime,
        event: str | None = None,
        since: datetime | None = None,
    ) -> None:
        self._session, self._user_pks = session, list(user_pks)
        when = type_coerce(EVENTS.c.at, BigInteger)
        said: dict[str, ColumnElement[Any]] = {
            "experiment_id": literal(_NOBODY, BigInteger),
            "user_pk": USERS.c.id if event is None else EVENTS.c.user_pk,
            "variant": literal(PAST, String),
            "epoch": literal(1, BigInteger),
            "forced": false(),
            # An assignment follows its event, which is thus no outcome itself.
            "assigned_at": literal(to_micros(at), BigInteger) if event is None else func.min(when) + 1,
        }
        columns = [said.get(column.name, null()).label(column.name) for column in ASSIGNMENTS.columns]
        query = select(*columns)
        if event is None:
            query = query.where(among(USERS.c.id))
        else:
            first = to_micros(since) if since is not None else 0
            query = query.where(among(EVENTS.c.user_pk), EVENTS.c.name == event).where(
                when.between(first, to_micros(at))
            )
            query = query.group_by(EVENTS.c.user_pk)
        self._assigned = query.cte(ASSIGNMENTS.name)

    @property
    def experiment_id(self) -> int:
        """Of the experiment that never was."""
        return _NOBODY

    def fetch(self, query: Select[Any]) -> Sequence[Row]:
        """The rows of a query of `facts.py` over these assignments."""
        rows = self._session.connection().execute(query.add_cte(self._assigned), {"ids": self._user_pks})
        return [dict(row) for row in rows.mappings()]


def members_among(
    session: Session,
    audience: Audience,
    ids: Sequence[int],
    *,
    reasons: Mapping[str | None, ColumnElement[bool]],
    with_attributes: bool,
) -> Iterator[tuple[int, list[Candidate]]]:
    """Look at these ids, a chunk at a time: how many were looked at, and those of them who belong to the audience."""
    for start in range(0, len(ids), CHUNK):
        some = ids[start : start + CHUNK]
        found = targeting_repository.candidates_among(
            session, audience, reasons=reasons, with_attributes=with_attributes, user_pks=some
        )
        yield len(some), audience.keep(session, [candidate for candidate in found if candidate.fits])


def first_event(session: Session, name: str) -> datetime | None:
    """When an event of this name first happened, to anybody; None: never."""
    at = type_coerce(EVENTS.c.at, BigInteger)
    found = session.connection().execute(select(func.min(at)).where(EVENTS.c.name == name)).scalar()
    return None if found is None else from_micros(int(found))


def last_times(
    session: Session,
    user_pks: Collection[int],
    *,
    event: str,
    since: datetime | None,
    until: datetime,
    properties: Mapping[str, Any] | None = None,
) -> dict[int, datetime]:
    """When each of these users last did something (whose properties meet a condition); those who did not are absent.

    With a condition on properties, at most `MOST_EVENTS` events are looked at, the newest first.
    """
    e, at = EVENTS.c, type_coerce(EVENTS.c.at, BigInteger)
    which = [among(e.user_pk), e.name == event, at <= to_micros(until)]
    if since is not None:
        which.append(at >= to_micros(since))
    connection, ids = session.connection(), {"ids": list(user_pks)}
    if not properties:
        query = select(e.user_pk, func.max(at)).where(*which).group_by(e.user_pk)
        return {pk: from_micros(int(last)) for pk, last in connection.execute(query, ids)}
    keeps, found = compile_condition(dict(properties)), dict[int, datetime]()
    events = select(e.user_pk, at, e.properties).where(*which).order_by(e.at.desc()).limit(MOST_EVENTS)
    for pk, micros, document in connection.execute(events, ids):
        if pk not in found and keeps(document or {}, Scope(now=from_micros(micros))):
            found[pk] = from_micros(micros)
    return found


def moments_of(session: Session, user_pks: Collection[int], *, column: str) -> dict[int, datetime]:
    """`created_at` or `last_seen_at` of these users; those who have none are absent."""
    at = type_coerce(USERS.c[column], BigInteger)
    query = select(USERS.c.id, at).where(among(USERS.c.id), at.is_not(None))
    rows = session.connection().execute(query, {"ids": list(user_pks)})
    return {pk: from_micros(int(micros)) for pk, micros in rows}


def lately_started(session: Session, *, category: str, since: datetime, most: int) -> Sequence[Experiment]:
    """The newest experiments of a category that were started since, at most so many."""
    e = EXPERIMENTS.c
    query = (
        select_rows(Experiment)
        .where(type_coerce(e.started_at, BigInteger) >= to_micros(since))
        .where(e.definition["category"].as_string() == category)
        .order_by(e.started_at.desc(), e.id.desc())
        .limit(most)
    )
    return session.exec(query).all()


def deliveries(session: Session, *, category: str, since: datetime, until: datetime) -> tuple[int, int]:
    """Messages of a category that went out in [since, until), all experiments together: how many, and how many arrived.

    What WhatsApp took and could never deliver went out too, though it is suppressed by now.
    """
    m = MESSAGES.c
    tried = [*REACHED_WHATSAPP, MessageState.FAILED, MessageState.UNKNOWN]
    query = (
        select(m.state, func.count())
        .where(
            or_(m.slot_at >= since, m.failed_at >= since),
            or_(m.slot_at < until, m.failed_at < until),
            m.category == category,
            or_(
                m.state.in_([str(state) for state in tried]),
                and_(m.state == MessageState.SUPPRESSED, m.accepted_at.is_not(None)),
            ),
        )
        .group_by(m.state)
    )
    counts = {state: int(count) for state, count in session.connection().execute(query)}
    return sum(counts.values()), sum(counts.get(state, 0) for state in RECEIVED_STATES)


_DAY: Final = timedelta(days=1)


def within_days(moments: Collection[datetime], *, now: datetime, days: int) -> list[int]:
    """How many of these moments lie within the last 1, 2, .. days.

    >>> from datetime import UTC
    >>> today = datetime(2026, 12, 1, tzinfo=UTC)
    >>> within_days([today - timedelta(hours=3), today - timedelta(days=1, hours=1)], now=today, days=3)
    [1, 2, 2]
    """
    counts = [0] * days
    for moment in moments:
        age = max((now - moment) // _DAY, 0)
        if age < days:
            counts[age] += 1
    return [sum(counts[: day + 1]) for day in range(days)]
