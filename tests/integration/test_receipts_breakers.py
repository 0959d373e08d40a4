"""What webhooks tell of templates and numbers opens the fuses and closes them, on both databases."""

from datetime import timedelta

from delivery.fuses import breakers
from experiments.clock import SteppedClock
from experiments.database import Database
from tests.integration import outbox
from tests.integration.outbox import NUMBER, later
from tests.integration.webhooks import come, project, sent_out, status, statuses, template_event


def test_templates_pause_and_return_in_any_order(database: Database, clock: SteppedClock) -> None:
    paused, back = (
        template_event("PAUSED", clock.now()),
        template_event("REINSTATED", later(clock, minutes=5)),
    )
    clock.advance(timedelta(minutes=10))

    def is_open() -> bool:
        with database.snapshot() as session:
            return bool(breakers.open_breakers(session, clock))

    come(database, clock, paused)
    project(database, clock)
    assert is_open()
    for body in (back, paused):
        come(database, clock, body)
        project(database, clock)
        assert not is_open()


def test_a_return_that_comes_before_its_pause_wins_all_the_same(
    database: Database, clock: SteppedClock
) -> None:
    come(database, clock, template_event("REINSTATED", later(clock, minutes=5), language=None))
    project(database, clock)
    come(database, clock, template_event("PAUSED", clock.now(), language=None))
    project(database, clock)
    clock.advance(timedelta(minutes=10))
    with database.snapshot() as session:
        assert breakers.open_breakers(session, clock) == []


def test_failures_open_the_fuses_of_number_and_variant(database: Database, clock: SteppedClock) -> None:
    ids = sent_out(database, clock, 6)
    failures = [
        status("failed", clock.now(), str(pk), wamid=f"wamid.{pk}", code=code)
        for pk, code in zip(ids, [131042, *[132012] * 5], strict=True)
    ]
    come(database, clock, statuses(*failures))
    project(database, clock)
    assert set(outbox.breakers(database)) == {("number", NUMBER), ("variant", "spring/a")}
    assert outbox.message(database, ids[0]).state == "planned"


def test_failures_between_successes_do_not_stop_the_variant(database: Database, clock: SteppedClock) -> None:
    ids = sent_out(database, clock, 6)
    failed = [status("failed", clock.now(), str(pk), wamid=f"wamid.{pk}", code=132012) for pk in ids[:5]]
    come(database, clock, statuses(*failed, status("sent", clock.now(), str(ids[5]), wamid="wamid.x")))
    project(database, clock)
    assert outbox.breakers(database) == {}
