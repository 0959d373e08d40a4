"""Counting within a bound of time: exact when there is time, an honest estimate when not, and nothing left behind."""

import itertools
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from sqlalchemy import event, insert, update
from sqlmodel import Session

from experiments.clock import SteppedClock
from experiments.database import Database
from experiments.errors import Invalid
from targeting.conditions.scope import Scope
from targeting.models import Consent, User
from targeting.segments import attributes, preview_repository
from targeting.segments.audience_repository import audience_of
from targeting.segments.preview import Count, preview
from targeting.segments.preview_repository import OutOfTimeError
from tests.integration.crowd import add_crowd, meant

ODD = {"$or": [{"plan": {"$regex": "-[13]$"}}, {"$event": {"name": "Viewed", "within": "20d"}}]}


@pytest.fixture
def crowd(database: Database, clock: SteppedClock) -> Database:
    with database.transaction() as session:
        add_crowd(session, clock)
    return database


def rng() -> np.random.Generator:
    return np.random.default_rng(4)


def add_many(session: Session, clock: SteppedClock, users: int) -> None:
    """Users 1, 3, 5 .., every fifth of whom is in Utrecht."""
    now = clock.now()
    rows = [
        {
            "id": 2 * n + 1,
            "user_id": f"u{n}",
            "phone": f"+1{200 + n // 100:03}55501{n % 100:02}",
            "attributes": {"city": "Utrecht" if n % 5 == 0 else "Delft", "n": n},
            "created_at": now,
            "updated_at": now,
        }
        for n in range(users)
    ]
    session.connection().execute(insert(User), rows)


@pytest.mark.parametrize("condition", [{}, {"plan": "plan-2"}, {"plan": "none"}, ODD, {"$inSegment": "vips"}])
def test_with_time_the_count_is_exact(crowd: Database, clock: SteppedClock, condition: dict) -> None:
    with crowd.snapshot() as session:
        expected = meant(session, clock, condition)
        found = preview(session, clock, condition=condition, rng=rng(), sample=7)
    number = len(expected)
    assert found.count == Count(number, True, number, number)
    assert len(found.sample) == min(7, number)
    assert {user.id for user in found.sample} <= expected


def test_nobody_at_all(database: Database, clock: SteppedClock) -> None:
    with database.snapshot() as session:
        assert preview(session, clock, condition={}, rng=rng()).count == Count(0, True, 0, 0)


def test_a_segment_that_does_not_exist_is_named(crowd: Database, clock: SteppedClock) -> None:
    with crowd.snapshot() as session, pytest.raises(Invalid) as refused:
        preview(session, clock, condition={"$inSegment": "nope"}, rng=rng())
    assert refused.value.problems[0].field == "condition.$inSegment"


@pytest.mark.parametrize(
    "condition", [{"city": "Utrecht"}, {"city": {"$regex": "^Utr"}}], ids=["sql", "closure"]
)
def test_without_time_the_answer_is_an_estimate_that_holds_the_truth(
    database: Database, clock: SteppedClock, condition: dict
) -> None:
    with database.transaction() as session:
        add_many(session, clock, 3000)
    held = 0
    for seed in range(10):
        with database.snapshot() as session:
            found = preview(
                session,
                clock,
                condition=condition,
                rng=np.random.default_rng(seed),
                drawn=1500,
                seconds=0.0,
                monotonic=lambda: 0.0,
            )
        count = found.count
        assert not count.exact
        assert count.lower <= count.value <= count.upper
        assert count.upper - count.lower < 400
        assert {user.attributes["city"] for user in found.sample} == {"Utrecht"}
        held += count.lower <= 600 <= count.upper
    # 95 of 100; fewer than 8 of 10 would be a chance of 1 in 90.
    assert held >= 8


def test_so_few_users_that_the_draw_is_everybody(database: Database, clock: SteppedClock) -> None:
    with database.transaction() as session:
        add_many(session, clock, 100)
    with database.snapshot() as session:
        found = preview(session, clock, condition={"city": "Utrecht"}, rng=rng(), seconds=0.0)
    assert found.count == Count(20, True, 20, 20)


class Statements:
    """What is sent to the database."""

    def __init__(self, database: Database) -> None:
        self.sent: list[str] = []
        event.listen(database.engine, "before_cursor_execute", self._note)

    def _note(self, *arguments: object) -> None:
        self.sent.append(str(arguments[2]))


@pytest.fixture
def endless(database: Database, clock: SteppedClock) -> Database:
    """So many pairs of users to look at that counting never ends by itself."""
    with database.transaction() as session:
        add_many(session, clock, 4000)
    return database


def test_a_query_that_takes_too_long_is_stopped_and_the_connection_is_clean(
    endless: Database, clock: SteppedClock
) -> None:
    from sqlalchemy import func, select

    users = User.__table__
    a, b, c = (users.alias(name) for name in "abc")
    slow = select(func.count()).select_from(a.join(b, a.c.id != b.c.id).join(c, c.c.id != b.c.id))
    with endless.transaction() as session:
        audience = replace(audience_of(session, {}, now=clock.now()), narrowed=slow.scalar_subquery() > 0)
        session.add(User(id=9999, user_id="kept", created_at=clock.now(), updated_at=clock.now()))
        session.flush()
        with pytest.raises(OutOfTimeError):
            preview_repository.count_of(session, audience, seconds=0.05, monotonic=_seconds())
        # The same connection goes on, without a limit, and what was written before is still there.
        everybody = audience_of(session, {}, now=clock.now())
        assert preview_repository.count_of(session, everybody, seconds=60, monotonic=_seconds()) == 4001
        if not endless.is_sqlite:
            (limit,) = session.connection().exec_driver_sql("SHOW statement_timeout").one()
            assert limit == "0"
    with endless.snapshot() as session:
        assert preview(session, clock, condition={}, rng=rng()).count.value == 4001


