"""What the simulator accepts over real sockets and what it refuses: messages as the Graph API does, worlds by field."""

import asyncio
import json
import socket
import time
from dataclasses import replace

import httpx
import pytest
from pywa import WhatsApp
from pywa.types import MessageStatus
from pywa.types.message_status import MessageStatusType
from pywa.types.templates import TemplateLanguage

from delivery.simulator.config import Faults, SimulatorConfig
from delivery.simulator.server import build_app, running
from delivery.whatsapp.client import Accepted, Rejected, SendOutcome, Unknown, WhatsAppClient
from delivery.whatsapp.error_table import ErrorClass
from experiments.errors import Unavailable
from tests.integration.simulation import (
    BEHAVIOUR,
    PHONE_NUMBER_ID,
    TOKEN,
    configuration,
    drain,
    message,
    people,
    post,
    receiver,
    send,
    status,
)


def test_the_simulator_can_be_called_inside_the_process():
    config = SimulatorConfig(token=TOKEN, throughput=None, faults=Faults(drop=0.5))

    async def go() -> list[SendOutcome]:
        app = build_app(config)
        await app.state.engine.start()
        try:
            async with WhatsAppClient(
                base_url="http://127.0.0.1",
                version="v26.0",
                phone_number_id=PHONE_NUMBER_ID,
                token=TOKEN,
                transport=httpx.ASGITransport(app),
            ) as client:
                return [await client.send(message(n, "anything")) for n in range(30)]
        finally:
            await app.state.engine.stop()

    assert {type(outcome) for outcome in asyncio.run(go())} == {Accepted, Unknown}


def test_a_number_has_its_throughput():
    with running(SimulatorConfig(token=TOKEN, throughput=20)) as simulator:
        outcomes = send(simulator, [message(n, "anything") for n in range(60)])
    refused = [outcome for outcome in outcomes if isinstance(outcome, Rejected)]
    assert {outcome.code for outcome in refused} == {130429}
    assert {outcome.error_class for outcome in refused} == {ErrorClass.SLOW_DOWN}
    assert 20 <= len(outcomes) - len(refused) < 50


def test_a_doubled_message_shows():
    with running(SimulatorConfig(token=TOKEN, throughput=None)) as simulator:
        send(simulator, [message(0, "anything")], times=2)
        assert status(simulator)["accepted_per_message_max"] == 2
        assert status(simulator)["posts_per_message_max"] == 2


def test_what_the_graph_api_refuses_is_refused():
    with running(SimulatorConfig(token=TOKEN, throughput=None)) as simulator:
        post(simulator, "/simulator/world", people=people(1), behaviour=BEHAVIOUR)
        good = message(0, "reminder")
        wrong = {
            132000: replace(good, body_parameters=("a", "b")),
            132001: replace(good, template="unheard_of"),
            131026: replace(good, to="+12125550199"),
            131021: replace(good, to=f"+{SimulatorConfig().display_phone_number}"),
        }
        assert [type(outcome) for outcome in send(simulator, [good])] == [Accepted]
        codes = [
            outcome.code for outcome in send(simulator, list(wrong.values())) if isinstance(outcome, Rejected)
        ]
        assert codes == list(wrong)
        [stranger] = send(simulator, [good], token="wrong")
        assert isinstance(stranger, Rejected)
        assert (stranger.code, stranger.http_status) == (190, 401)
        assert [type(outcome) for outcome in send(simulator, [replace(good, language="nl")])] == [Rejected]


def test_held_webhooks_wait_for_their_release():
    with receiver() as (url, received), running(configuration(url, hold=True)) as simulator:
        send(simulator, [message(n, "anything") for n in range(10)])
        time.sleep(0.3)
        assert received.webhooks == []
        assert status(simulator)["queued"] == 10
        post(simulator, "/simulator/release")
        drain(simulator)
        assert len(received.final_states()) == 10


