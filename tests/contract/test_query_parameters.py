"""No management route lets a query parameter pass that it does not know, and it knows those of the OpenAPI document."""

from collections.abc import Iterator
from typing import Any, Final

import pytest
from fastapi.testclient import TestClient

from api import security
from api.app import create_app
from api.wiring import Wiring
from experiments.clock import SteppedClock
from experiments.database import Database
from experiments.settings import Settings
from experiments.vocabulary import Scope

TRACKING: Final = {"identify", "track", "page", "screen", "group", "alias", "batch", "import"}


@pytest.fixture
def http(database: Database, clock: SteppedClock) -> Iterator[TestClient]:
    wiring = Wiring(Settings(), clock, database)
    with database.transaction() as session:
        _row, key = security.create_key(session, clock, actor="test", name="all", scopes=[Scope.ADMIN])
    with TestClient(create_app(wiring), headers={"Authorization": f"Bearer {key}"}) as client:
        yield client


def managing(document: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    """Method, path and description of every operation that is not somebody else's protocol, a link or a probe."""
    return [
        (method, path, operation)
        for path, item in document["paths"].items()
        for method, operation in item.items()
        if path.startswith("/v1/") and path.removeprefix("/v1/") not in TRACKING
    ]


def test_every_management_route_names_the_parameter_that_it_does_not_know_and_those_that_it_knows(
    http: TestClient, subtests: pytest.Subtests
) -> None:
    found = managing(http.get("/openapi.json").json())
    assert len(found) > 60
    for method, path, operation in found:
        with subtests.test(f"{method} {path}"):
            declared = [part["name"] for part in operation.get("parameters", ()) if part["in"] == "query"]
            answer = http.request(method, path.replace("{", "").replace("}", ""), params={"no_such": "1"})
            assert answer.status_code == 422, answer.text
            assert "422" in operation["responses"]
            (problem,) = answer.json()["errors"]
            assert problem["field"] == "no_such"
            known = f"known: {', '.join(sorted(declared))}" if declared else "none is"
            assert problem["message"] == f"is not known here; {known}"


def test_the_parameters_of_pages_are_known(http: TestClient) -> None:
    assert http.get("/v1/experiments", params={"limit": 1, "cursor": "MA"}).status_code == 200


def test_other_peoples_protocols_may_send_more(http: TestClient) -> None:
    told = http.post("/v1/track?no_such=1", json={"userId": "u", "event": "Seen", "messageId": "m"})
    assert told.status_code == 200
    assert http.get("/healthz?no_such=1").status_code == 200
    assert http.post("/ofrep/v1/evaluate/flags?no_such=1", json={}).status_code == 400
