"""Equal errors stop a variant: counted for all workers together, and of statuses in any order. On both databases."""

from datetime import datetime, timedelta
from itertools import permutations
from typing import Any

import pytest
from sqlmodel import Session

from delivery.fuses import breakers, streaks
from delivery.fuses.breakers import Kind
from delivery.fuses.outcomes import Answered
from delivery.outbox import dispatch_repository
from delivery.outbox.retry import Alarm
from delivery.whatsapp.client import Accepted, Rejected, SendOutcome
from delivery.whatsapp.error_table import ErrorClass
from experiments.clock import SteppedClock
from experiments.database import Database
from experiments.service import design_of
from tests.integration import outbox
from tests.integration.outbox import later
from tests.integration.webhooks import come, project, sent_out, status, statuses
from tests.unit.delivery.stories import inflight

BAD = Rejected(132000, ErrorClass.BAD_REQUEST, "parameters", 400)
FINE = Accepted("wamid.1", "accepted", None)
VARIANT = (Kind.VARIANT, "spring/a")


def _answer(database: Database, experiment_id: int, *outcomes: SendOutcome) -> list[Alarm]:
    """What one worker makes of its answers, in a transaction of its own."""
    with database.transaction() as session:
        (experiment,) = dispatch_repository.definitions(session, [experiment_id]).values()
        story = inflight(experiment_id=experiment_id)
        answers = [Answered(story, "+12025550123", outcome) for outcome in outcomes]
        alarms = streaks.count(session, answers=answers, designs={experiment_id: design_of(experiment)})
    return [raised.alarm for raised in alarms]


def test_workers_count_together(database: Database, clock: SteppedClock) -> None:
    experiment_id = outbox.add_experiment(database, clock)
    assert _answer(database, experiment_id, BAD, BAD) == []
    assert _answer(database, experiment_id, BAD, BAD) == []
    assert _answer(database, experiment_id, BAD) == [Alarm.BAD_REQUEST]
    assert _answer(database, experiment_id, BAD, BAD, BAD, BAD) == []


def test_a_success_at_any_worker_ends_the_streak(database: Database, clock: SteppedClock) -> None:
    experiment_id = outbox.add_experiment(database, clock)
    for outcomes in ([BAD] * 4, [FINE], [BAD] * 4):
        assert _answer(database, experiment_id, *outcomes) == []
    assert _open(database, clock) == frozenset()


def _open(database: Database, clock: SteppedClock) -> frozenset[tuple[str, str]]:
    with database.snapshot() as session:
        return breakers.open_keys(session, clock.now())


def _say(database: Database, clock: SteppedClock, *said: dict[str, Any]) -> None:
    come(database, clock, statuses(*said))
    project(database, clock)


def _failed(pk: int, at: datetime) -> dict[str, Any]:
    return status("failed", at, str(pk), wamid=f"wamid.{pk}", code=132012)


@pytest.mark.parametrize("order", list(permutations(range(3)))[:4])
@pytest.mark.parametrize(("success_at", "opens"), [(0, True), (30, False)])
def test_statuses_in_any_order_open_the_fuse_alike(
    database: Database, clock: SteppedClock, order: tuple[int, ...], success_at: int, opens: bool
) -> None:
    ids = sent_out(database, clock, 6)
    early = [_failed(pk, later(clock, seconds=10 + index)) for index, pk in enumerate(ids[:3])]
    late = [_failed(pk, later(clock, seconds=40 + index)) for index, pk in enumerate(ids[3:5])]
    success = [status("sent", later(clock, seconds=success_at), str(ids[5]), wamid="wamid.fine")]
    clock.advance(timedelta(minutes=2))
    for index in order:
        _say(database, clock, *(early, late, success)[index])
    assert (VARIANT in _open(database, clock)) == opens


def test_errors_from_before_a_hand_closed_the_fuse_are_forgiven(
    database: Database, clock: SteppedClock
) -> None:
    ids = sent_out(database, clock, 7)
    _say(database, clock, *(_failed(pk, clock.now()) for pk in ids[:5]))
    assert VARIANT in _open(database, clock)
    clock.advance(timedelta(minutes=1))

    def close(session: Session) -> None:
        breakers.close(session, clock, actor="ops", kind=Kind.VARIANT, key="spring/a")

    outbox.change(database, close)
    _say(
        database, clock, _failed(ids[5], later(clock, seconds=-10)), _failed(ids[6], later(clock, seconds=5))
    )
    assert VARIANT not in _open(database, clock)


def test_a_template_s_fuse_is_that_of_the_language_that_failed(
    database: Database, clock: SteppedClock
) -> None:
    (pk,) = sent_out(database, clock, language="nl")
    _say(database, clock, status("failed", clock.now(), str(pk), code=132015))
    assert _open(database, clock) == {(Kind.TEMPLATE, "promo_a/nl")}


def test_a_failure_from_before_the_template_s_return_is_old_news(
    database: Database, clock: SteppedClock
) -> None:
    (pk,) = sent_out(database, clock)
    with database.transaction() as session:
        breakers.template_restored(session, name="promo_a", language="en_US", at=later(clock, seconds=30))
    clock.advance(timedelta(minutes=1))
    _say(database, clock, status("failed", later(clock, seconds=-50), str(pk), code=132015))
    assert _open(database, clock) == frozenset()