def _seconds():
    import time

    return time.monotonic


def test_an_index_is_looked_up_for_the_count(database: Database, clock: SteppedClock) -> None:
    with database.transaction() as session:
        add_many(session, clock, 3000)
    attributes.set_indexed(database, clock, actor="test", name="n", indexed=True, rng=rng())
    statements = Statements(database)
    with database.snapshot() as session:
        found = preview(session, clock, condition={"n": {"$eq": 77}}, rng=rng())
    assert found.count == Count(1, True, 1, 1)
    assert [user.user_id for user in found.sample] == ["u77"]
    counting = next(sql for sql in statements.sent if "count(*)" in sql and "users" in sql)
    assert ("json_extract(users.attributes, '$.\"n\"')" in counting) or ("::numeric" in counting)


def test_no_phone_number_is_shown(database: Database, clock: SteppedClock) -> None:
    with database.transaction() as session:
        add_many(session, clock, 50)
    with database.snapshot() as session:
        found = preview(session, clock, condition={}, rng=rng())
    assert "555" not in repr(found)


def test_a_slow_closure_is_stopped_between_two_users(database: Database, clock: SteppedClock) -> None:
    with database.transaction() as session:
        add_many(session, clock, 3000)
    seconds = 0.0

    def slow(attributes: Any, _scope: Scope) -> bool:
        nonlocal seconds
        seconds += 0.05
        return bool(attributes["city"] == "Utrecht")

    with database.snapshot() as session:
        everybody = audience_of(session, {}, now=clock.now())
        audience = replace(everybody, residual=slow)
        for ask in (
            lambda: preview_repository.count_of(session, audience, seconds=0.3, monotonic=lambda: seconds),
            lambda: preview_repository.first_of(
                session, audience, limit=900, seconds=0.3, monotonic=lambda: seconds
            ),
        ):
            before = seconds
            with pytest.raises(OutOfTimeError):
                ask()
            assert seconds - before < 0.5
        before = seconds
        # Every other id is nobody's; those count as looked at.
        looked_at, found = preview_repository.among(
            session, audience, list(range(40, 20, -1)), deadline=seconds + 0.22, monotonic=lambda: seconds
        )
        assert (looked_at, found) == (10, [31])
        assert seconds - before < 0.3


def test_an_estimate_is_made_of_the_few_who_were_looked_at(database: Database, clock: SteppedClock) -> None:
    with database.transaction() as session:
        add_many(session, clock, 3000)
    ticks = itertools.count()
    with database.snapshot() as session:
        count = preview(
            session,
            clock,
            condition={"city": {"$regex": "^Utr"}},
            rng=rng(),
            monotonic=lambda: next(ticks) * 0.01,
        ).count
    assert not count.exact
    assert count.lower <= 600 <= count.upper
    assert count.upper - count.lower > 500


@pytest.mark.parametrize(
    "condition", [{"city": "Utrecht"}, {"city": {"$regex": "^Utr"}}], ids=["sql", "closure"]
)
@pytest.mark.parametrize("seconds", [5.0, 0.0], ids=["counted", "everybody is drawn"])
def test_who_may_be_messaged_has_a_phone_and_consent_to_the_category(
    database: Database, clock: SteppedClock, condition: dict, seconds: float
) -> None:
    now = clock.now()
    with database.transaction() as session:
        add_many(session, clock, 100)  # in Utrecht: n = 0, 5, .. 95, internal id 2n + 1
        session.connection().execute(update(User).where(User.user_id == "u5").values(phone=None))
        said = [
            (0, "marketing", True),
            (5, "marketing", True),
            (10, "marketing", False),
            (15, "utility", True),
        ]
        session.connection().execute(
            insert(Consent),
            [
                {"user_pk": 2 * n + 1, "category": category, "granted": granted, "changed_at": now}
                for n, category, granted in [*said, (20, "marketing", True), (21, "marketing", True)]
            ],
        )
    with database.snapshot() as session:
        found = preview(session, clock, condition=condition, rng=rng(), seconds=seconds)
        utility = preview(session, clock, condition=condition, rng=rng(), seconds=seconds, category="utility")
    assert (found.count, found.messageable) == (Count(20, True, 20, 20), Count(2, True, 2, 2))
    assert utility.messageable == Count(1, True, 1, 1)


def test_who_may_be_messaged_is_estimated_when_only_that_takes_too_long(
    database: Database, clock: SteppedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    count_of, counts = preview_repository.count_of, itertools.count()

    def only_once(*asked: Any, **bounds: Any) -> int:
        if next(counts):
            raise OutOfTimeError
        return count_of(*asked, **bounds)

    monkeypatch.setattr(preview_repository, "count_of", only_once)
    with database.transaction() as session:
        add_many(session, clock, 3000)
        agreed = {"category": "marketing", "granted": True, "changed_at": clock.now()}
        every_tenth = [{"user_pk": 2 * n + 1, **agreed} for n in range(0, 3000, 10)]
        session.connection().execute(insert(Consent), every_tenth)
    with database.snapshot() as session:
        found = preview(
            session,
            clock,
            condition={"city": "Utrecht"},
            rng=rng(),
            drawn=1500,
        )
    assert found.count == Count(600, True, 600, 600)
    reached = found.messageable
    assert not reached.exact
    assert reached.lower <= 300 <= reached.upper <= 600
    assert reached.lower > 200
