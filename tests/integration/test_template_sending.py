"""From the registry to the recipient: synchronised, checked, written and sent, to a simulated WhatsApp that takes nothing odd."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import httpx
import pytest
from pydantic import SecretStr
from sqlalchemy import insert, update
from sqlmodel import col, select

from api import campaigning, jobs
from api.wiring import Wiring
from delivery.models import Message
from delivery.simulator import server
from delivery.simulator.config import SimulatorConfig
from experiments.database import Database
from experiments.settings import Settings
from targeting.models import Event, User
from tests.integration.content_server import ContentService, Reply, serving
from tests.integration.people import add_people

BUTTONS = {
    "type": "BUTTONS",
    "buttons": [
        {"type": "QUICK_REPLY", "text": "Not now"},
        {"type": "URL", "text": "Shop", "url": "http://127.0.0.1:8000/r/{{1}}", "example": ["x"]},
        {"type": "COPY_CODE", "example": ["SAVE20"]},
    ],
}
COMPONENTS = [
    {"type": "HEADER", "format": "TEXT", "text": "For {{who}}"},
    {"type": "BODY", "text": "Hi {{name}}, after the {{product}} a {{pick}}?"},
    BUTTONS,
]
TEMPLATES = [
    {"name": "picks", "language": language, "category": "MARKETING", "components": COMPONENTS}
    for language in ("en_US", "pt_BR")
]
MESSAGE = {
    "template": "picks",
    "language": "en_US",
    "languages": ["pt_BR"],
    "header": {"text": "{{ user.user_id }}", "name": "who"},
    "parameters": {
        "name": "{{ user.first_name }}",
        "product": '{{ events["Product Viewed"].product }}',
        "pick": "{{ content.picks[0].name }}",
    },
    "buttons": [
        {"type": "quick_reply", "index": 0, "payload": "later"},
        {"type": "copy_code", "index": 2, "code": "{{ coupon }}"},
    ],
    "link": "https://shop.example",
    "link_index": 1,
    "text": "Hi {{ user.first_name }},\nhave a look: https://shop.example",
}


@dataclass
class World:
    wiring: Wiring
    content: ContentService
    simulator: str

    def run(self, *names: str) -> None:
        for name in names:
            jobs.JOBS[name](self.wiring)

    def start(self, message: dict[str, Any] = MESSAGE) -> tuple[str, ...]:
        document = {
            "key": "picks",
            "name": "Picks",
            "audience": {"forced": {f"user-{n}": "a" for n in range(1, 5)}},
            "variants": [{"key": "silence", "control": True}, {"key": "a", "message": message}],
            "metrics": [{"key": "bought", "role": "primary", "kind": "proportion", "event": "Bought"}],
        }
        given: dict[str, Any] = {"settings": self.wiring.settings, "actor": "test"}
        with self.wiring.database.transaction() as session:
            campaigning.create(session, self.wiring.clock, document=document, **given)
            return campaigning.start(session, self.wiring.clock, key="picks", **given)[1]

    def messages(self) -> dict[int, Message]:
        with self.wiring.database.snapshot() as session:
            query = select(Message).order_by(col(Message.user_pk))
            return {row.user_pk: row for row in session.exec(query)}

    def change(self, user_pk: int, **values: Any) -> None:
        with self.wiring.database.transaction() as session:
            session.connection().execute(update(User).where(col(User.id) == user_pk).values(values))


@pytest.fixture
def world(database: Database, database_url: str, wiring: Wiring) -> Iterator[World]:
    config = SimulatorConfig(throughput=None)
    service = ContentService()
    with server.running(config, wiring.clock) as simulator, serving(service) as url:
        world_of = {"people": [], "templates": TEMPLATES}
        httpx.post(f"{simulator}/simulator/world", json=world_of).raise_for_status()
        settings = Settings(
            database_url=database_url,
            whatsapp_url=simulator,
            whatsapp_loopback_only=True,
            whatsapp_token=SecretStr(config.token),
            whatsapp_phone_number_id=config.phone_number_id,
            whatsapp_business_account_id=config.waba_id,
            content=json.dumps({"picks": {"url": url + "/{user_id}", "timeout": "5s"}}),
        )
        made = World(replace(wiring, settings=settings), service, simulator)
        with database.transaction() as session:
            add_people(session, wiring.clock, range(1, 5), attributes={"first_name": "Ann"})
            seen = [
                {
                    "message_id": f"m{n}",
                    "user_pk": n,
                    "name": "Product Viewed",
                    "at": wiring.clock.now(),
                    "received_at": wiring.clock.now(),
                    "properties": {"product": "stove"},
                }
                for n in (1, 2, 3)
            ]
            session.connection().execute(insert(Event), seen)
        made.run("sync-templates")
        yield made
        made.wiring.dispatcher.close()


def test_a_whole_message_in_each_user_s_language_and_a_text_in_the_window(world: World) -> None:
    assert world.start() == ()
    world.change(2, locale="pt-PT")
    world.change(3, last_inbound_at=world.wiring.clock.now())
    said = {"phone": "+12015550103", "text": "What is new?"}
    httpx.post(f"{world.simulator}/simulator/say", json=said).raise_for_status()
    world.run("plan", "dispatch")
    ann, bia, carl, dora = world.messages().values()
    assert [row.state for row in (ann, bia, carl)] == 3 * ["accepted"]
    assert [row.language for row in (ann, bia, carl)] == ["en_US", "pt_BR", None]
    assert ann.parameters is not None
    assert ann.parameters[:4] == ["user-1", "Ann", "Tent for user-1", "stove"]
    assert carl.parameters == ["Hi Ann,\nhave a look: https://shop.example"]
    # Nobody knows what she has looked at.
    assert (dora.state, dora.reason) == ("suppressed", "content: events.Product Viewed is missing")
    assert sorted(world.content.paths) == [f"/user-{n}" for n in range(1, 5)]


def test_a_source_that_is_down_puts_messages_off_and_loses_none(world: World) -> None:
    world.start({**MESSAGE, "text": None})
    well = world.content.answer
    world.content.answer = lambda _: Reply(503)
    world.run("plan", "dispatch")
    assert {row.state for row in world.messages().values()} == {"planned"}
    assert {"content" in (row.reason or "") for row in world.messages().values()} == {True}
    world.content.answer = well
    world.wiring.clock.advance(timedelta(minutes=10))  # type: ignore[attr-defined]
    world.wiring.dispatcher._contents._health.clear()  # its rest is in real seconds
    world.run("dispatch")
    assert [row.state for row in world.messages().values()] == [*(3 * ["accepted"]), "suppressed"]


def test_a_fallback_goes_out_and_the_message_says_so(world: World) -> None:
    picks = world.wiring.settings.content["picks"].model_copy()
    standing_in = type(picks).model_validate(
        {"url": picks.url, "timeout": "5s", "fallback": [{"name": "Classic"}]}
    )
    settings = world.wiring.settings.model_copy(update={"content": {"picks": standing_in}})
    world.wiring = replace(world.wiring, settings=settings)
    world.start({**MESSAGE, "text": None})
    world.content.answer = lambda user_id: (
        Reply(500) if user_id == "user-1" else ContentService.answer(user_id)
    )
    world.run("plan", "dispatch")
    ann, bia = list(world.messages().values())[:2]
    assert (ann.state, ann.parameters[2]) == ("accepted", "Classic")  # type: ignore[index]
    assert "picks" in json.dumps(ann.decision)
    assert bia.parameters[2] == "Tent for user-2"  # type: ignore[index]
    assert "picks" not in json.dumps(bia.decision)
