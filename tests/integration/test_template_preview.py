"""What a message would say to real users: filled in, in their language, or the variable that is missing. Nothing is sent."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import func, update
from sqlmodel import select

from api.app import create_app
from api.wiring import Wiring
from delivery.models import Message
from experiments.audit import AuditEntry
from experiments.content_settings import ContentSource
from targeting.models import User
from tests.integration.content_server import ContentService, Reply, serving
from tests.integration.people import add_people
from tests.integration.registry import register, template

SPRING = [
    {"type": "HEADER", "format": "TEXT", "text": "For {{1}}"},
    {"type": "BODY", "text": "Hi {{1}}, {{2}} is yours"},
    {"type": "FOOTER", "text": "Bye"},
    {
        "type": "BUTTONS",
        "buttons": [
            {"type": "URL", "text": "Shop", "url": "http://127.0.0.1:8000/r/{{1}}"},
            {"type": "COPY_CODE", "text": "Copy"},
            {"type": "QUICK_REPLY", "text": "No more"},
        ],
    },
]
HEBREW = [
    {"type": "HEADER", "format": "TEXT", "text": "עבור {{1}}"},
    {"type": "BODY", "text": "שלום {{1}} 🎉 {{2}}"},
    *SPRING[2:],
]
MESSAGE: dict[str, Any] = {
    "template": "spring",
    "language": "en_US",
    "languages": ["he"],
    "header": {"text": "{{ user.first_name }}"},
    "parameters": ["{{ user.first_name }}", "{{ user.gift | default('a surprise') }}"],
    "buttons": [
        {"type": "copy_code", "index": 1, "code": "SAVE"},
        {"type": "quick_reply", "index": 2, "payload": "stop"},
    ],
    "link": "https://shop.example/spring",
}


@pytest.fixture(autouse=True)
def world(wiring: Wiring) -> None:
    with wiring.database.transaction() as session:
        clock = wiring.clock
        add_people(session, clock, range(1, 21), attributes={"first_name": "Ann"})
        add_people(session, clock, range(21, 31))  # nobody knows their names
        change = update(User).where(User.id == 2).values(locale="he-IL", last_inbound_at=clock.now())  # type: ignore[arg-type]
        session.connection().execute(change)
        register(session, clock, template("spring", "en_US", *SPRING), template("spring", "he", *HEBREW))


def preview(writer: TestClient, **request: Any) -> dict[str, Any]:
    answer = writer.post("/v1/templates/preview", json=request)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_everything_is_filled_in(writer: TestClient) -> None:
    answer = preview(writer, message=MESSAGE, user_ids=["user-1", "user-2"])
    ann, noa = answer["users"]
    assert ann == {
        "user_id": "user-1",
        "kind": "template",
        "language": "en_US",
        "window_open": False,
        "header_kind": "TEXT",
        "header": "For Ann",
        "body": "Hi Ann, a surprise is yours",
        "footer": "Bye",
        "buttons": [
            {"kind": "URL", "text": "Shop", "value": "https://shop.example/spring"},
            {"kind": "COPY_CODE", "text": "Copy", "value": "SAVE"},
            {"kind": "QUICK_REPLY", "text": "No more", "value": "stop"},
        ],
        "parameters": ["Ann", "a surprise"],
        "fallbacks": [],
        "error": None,
    }
    assert (noa["language"], noa["body"], noa["window_open"]) == ("he", "שלום Ann 🎉 a surprise", True)
    assert (answer["checked"], answer["failed"], answer["warnings"]) == (2, 0, [])


def test_a_sample_is_shown_and_more_are_counted(writer: TestClient) -> None:
    answer = preview(writer, message=MESSAGE, sample=3)
    assert len(answer["users"]) == 3
    assert (answer["checked"], answer["failed"]) == (30, 10)
    assert answer["reasons"] == [
        {"field": "header.text", "message": "user.first_name is missing", "users": 10}
    ]
    named = preview(writer, message=MESSAGE, condition="first_name = 'Ann'", sample=50)
    assert (len(named["users"]), named["failed"]) == (20, 0)
    nobody = preview(writer, message=MESSAGE, condition={"country": "XX"})
    assert (nobody["users"], nobody["checked"]) == ([], 0)


def test_a_variant_of_an_experiment_and_its_audience(writer: TestClient) -> None:
    design = {
        "key": "spring",
        "name": "Spring",
        "audience": {"condition": {"first_name": "Ann"}},
        "variants": [
            {"key": "silence", "control": True},
            {"key": "a", "message": MESSAGE | {"parameters": ["{{ variant }}", "{{ experiment }}"]}},
        ],
        "metrics": [{"key": "bought", "role": "primary", "kind": "proportion", "event": "Bought"}],
    }
    assert writer.post("/v1/experiments", json=design).status_code == 201
    answer = preview(writer, experiment="spring", variant="a", sample=20)
    written = {user["user_id"]: user["body"] for user in answer["users"]}
    assert (written["user-1"], answer["checked"]) == ("Hi a, spring is yours", 20)
    for request, status in [
        ({"experiment": "spring", "variant": "b"}, 404),
        ({"experiment": "spring", "variant": "silence"}, 422),
        ({"experiment": "autumn", "variant": "a"}, 404),
        ({"experiment": "spring"}, 422),
        ({"experiment": "spring", "variant": "a", "message": MESSAGE}, 422),
        ({}, 422),
    ]:
        assert writer.post("/v1/templates/preview", json=request).status_code == status, request


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        ({"message": MESSAGE, "user_ids": ["user-1", "nobody"]}, "user_ids[1]"),
        ({"message": MESSAGE, "user_ids": ["user-1"] * 51}, "user_ids"),
        ({"message": MESSAGE, "sample": 51}, "sample"),
        ({"message": MESSAGE, "user_ids": ["user-1"], "condition": {}}, "user_ids"),
        ({"message": MESSAGE, "condition": {"a": {"$in": 3}}}, "condition.a.$in"),
        ({"message": MESSAGE | {"parameters": ["{{ 'x' * 9 }}", "y"]}}, "message.parameters[0]"),
        ({"message": MESSAGE | {"parameters": ["{{ usr.x }}", "y"]}}, "message.parameters[0]"),
        ({"message": MESSAGE | {"parameters": ["{{ content.x }}", "y"]}}, "message.parameters[0]"),
        ({"message": {"template": "spring"}}, "message"),
    ],
)
def test_what_is_wrong_is_named(writer: TestClient, request_: dict[str, Any], field: str) -> None:
    answer = writer.post("/v1/templates/preview", json=request_)
    assert answer.status_code == 422
    assert [error["field"] for error in answer.json()["errors"]] == [field]


def test_words_that_are_too_long_once_filled_in(writer: TestClient, wiring: Wiring) -> None:
    with wiring.database.transaction() as session:
        long = [{"type": "BODY", "text": "x" * 1020 + "{{1}}"}]
        head = [{"type": "HEADER", "format": "TEXT", "text": "x" * 58 + "{{1}}"}, SPRING[1]]
        register(session, wiring.clock, template("long", "en_US", *long), template("head", "en_US", *head))
    one = {"template": "long", "language": "en_US", "parameters": ["12345"]}
    error = preview(writer, message=one, sample=1)["users"][0]["error"]
    assert error == {
        "field": "parameters",
        "message": "the body is 1025 characters long for this user; WhatsApp takes 1024",
    }
    two = {"template": "head", "language": "en_US", "parameters": ["a", "b"], "header": {"text": "123"}}
    assert "the header is 61" in preview(writer, message=two, sample=1)["users"][0]["error"]["message"]


def test_a_free_text_is_for_those_whose_window_is_open(writer: TestClient, wiring: Wiring) -> None:
    text = {"text": "Hi {{ user.first_name }}\nbye"}
    answer = preview(writer, message=text, user_ids=["user-1", "user-2"])
    closed, opened = answer["users"]
    assert closed["error"]["message"] == "the 24 hours after the user's last message are over"
    assert (opened["kind"], opened["body"], opened["language"]) == ("text", "Hi Ann\nbye", None)
    wiring.clock.advance(timedelta(hours=24))  # type: ignore[attr-defined]
    assert preview(writer, message=text, user_ids=["user-2"])["failed"] == 1


def test_what_the_registry_does_not_know(writer: TestClient) -> None:
    unknown = {"template": "summer", "language": "en_US", "parameters": ["{{ user.user_id }}"]}
    answer = preview(writer, message=unknown, user_ids=["user-1"])
    assert (answer["users"][0]["parameters"], answer["users"][0]["body"]) == (["user-1"], None)
    assert "no template 'summer'" in answer["warnings"][0]
    dutch = preview(writer, message=MESSAGE | {"language": "nl"}, user_ids=["user-1"])
    assert dutch["users"][0]["error"]["field"] == "language"


@pytest.fixture
def service() -> Iterator[tuple[ContentService, str]]:
    service = ContentService()
    with serving(service) as url:
        yield service, url


def test_content_is_asked_for_those_who_are_shown(
    wiring: Wiring, keys: dict[str, str], service: tuple[ContentService, str]
) -> None:
    content, url = service
    sources = {
        "picks": ContentSource(url=f"{url}/{{user_id}}", timeout="5s"),
        "news": ContentSource(url=f"{url}/broken", fallback={"title": "Sale"}),
    }
    ordinary = content.answer
    content.answer = lambda user_id: Reply(500) if user_id == "broken" else ordinary(user_id)
    app = create_app(replace(wiring, settings=wiring.settings.model_copy(update={"content": sources})))
    parameters = ["{{ content.picks[0].name }}", "{{ content.news.title }}"]
    message = MESSAGE | {"languages": [], "parameters": parameters}
    with TestClient(app) as client:
        client.headers["Authorization"] = f"Bearer {keys['read']}"
        answer = preview(client, message=message, condition={"first_name": "Ann"}, sample=4)
        assert (answer["checked"], answer["failed"]) == (4, 0)
        user = answer["users"][0]
        assert user["body"] == f"Hi Tent for {user['user_id']}, Sale is yours"
        assert user["fallbacks"] == ["news"]
        assert len(content.paths) == 5
        content.answer = lambda _: Reply(500)
        answer = preview(client, message=message, user_ids=["user-1"])
    assert answer["users"][0]["error"]["field"] == "content.picks"


def test_nothing_is_written_and_no_number_told(writer: TestClient, wiring: Wiring) -> None:
    def rows() -> tuple[int, int]:
        with wiring.database.snapshot() as session:
            count = select(func.count())
            return (
                session.exec(count.select_from(Message)).one(),
                session.exec(count.select_from(AuditEntry)).one(),
            )

    before = rows()
    answer = writer.post("/v1/templates/preview", json={"message": MESSAGE, "sample": 50})
    assert rows() == before
    assert "55501" not in answer.text
