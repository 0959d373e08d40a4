"""Answers have the shapes of OpenFeature's Remote Evaluation Protocol, held against its own OpenAPI document."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from fastapi.testclient import TestClient
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]
from sqlalchemy import update

from api import security
from api.app import create_app
from api.wiring import Wiring
from experiments.clock import SteppedClock
from experiments.database import Database
from experiments.models import Experiment
from experiments.settings import Settings
from experiments.vocabulary import Scope
from tests.integration.people import add_people, campaign, start_campaign

FLAGS = "/ofrep/v1/evaluate/flags"


@pytest.fixture
def protocol(shared: Path) -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((shared / "conformance/ofrep-openapi.yaml").read_text())
    # A flag without a value is described as any object at all, which every flag with a value is too: "one of" can never hold.
    typed = document["components"]["schemas"]["evaluationSuccess"]["allOf"][1]
    typed["anyOf"] = typed.pop("oneOf")
    return document


Told = Callable[..., tuple[int, Any]]


@pytest.fixture
def told(sqlite_url: str, clock: SteppedClock, protocol: dict[str, Any]) -> Told:
    """POST to a path; the answer has been held against what the protocol says of this path and status."""
    database = Database(sqlite_url)
    wiring = Wiring(Settings(database_url=sqlite_url, max_body_bytes=10_000), clock, database)
    with database.transaction() as session:
        add_people(session, clock, [1, 2])
        add_people(session, clock, [3], attributes={"country": "BR"})
        start_campaign(session, clock, campaign("everybody", audience={"forced": {"user-2": "coupon"}}))
        start_campaign(session, clock, campaign("brazil", audience={"condition": {"country": "BR"}}))
        _row, key = security.create_key(session, clock, actor="t", name="app", scopes=[Scope.EVALUATE])
        _row, other = security.create_key(session, clock, actor="t", name="other", scopes=[Scope.READ])
    keys = {"app": key, "other": other}
    http = TestClient(create_app(wiring), raise_server_exceptions=False)

    def post(
        path: str, content: bytes | dict[str, Any], *, key: str = "app", **headers: str
    ) -> tuple[int, Any]:
        body: dict[str, Any] = {"json": content} if isinstance(content, dict) else {"content": content}
        authorization = {"Authorization": f"Bearer {keys.get(key, key)}"}
        answer = http.post(FLAGS + path, **body, headers=authorization | headers)
        described = protocol["paths"][FLAGS + ("/{key}" if path.startswith("/") else "")]["post"]["responses"]
        assert str(answer.status_code) in described
        schema = (
            described[str(answer.status_code)].get("content", {}).get("application/json", {}).get("schema")
        )
        if answer.status_code == 304:
            assert answer.content == b""
            return 304, answer.headers["etag"]
        if schema is not None:
            assert answer.headers["content-type"] == "application/json"
            Draft202012Validator({**protocol, **schema}).validate(answer.json())
        return answer.status_code, (answer.json(), answer.headers.get("etag"))

    return post


def context(user_id: str = "user-1", **attributes: Any) -> dict[str, Any]:
    return {"context": {"targetingKey": user_id, **attributes}}


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/everybody", context(), 200),
        ("/everybody", context("user-2"), 200),
        ("/brazil", context(), 200),
        ("/nothing", context(), 404),
        ("/everybody", {}, 400),
        ("/everybody", {"context": {}}, 400),
        ("/everybody", {"context": {"targetingKey": 5}}, 400),
        ("/everybody", b"{", 400),
        ("", context(), 200),
        ("", {"context": {}}, 400),
        ("", b"[", 400),
        ("?flagConfigEtag=abc&flagConfigLastModified=1771622898", context(), 200),
    ],
    ids=lambda value: str(value)[:40],
)
def test_answers_have_the_shapes_of_the_protocol(told: Told, path: str, body: Any, status: int) -> None:
    assert told(path, body)[0] == status


def test_keys_are_refused_as_the_protocol_says(told: Told) -> None:
    assert told("", context(), key="unknown")[0] == 401
    assert told("/everybody", context(), key="other")[0] == 403


def test_the_same_answers_are_not_sent_twice(told: Told) -> None:
    _status, (_answer, tag) = told("", context())
    assert told("", context(), **{"If-None-Match": tag}) == (304, tag)


def test_what_breaks_on_our_side_has_a_shape_too(told: Told, sqlite_url: str) -> None:
    database = Database(sqlite_url)
    with database.transaction() as session:
        session.connection().execute(update(Experiment).values(definition={}))
    assert told("/everybody", context())[0] == 500
    assert told("", context())[0] == 500
    database.dispose()
