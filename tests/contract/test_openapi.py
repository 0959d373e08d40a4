"""The OpenAPI document is true: no request that it allows, and none that breaks it, is answered in a way that it does not tell.

Schemathesis makes the requests from the document itself: valid ones, and ones that break it in one place. Each is made to two
applications, one over SQLite and one over PostgreSQL. They run in process, with a key that may do everything, and there is something to find.
"""

import json
from base64 import b64encode
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Final

import pytest
import schemathesis
from alembic import command
from fastapi import FastAPI
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.schemas import APIOperation
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from api import jobs, migrations, security
from api.app import create_app
from api.wiring import Wiring
from delivery.content import links
from delivery.whatsapp.webhooks import sign
from experiments.clock import SteppedClock
from experiments.database import Database
from experiments.settings import Settings
from experiments.vocabulary import Scope

EXAMPLES: Final = 8
"""Requests for each operation and for each of valid and broken. To make one takes longer than to answer it on two databases."""
CHECKS: Final = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
# Not checked: that everything valid by its schema is taken (what a campaign's parts owe each other no schema can say), and that
# everything broken is refused (Segment's calls may carry unknown fields).
APP_SECRET: Final = "app-secret"
VERIFY_TOKEN: Final = "verify-token"
METRIC: Final = {"kind": "proportion", "event": "Order Completed"}
CAMPAIGN: Final[dict[str, Any]] = {
    "key": "draft",
    "name": "Wake up customers who have gone quiet",
    "audience": {"condition": {"country": {"$in": ["NL", "BR"]}}},
    "variants": [
        {"key": "silence", "control": True},
        {
            "key": "coupon",
            "message": {"template": "coupon", "language": "en_US", "parameters": ["{{ user.first_name }}"]},
            "send_time": {"local_time": "18:30"},
        },
    ],
    "metrics": [{"key": "bought", "role": "primary", "window": "14d", **METRIC}],
}
RULE: Final = {
    "trigger": {"type": "event", "event": "Order Completed"},
    "actions": [{"type": "add_tag", "tag": "buyer"}],
}
PEOPLE: Final = [
    "user_id,phone,first_name,country,consent_marketing",
    *(f"u{i},+1202555{100 + i:04d},N{i},NL,yes" for i in range(8)),
]


@dataclass(frozen=True, kw_only=True)
class Side:
    """One application over its own database. `known`: what each parameter of a path may name, in the same order on either side."""

    app: FastAPI
    key: str
    known: dict[str, list[str]]


def wiring(database: Database, clock: SteppedClock) -> Wiring:
    # The tables were made from the metadata; /readyz wants to know that they are of the newest revision.
    command.stamp(migrations.config(database), "head")
    options = {
        "whatsapp_app_secret": APP_SECRET,
        "whatsapp_verify_token": VERIFY_TOKEN,
        "max_body_bytes": 50_000,
        "max_upload_bytes": 200_000,
        "sources": {"crm": "sqlite:///somewhere.db"},
    }
    url = database.url.render_as_string(hide_password=False)
    return Wiring(Settings.model_validate({"database_url": url, **options}), clock, database)


@pytest.fixture
def sides(sqlite_url: str, postgres_url: str, clock: SteppedClock) -> Iterator[dict[str, Side]]:
    with ExitStack() as stack:
        made = {}
        for url in (sqlite_url, postgres_url):
            database = Database(url)
            stack.callback(database.dispose)
            wired = wiring(database, clock)
            with database.transaction() as session:
                _row, key = security.create_key(
                    session, clock, actor="test", name="all", scopes=[Scope.ADMIN]
                )
            app = create_app(wired)
            made[database.url.get_backend_name()] = Side(app=app, key=key, known=fill(wired, app, key))
        yield made


def fill(wiring: Wiring, app: FastAPI, key: str) -> dict[str, list[str]]:
    """Somebody, a draft, a running and a stopped experiment, messages, a link; what each parameter of a path may name."""
    with TestClient(app, headers={"Authorization": f"Bearer {key}"}) as http:

        def put(method: str, path: str, **content: Any) -> dict[str, Any]:
            answer = http.request(method, path, **content)
            assert answer.is_success, answer.text
            body: dict[str, Any] = answer.json()
            return body

        put("POST", "/v1/imports", content="\n".join(PEOPLE), headers={"Content-Type": "text/csv"})
        put("PUT", "/v1/metrics/bought", json=METRIC)
        put("PUT", "/v1/segments/dutch", json={"name": "Dutch", "condition": {"country": "NL"}})
        put("PUT", "/v1/segments/staff", json={"name": "Staff"})
        put("PUT", "/v1/rules/buyers", json=RULE)
        put("PUT", "/v1/pulls/crm", json={"source": "crm", "query": "SELECT 1 AS user_id"})
        for name in ("draft", "running", "stopped"):
            put("POST", "/v1/experiments", json=CAMPAIGN | {"key": name})
        for path in ("running/start", "stopped/start", "stopped/stop"):
            put("POST", f"/v1/experiments/{path}")
        jobs.plan(wiring)
        revocable = put("POST", "/v1/keys", json={"name": "shop", "scopes": ["ingest"]})["prefix"]
        client_key = put("POST", "/v1/keys", json={"name": "app", "scopes": ["evaluate"]})["key"]
        message = put("GET", "/v1/experiments/running/messages")["items"][0]["id"]
        kept = put("GET", "/v1/experiments/running/report")["provenance"]["id"]
    with wiring.database.transaction() as session:
        token = links.create(session, targets={message: "https://example.com/?a=b"})[message]
    return {
        "/v1/experiments": ["draft", "running", "stopped"],
        "report_id": [str(kept)],
        "/v1/users": ["u1", "u2"],
        "/v1/imports": ["1"],
        "/v1/pulls": ["crm"],
        "/v1/rules": ["buyers"],
        "/v1/segments": ["dutch", "staff"],
        "/v1/attributes": ["country", "first_name"],
        "/v1/metrics": ["bought", "revenue"],
        "/v1/keys": [revocable],
        "/r": [token],
        "/ofrep/v1/evaluate/flags": ["draft", "running", "stopped"],
        "/api/features": [client_key],
    }


