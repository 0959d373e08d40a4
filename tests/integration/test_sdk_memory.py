"""Weights change, waves go out, a winner is shipped: doors for other software still tell everybody the variant that they have."""

import itertools
from datetime import timedelta

import pytest
from growthbook import GrowthBook

from delivery.planning import planner
from experiments import arms, service
from experiments.clock import SteppedClock
from experiments.database import Database
from experiments.repository import get_experiment
from targeting import campaigns
from targeting.evaluation import Answer, Evaluator, Question, Reason
from targeting.features import compile_features
from targeting.models import Assignment
from tests.integration.broadcast import KEY, assigned, begin, plan

PEOPLE = 1000


class Doors:
    """What SDKs make of the payload, and what the server answers."""

    def __init__(self, database: Database, clock: SteppedClock) -> None:
        self._database, self._clock = database, clock
        self._evaluator = Evaluator(global_holdout=0)

    @property
    def rules(self) -> int:
        with self._database.snapshot() as session:
            payload = self._evaluator.payload(session, self._clock)
        return len(payload.features[KEY]["rules"])

    def sdk(self) -> dict[int, str | None]:
        """By our own evaluation; of every twentieth user, by the stock SDK as well."""
        with self._database.snapshot() as session:
            payload = self._evaluator.payload(session, self._clock).to_json()
        ours = compile_features(payload["features"], payload["savedGroups"])
        found = {pk: ours.evaluate({"id": f"user-{pk}"}, KEY)["value"] for pk in range(1, PEOPLE + 1)}
        for pk in range(1, PEOPLE + 1, 20):
            theirs = GrowthBook(attributes={"id": f"user-{pk}"}, features=payload["features"])
            assert theirs.eval_feature(KEY).value == found[pk]
        return found

    def server(self) -> dict[int, Answer]:
        questions = [Question(f"user-{pk}", {}, KEY) for pk in range(1, PEOPLE + 1)]
        with self._database.snapshot() as session:
            told = self._evaluator.answer(session, self._clock, questions)
        found = {}
        for pk, each in enumerate(told, 1):
            assert isinstance(each, list)
            assert isinstance(each[0], Answer)
            found[pk] = each[0]
        return found


@pytest.fixture
def doors(database: Database, clock: SteppedClock) -> Doors:
    return Doors(database, clock)


def weigh(database: Database, clock: SteppedClock, **weights: float) -> None:
    clock.advance(timedelta(seconds=1))
    with database.transaction() as session:
        service.set_weights(session, clock, actor="ann", key=KEY, weights=weights, reason="by hand")


def release(database: Database, clock: SteppedClock, upto: float) -> None:
    clock.advance(timedelta(seconds=1))
    with database.transaction() as session:
        campaigns.release_wave(
            session, clock, actor="ann", experiment=get_experiment(session, KEY), upto=upto, reason="next"
        )
    plan(database, clock)


def ramp(database: Database, clock: SteppedClock, coverage: float) -> None:
    clock.advance(timedelta(seconds=1))
    with database.transaction() as session:
        campaigns.ramp(session, clock, actor="ann", key=KEY, coverage=coverage)
    plan(database, clock)


def variants(rows: dict[int, Assignment]) -> dict[int, str]:
    return {pk: row.variant for pk, row in rows.items()}


def test_everybody_is_told_the_variant_that_they_have(
    database: Database, clock: SteppedClock, doors: Doors
) -> None:
    begin(
        database,
        clock,
        people=PEOPLE,
        audience={"coverage": 0.6, "holdout": 0.1, "forced": {"user-3": "coupon"}},
    )
    # Weights that nobody is drawn with leave no trace.
    weigh(database, clock, silence=1, reminder=1, coupon=8)
    weigh(database, clock, silence=1, reminder=1, coupon=2)
    plan(database, clock)
    seen = []
    for step in range(5):
        out = variants(assigned(database))
        told = {pk: variant for pk, variant in doors.sdk().items() if variant is not None}
        assert told == out, step
        answers = doors.server()
        assert {pk: answer.variant for pk, answer in answers.items() if answer.variant} == out
        seen.append(out)
        if step == 0:
            weigh(database, clock, silence=5, reminder=1, coupon=1)
            assert {pk: v for pk, v in doors.sdk().items() if v is not None} == out
            release(database, clock, 0.5)
        elif step == 1:
            release(database, clock, 0.6)
        elif step == 2:
            weigh(database, clock, silence=1, reminder=6, coupon=0)
            ramp(database, clock, 0.8)
        elif step == 3:
            late = {"key": "late", "message": {"template": "late", "language": "en_US"}}
            clock.advance(timedelta(seconds=1))
            with database.transaction() as session:
                arms.add_variant(session, clock, actor="ann", key=KEY, variant=late, share=0.5, reason="new")
            release(database, clock, 0.9)
    for earlier, later in itertools.pairwise(seen):
        assert earlier.items() < later.items()
    assert doors.rules == 5  # the tester, and four walks with weights of their own


def test_what_is_shipped_is_told_to_the_rest_and_nobody_is_taken_for_a_tester(
    database: Database, clock: SteppedClock, doors: Doors
) -> None:
    begin(
        database,
        clock,
        people=PEOPLE,
        audience={"coverage": 0.6, "holdout": 0.1, "forced": {"user-3": "reminder"}},
    )
    plan(database, clock)
    drawn = variants(assigned(database))
    clock.advance(timedelta(seconds=1))
    with database.transaction() as session:
        planner.ship(session, clock, actor="ann", key=KEY, variant="coupon", reason="it won")
    for walked in (False, True):
        if walked:
            plan(database, clock)
            given = variants(assigned(database))
            assert set(given.values()) == {"silence", "reminder", "coupon"}
        told, answers = doors.sdk(), doors.server()
        assert {pk: told[pk] for pk in drawn} == drawn
        assert {told[pk] for pk in told.keys() - drawn.keys()} == {"coupon", None}
        assert {pk: answer.variant for pk, answer in answers.items()} == told
        assert [pk for pk, answer in answers.items() if answer.forced] == [3]
        assert {answer.reason for pk, answer in answers.items() if pk != 3} == {Reason.SPLIT}
    assert {pk: variant for pk, variant in told.items() if variant is not None} == given


def test_a_fixed_broadcast_keeps_everybody_where_they_are(
    database: Database, clock: SteppedClock, doors: Doors
) -> None:
    begin(database, clock, people=PEOPLE, allocation={"policy": "fixed"})
    plan(database, clock)
    before = doors.sdk()
    assert before == variants(assigned(database))
    weigh(database, clock, silence=8, reminder=1, coupon=1)
    assert doors.sdk() == before
