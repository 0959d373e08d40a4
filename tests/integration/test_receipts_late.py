"""The boundary of not knowing: a status that comes just before, or long after, its message ended as unknown."""

import json
from datetime import timedelta

import pytest

from delivery.receipts.inbox import project_tick, store
from delivery.whatsapp.client import Unknown
from experiments.clock import SteppedClock, to_micros
from experiments.database import Database
from tests.integration import outbox
from tests.integration.outbox import FakeSender, campaign, dispatch

DAY = timedelta(hours=24)


def _told(database: Database, clock: SteppedClock, pk: int, status: str) -> None:
    at = str(to_micros(clock.now()) // 1_000_000)
    one = {"id": f"wamid.{pk}", "status": status, "timestamp": at, "biz_opaque_callback_data": str(pk)}
    value = {"entry": [{"changes": [{"field": "messages", "value": {"statuses": [one]}}]}]}
    with database.transaction() as session:
        store(session, clock, body=json.dumps(value).encode())
    project_tick(database, clock, settings=outbox.settings())


@pytest.mark.parametrize("status", ["sent", "delivered", "read"])
def test_a_status_after_the_end_still_says_what_happened_and_nothing_is_sent_again(
    database: Database, clock: SteppedClock, status: str
) -> None:
    (pk,) = campaign(database, clock, 1)
    sender = FakeSender(lambda _: Unknown("ServerDisconnectedError"))
    dispatch(database, clock, sender)
    slot = outbox.message(database, pk).slot_at
    clock.advance(DAY)
    assert dispatch(database, clock, sender).ended_unknown == 1
    assert outbox.message(database, pk).state == "unknown"
    _told(database, clock, pk, status)
    known = outbox.message(database, pk)
    assert (known.state, known.reason, known.wamid) == (status, None, f"wamid.{pk}")
    assert known.slot_at == slot
    clock.advance(DAY)
    dispatch(database, clock, sender)
    assert (outbox.message(database, pk).state, len(sender.sent)) == (status, 1)


def test_a_status_in_the_last_moment_is_not_overtaken_by_giving_up(
    database: Database, clock: SteppedClock
) -> None:
    (pk,) = campaign(database, clock, 1)
    sender = FakeSender(lambda _: Unknown("ServerDisconnectedError"))
    dispatch(database, clock, sender)
    clock.advance(DAY - timedelta(microseconds=1))
    assert dispatch(database, clock, sender).ended_unknown == 0
    _told(database, clock, pk, "sent")
    clock.advance(timedelta(microseconds=1))
    assert dispatch(database, clock, sender).ended_unknown == 0
    assert outbox.message(database, pk).state == "sent"
