"""Content sources are asked between the claim and the reservation, outside of any transaction, and only where a text needs them."""

import asyncio
import json

from sqlalchemy import update

from delivery.models import Message
from delivery.sending.dispatch import Dispatcher
from experiments.clock import SteppedClock
from experiments.database import Database
from tests.integration import outbox
from tests.integration.content_server import ContentService, Reply, serving

MESSAGE = {"template": "promo_a", "language": "en_US"}


def _send(database: Database, clock: SteppedClock, url: str) -> outbox.FakeSender:
    source = {"url": url + "/u/{user_id}", "timeout": "2s", "fallback": [{"name": "Classic"}]}
    sender = outbox.FakeSender()
    settings = outbox.settings(content=json.dumps({"picks": source}))

    async def run() -> None:
        dispatcher = Dispatcher(database, clock, settings, sender, "w")
        await dispatcher.run(100)
        await dispatcher._contents.close()

    asyncio.run(run())
    return sender


def _campaign(database: Database, clock: SteppedClock, *parameters: str) -> list[int]:
    arms = [
        {"key": "silence", "control": True},
        {"key": "a", "message": MESSAGE | {"parameters": list(parameters)}},
    ]
    experiment_id = outbox.add_experiment(database, clock, variants=arms)
    users = outbox.add_users(database, clock, 2)
    return outbox.add_messages(database, clock, experiment_id, users)


def test_what_a_source_says_is_in_the_message_and_no_lock_is_held_while_it_is_asked(
    database: Database, clock: SteppedClock
) -> None:
    ids = _campaign(database, clock, "{{ content.picks[0].name }}")

    states: list[set[str]] = []

    def answer(user_id: str) -> Reply:
        states.append({message.state for message in outbox.messages(database).values()})
        # A write to every row in doubt: it would wait for a transaction that held them.
        outbox.change(database, lambda s: s.exec(update(Message).values(choice={"by": "nobody"})))
        return Reply(body=json.dumps([{"name": f"Tent for {user_id}"}]).encode())

    service = ContentService(answer)
    with serving(service) as url:
        sender = _send(database, clock, url)
    assert [message.body_parameters for message in sender.sent] == [("Tent for u0",), ("Tent for u1",)]
    assert states == [{"claimed"}] * 2
    assert outbox.message(database, ids[0]).parameters == ["Tent for u0"]


def test_a_design_without_content_asks_nobody(database: Database, clock: SteppedClock) -> None:
    _campaign(database, clock, "{{ user.first_name }}")
    service = ContentService()
    with serving(service) as url:
        assert len(_send(database, clock, url).sent) == 2
    assert service.paths == []
