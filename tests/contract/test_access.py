"""Who may call what: every operation of the OpenAPI document, by every kind of key and by none, in every way of asking.

The table below is read by people. An operation that is new is refused to all until it stands there, or is a GET of management
(scope read) or any other write of it (scope write).
"""

import re
from collections.abc import Iterator
from typing import Any, Final

import pytest
from fastapi.testclient import TestClient
from pydantic import SecretStr

from api import security
from api.app import create_app
from api.wiring import Wiring
from experiments.clock import SteppedClock
from experiments.database import Database
from experiments.settings import Settings
from experiments.vocabulary import Scope
from tests.contract.test_no_phone_numbers import POSTS
from tests.integration.test_sign_in import bearer

ANYBODY: Final = {
    "GET /healthz",
    "GET /readyz",
    "GET /metrics",
    "GET /r/{token}",
    "POST /v1/sessions",
    "GET /webhooks/whatsapp",  # these two know who calls by themselves
    "POST /webhooks/whatsapp",
    "GET /api/features/{client_key}",  # the key stands in the address
}
ANY_KEY: Final = {"GET /v1/keys/self", "DELETE /v1/sessions/self"}
TRACKING: Final = {
    f"POST /v1/{name}"
    for name in ("identify", "track", "page", "screen", "group", "alias", "batch", "import")
}
CALL: Final = {"userId": "u", "event": "Seen", "groupId": "g", "previousId": "p", "batch": []}
"""For tracking, where a body may hold the key and is read before it is missed: a call of every kind."""
EVALUATION: Final = {"POST /ofrep/v1/evaluate/flags", "POST /ofrep/v1/evaluate/flags/{key}"}
ADMIN: Final = {
    "GET /v1/users/{user_id}/export",
    "DELETE /v1/users/{user_id}",
    "POST /v1/users/{user_id}/readmit",
    "PUT /v1/pulls/{key}",
    "DELETE /v1/pulls/{key}",
    "PUT /v1/delivery/policy",
    "GET /v1/keys",
    "POST /v1/keys",
    "DELETE /v1/keys/{prefix}",
    "GET /v1/members",
    "GET /v1/members/{email}",
    "PUT /v1/members/{email}",
    "DELETE /v1/members/{email}",
}


def needed(operation: str) -> Scope | str | None:
    """The scope that an operation asks for; `any key`, or None for nothing."""
    method, path = operation.split(" ")
    if operation in ANYBODY:
        return None
    if operation in ANY_KEY:
        return "any key"
    if operation in TRACKING:
        return Scope.INGEST
    if operation in EVALUATION:
        return Scope.EVALUATE
    if operation in ADMIN:
        return Scope.ADMIN
    reads = method == "GET" or path in POSTS
    return Scope.READ if reads else Scope.WRITE


@pytest.fixture
def wiring(sqlite_url: str, clock: SteppedClock) -> Iterator[Wiring]:
    # One database will do: who may do what is not asked of it.
    made = Wiring(Settings(whatsapp_app_secret=SecretStr("secret")), clock, Database(sqlite_url))
    yield made
    made.close()


@pytest.fixture
def http(wiring: Wiring) -> Iterator[TestClient]:
    with TestClient(create_app(wiring), raise_server_exceptions=False, follow_redirects=False) as client:
        yield client


@pytest.fixture
def operations(http: TestClient) -> list[str]:
    paths: dict[str, Any] = http.get("/openapi.json").json()["paths"]
    return [f"{method.upper()} {path}" for path, item in paths.items() for method in item]


def test_every_operation_asks_for_the_scope_that_it_should(
    http: TestClient, wiring: Wiring, operations: list[str], subtests: pytest.Subtests
) -> None:
    assert set(operations) >= ANYBODY | ANY_KEY | TRACKING | EVALUATION | ADMIN
    keys = {}
    with wiring.database.transaction() as session:
        for scope in Scope:
            keys[scope] = security.create_key(session, wiring.clock, actor="t", name=scope, scopes=[scope])[1]

    def refused(operation: str, key: str | None) -> int | None:
        method, path = operation.split(" ")
        address = re.sub(r"{\w+}", "x1", path)
        body = CALL if operation in TRACKING else {}
        answer = http.request(method, address, headers=bearer(key) if key else {}, json=body)
        return answer.status_code if answer.status_code in (401, 403) else None

    for operation in operations:
        scope = needed(operation)
        if scope is None:
            continue
        with subtests.test(operation):
            assert refused(operation, None) == 401
            assert refused(operation, "ts_0123456789ab_made-up") == 401
            for owned, key in keys.items():
                if operation == "DELETE /v1/sessions/self":
                    assert refused(operation, key) == 403  # for sessions only, whatever the key
                    continue
                may = scope == "any key" or scope in security.IMPLIED[owned]
                assert refused(operation, key) == (None if may else 403), owned


def test_no_other_way_of_asking_tells_more(
    http: TestClient, operations: list[str], subtests: pytest.Subtests
) -> None:
    guarded = {operation.split(" ")[1] for operation in operations if needed(operation) is not None}
    for path in sorted(guarded):
        address = re.sub(r"{\w+}", "x1", path)
        with subtests.test(path):
            for method in ("HEAD", "OPTIONS", "TRACE"):
                assert http.request(method, address).status_code == 405
            for odd in (f"{address}/", address.upper(), f"{address}?key=x"):
                assert not http.get(odd).is_success
