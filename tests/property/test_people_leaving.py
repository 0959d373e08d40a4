"""Who counts towards WhatsApp's bound, and when those around it stop to: as one by one in Python, whatever the slots are."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import insert, update
from sqlmodel import Session, col, select

from delivery.limits.ledger_repository import people_counted, people_written_to
from delivery.limits.tier import TIER_WINDOW, counts
from delivery.models import Message
from experiments.clock import SteppedClock
from experiments.database import Database
from targeting.models import User
from tests.integration import outbox

HOUR = timedelta(hours=1)
PEOPLE = 8

# In whole hours, so that slots of one person and of several meet each other and the ends of all windows.
AGES = st.integers(0, 30)
SLOTS = st.lists(st.lists(AGES, max_size=4), min_size=PEOPLE, max_size=PEOPLE)
HEARD = st.lists(st.none() | st.integers(0, 60), min_size=PEOPLE, max_size=PEOPLE)


@settings(max_examples=120, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(ages=SLOTS, heard=HEARD, limit=st.integers(-1, PEOPLE + 2), spare=st.integers(0, 4))
def test_people_leave_as_counted_one_by_one(
    database: Database,
    clock: SteppedClock,
    ages: list[list[int]],
    heard: list[int | None],
    limit: int,
    spare: int,
) -> None:
    now = clock.now()
    experiment, users = _installation(database, clock)
    slots = {pk: [now - age * HOUR for age in own] for pk, own in zip(users, ages, strict=True)}
    wrote = {pk: None if age is None else now - age * HOUR for pk, age in zip(users, heard, strict=True)}
    with Session(database.engine) as session:
        _store(session, experiment, slots, wrote)
        found = people_written_to(session, limit=limit, spare=spare, now=now)
        people = people_counted(session, now=now)
        session.rollback()
    today = [at for own in slots.values() for at in own if at > now - TIER_WINDOW]
    leaving = sorted(
        (
            max(counting) + TIER_WINDOW
            for pk, own in slots.items()
            if (counting := [at for at in own if at > now - TIER_WINDOW and counts(at, wrote[pk])])
        ),
        reverse=True,
    )
    assert people == len(leaving)
    if len(today) + spare < limit:
        assert (found.counted, found.times) == (len(today), ())
    elif people + spare < limit:
        assert (found.counted, found.times) == (people, ())
    else:
        assert (found.counted, found.first) == (people, max(0, limit - 1 - spare))
        assert list(found.times) == leaving[found.first : found.first + spare + 2]


def _installation(database: Database, clock: SteppedClock) -> tuple[int, Sequence[int]]:
    """An experiment and users, made for the first example."""
    with database.snapshot() as session:
        users = session.exec(select(User.id).order_by(col(User.id))).all()
    if users:
        return 1, [pk for pk in users if pk is not None]
    return outbox.add_experiment(database, clock), outbox.add_users(database, clock, PEOPLE)


def _store(
    session: Session,
    experiment: int,
    slots: Mapping[int, Sequence[datetime]],
    wrote: Mapping[int, datetime | None],
) -> None:
    for pk, at in wrote.items():
        session.connection().execute(update(User).where(col(User.id) == pk).values(last_inbound_at=at))
    rows = [
        {
            "experiment_id": experiment, "user_pk": pk, "variant": "a", "step": step, "category": "marketing",
            "state": "sent", "first_due_at": at, "due_at": at, "slot_at": at,
        }
        for pk, own in slots.items()
        for step, at in enumerate(own)
    ]  # fmt: skip
    if rows:
        session.connection().execute(insert(Message), rows)