def test_a_world_in_motion_is_not_replaced_until_it_is_reset(tmp_path):
    path = tmp_path / "people.jsonl"
    path.write_text("\n".join(json.dumps(person) for person in people(50)))
    with receiver() as (url, received), running(configuration(url)) as simulator:
        world = {"people_path": str(path), "behaviour": {"silence": {"visit": 1}}}
        assert post(simulator, "/simulator/world", **world)["people"] == 50
        assert post(simulator, "/simulator/begin", at="2026-12-01T10:00:00Z", window="1d") == {"visitors": 50}
        for path_, document in (("/simulator/world", world), ("/simulator/begin", {})):
            assert httpx.post(simulator + path_, json=document).status_code == 409
        drain(simulator)
        assert len(received.visitors()) == 50
        assert received.clicks == []
        assert post(simulator, "/simulator/reset")["people"] == 0
        assert post(simulator, "/simulator/world", **world)["people"] == 50


@pytest.mark.parametrize(
    ("path", "document", "field"),
    [
        ("/simulator/world", {"people": 3}, "people"),
        ("/simulator/world", {"people": [{"user_id": "u"}]}, "people[0].phone"),
        ("/simulator/world", {"people_path": "/nowhere.jsonl"}, "people_path"),
        ("/simulator/world", {"people": [], "people_path": "/nowhere.jsonl"}, "people"),
        (
            "/simulator/world",
            {"people": [{"user_id": "u", "phone": "+12025550101", "name": "Ann"}]},
            "people[0].name",
        ),
        ("/simulator/world", {"persons": []}, "persons"),
        ("/simulator/world", {}, "world"),
        (
            "/simulator/world",
            {"people": [], "behaviour": {"silence": {"visit": 2}}},
            "behaviour.silence.visit",
        ),
        ("/simulator/begin", {"window": "soon"}, "window"),
        ("/simulator/begin", {"at": "2026-12-01"}, "at"),
    ],
)
def test_wrong_worlds_are_refused_by_field(path, document, field):
    with running(SimulatorConfig()) as simulator:
        response = httpx.post(simulator + path, json=document)
        assert response.status_code == 422
        assert [problem["field"] for problem in response.json()["problems"]] == [field]
        assert httpx.post(simulator + path, content=b"{").status_code == 422


def test_a_world_may_be_templates_alone():
    templates = [{"name": "promo", "components": [{"type": "BODY", "text": "Hello"}]}]
    with running(SimulatorConfig()) as simulator:
        loaded = post(simulator, "/simulator/world", templates=templates)
        assert loaded == {"people": 0, "templates": ["promo"]}


def test_a_busy_port_is_said_plainly():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        config = SimulatorConfig(port=taken.getsockname()[1])
        with pytest.raises(Unavailable, match="cannot listen"), running(config):
            pass


def test_a_public_client_speaks_with_the_simulator_and_reads_its_webhooks():
    """pywa is somebody else's client: what it sends is understood, and what we emit it understands."""
    with receiver() as (url, received), running(configuration(url)) as simulator:
        post(simulator, "/simulator/world", people=people(1), behaviour=BEHAVIOUR)

        def redirect(request: httpx.Request) -> httpx.Response:
            assert request.url.host == "graph.facebook.com"
            with httpx.Client() as plain:
                answer = plain.post(
                    simulator + request.url.path, content=request.read(), headers=dict(request.headers)
                )
            return httpx.Response(answer.status_code, content=answer.content)

        with httpx.Client(transport=httpx.MockTransport(redirect)) as session:
            client = WhatsApp(phone_id=PHONE_NUMBER_ID, token=TOKEN, session=session, server=None)
            components = message(0, "reminder").to_payload()["template"]["components"]
            sent = client.send_template(
                to="12025550100",
                name="reminder",
                language=TemplateLanguage.ENGLISH_US,
                params=components,
                tracker="m-0",
            )
            drain(simulator)
            statuses = [
                MessageStatus.from_update(client, json.loads(body), status_idx=index, contact_idx=index)
                for _, body in received.webhooks
                for index in range(
                    len(json.loads(body)["entry"][0]["changes"][0]["value"].get("statuses", []))
                )
            ]
    assert {one.id for one in statuses} == {sent.id}
    assert {one.tracker for one in statuses} == {"m-0"}
    assert statuses[0].status is MessageStatusType.SENT
    assert {one.from_user.wa_id for one in statuses} == {"12025550100"}