@pytest.fixture
def schema(sides: dict[str, Side]) -> schemathesis.BaseSchema:
    """The document as the application tells it. Half of all paths lead to something, half of all campaigns nearly fit."""
    known = sides["sqlite"].known
    document = schemathesis.openapi.from_asgi("/openapi.json", sides["sqlite"].app)

    @document.hook
    def flatmap_path_parameters(
        context: schemathesis.HookContext, path_parameters: dict[str, Any]
    ) -> st.SearchStrategy[dict[str, Any]]:
        assert context.operation is not None
        there = known.get(context.operation.path.split("/{")[0])
        if path_parameters and path_parameters.keys() == {"key", "report_id"}:
            found = {"key": "running", "report_id": known["report_id"][0]}
            return st.one_of(
                st.just(path_parameters), st.just(found), st.just({**path_parameters, "key": "running"})
            )
        if not path_parameters or len(path_parameters) != 1 or there is None:
            return st.just(path_parameters)
        (name,) = path_parameters
        return st.one_of(st.just(path_parameters), st.sampled_from([{name: value} for value in there]))

    @document.hook
    def flatmap_body(context: schemathesis.HookContext, body: Any) -> st.SearchStrategy[Any]:
        assert context.operation is not None
        if context.operation.path in {"/v1/plan", "/v1/simulate"} and isinstance(body, dict):
            return st.one_of(st.just(body), st.just({**body, "campaign": CAMPAIGN}))
        if not context.operation.path.startswith("/v1/experiments") or not isinstance(body, dict):
            return st.just(body)
        fields = st.sets(st.sampled_from(sorted(body)), max_size=2) if body else st.just(set())
        return st.one_of(
            st.just(body), fields.map(lambda names: {**CAMPAIGN, **{name: body[name] for name in names}})
        )

    return document


def request_every_way(operation: APIOperation, sides: dict[str, Side]) -> None:
    """Make valid and broken requests to one operation of either application, and hold each answer against the document."""
    is_basic = operation.path in {"/v1/track", "/v1/identify", "/v1/batch"}

    def check(case: schemathesis.Case) -> None:
        if operation.label == "GET /webhooks/whatsapp" and case.meta.generation.mode.is_positive:
            case.query = {**(case.query or {}), "hub.mode": "subscribe", "hub.verify_token": VERIFY_TOKEN}
        drawn = dict(case.path_parameters or {})
        for name, side in sides.items():
            there = named(sides["sqlite"], side)
            case.path_parameters = {
                parameter: there.get(value, value) if isinstance(value, str) else value
                for parameter, value in drawn.items()
            }
            credentials = (
                f"Basic {b64encode(f'{side.key}:'.encode()).decode()}" if is_basic else f"Bearer {side.key}"
            )
            headers = {"Authorization": credentials}
            if operation.label == "POST /webhooks/whatsapp" and case.meta.generation.mode.is_positive:
                # Nobody guesses a signature: this is what WhatsApp itself would send.
                body = json.dumps(case.body).encode()
                headers |= {"X-Hub-Signature-256": sign(APP_SECRET, body)}
            try:
                case.call_and_validate(app=side.app, headers=headers, checks=CHECKS, allow_redirects=False)
            except BaseException as error:
                error.add_note(f"on {name}")
                raise

    takes_nothing = not operation.body and not any(
        (operation.path_parameters, operation.query, operation.headers)
    )
    modes = [schemathesis.GenerationMode.POSITIVE] if takes_nothing else list(schemathesis.GenerationMode)
    for mode in modes:
        bounded = settings(
            max_examples=EXAMPLES,
            derandomize=True,
            database=None,
            deadline=None,
            phases=[Phase.explicit, Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        bounded(given(operation.as_strategy(generation_mode=mode))(check))()


def named(one: Side, other: Side) -> dict[Any, str]:
    """What is found by a name of its own on each side (keys, tokens, ids), by its name on `one`."""
    return {
        name: same
        for place, names in one.known.items()
        for name, same in zip(names, other.known[place], strict=True)
    }


@pytest.mark.slow
def test_every_answer_is_one_that_the_document_tells(
    schema: schemathesis.BaseSchema, sides: dict[str, Side], subtests: pytest.Subtests
) -> None:
    for found in schema.get_all_operations():
        operation = found.ok()
        with subtests.test(operation.label):
            request_every_way(operation, sides)
