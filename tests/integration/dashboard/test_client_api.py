"""The dashboard's client against the API itself, in process: the two agree on paths, scopes and errors."""

from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient

from api import jobs
from api.wiring import Wiring
from dashboard import verdicts
from dashboard.calls import experiment as experiments
from dashboard.calls import overview
from dashboard.client import ApiError, Client

CAMPAIGN = {
    "key": "spring-wakeup",
    "name": "Wake up customers who have gone quiet",
    "hypothesis": "A coupon brings back more buyers than silence",
    "variants": [
        {"key": "silence", "control": True},
        {"key": "coupon", "message": {"template": "spring_coupon", "language": "en_US"}},
    ],
    "metrics": [{"key": "bought", "role": "primary", "kind": "proportion", "event": "Order Completed"}],
}


class InProcess(httpx.BaseTransport):
    """Hands each request to the API in this process."""

    def __init__(self, api: TestClient) -> None:
        self.api = api

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        answer = self.api.request(
            request.method,
            request.url.raw_path.decode(),
            headers={"Authorization": request.headers["Authorization"]},
            content=request.read(),
        )
        return httpx.Response(answer.status_code, headers=dict(answer.headers), content=answer.content)


def client_with(http: TestClient, key: str) -> Client:
    return Client("http://testserver", key, transport=InProcess(http))


@pytest.fixture
def campaign(http: TestClient, keys: dict[str, str]) -> dict[str, Any]:
    answer = http.post("/v1/experiments", json=CAMPAIGN, headers={"Authorization": f"Bearer {keys['write']}"})
    assert answer.status_code == 201, answer.text
    return CAMPAIGN


@pytest.mark.parametrize(("scope", "allowed"), [("read", False), ("write", True), ("admin", True)])
def test_the_scope_of_a_key_is_recognised(
    http: TestClient, keys: dict[str, str], scope: str, allowed: bool
) -> None:
    client = client_with(http, keys[scope])
    client.check_key()
    assert ("write" in client.who().scopes) is allowed


def test_a_key_that_may_not_read_and_one_that_is_not_known_are_refused(
    http: TestClient, keys: dict[str, str]
) -> None:
    with pytest.raises(ApiError, match="lacks the scope read") as caught:
        client_with(http, keys["ingest"]).check_key()
    assert caught.value.status == 403
    with pytest.raises(ApiError) as caught:
        client_with(http, "ts_unknown_key").check_key()
    assert caught.value.unauthenticated


def test_a_draft_is_listed_and_read(http: TestClient, keys: dict[str, str], campaign: dict[str, Any]) -> None:
    client = client_with(http, keys["read"])
    assert [card.key for card in overview.cards(client).items] == [campaign["key"]]
    experiment = client.experiment(campaign["key"])
    assert (experiment.name, experiment.status) == (campaign["name"], "draft")
    assert experiment.hypothesis == campaign["hypothesis"]
    assert experiment.silent_variants == {"silence"}


def test_the_outbox_of_a_draft_is_empty_and_its_books_hold(
    http: TestClient, keys: dict[str, str], campaign: dict[str, Any]
) -> None:
    outbox = client_with(http, keys["read"]).outbox(campaign["key"])
    assert not any(outbox.states.values())
    assert outbox.holds is True


def test_a_refused_move_tells_why(http: TestClient, keys: dict[str, str], campaign: dict[str, Any]) -> None:
    client = client_with(http, keys["write"])
    with pytest.raises(ApiError, match="cannot pause an experiment that is draft"):
        client.move(campaign["key"], "pause")
    with pytest.raises(ApiError, match="gone"):
        client.experiment("gone")


def test_a_running_experiment_has_a_report_that_cannot_tell_yet(
    http: TestClient, wiring: Wiring, keys: dict[str, str], campaign: dict[str, Any]
) -> None:
    people = "".join(f"u{i},+1202555{100 + i:04d},yes\n" for i in range(60))
    answer = http.post(
        "/v1/imports",
        content=f"user_id,phone,consent_marketing\n{people}",
        headers={"Authorization": f"Bearer {keys['write']}", "Content-Type": "text/csv"},
    )
    assert answer.status_code == 200, answer.text
    client = client_with(http, keys["write"])
    client.move(campaign["key"], "start")
    jobs.plan(wiring)
    experiment = client.experiment(campaign["key"])
    assert experiment.status == "running"
    report = experiments.report(client, experiment, max_age=0)
    assert report.users == 60
    assert report.primary is not None
    assert report.primary.higher_is_better is True
    (effect,) = report.primary.effects
    assert verdicts.verdict(effect, report.primary) is verdicts.Verdict.CANNOT_TELL
    assert "gives no reason" not in verdicts.sentence(effect, report.primary, report)
    assert client.outbox(campaign["key"]).states["planned"] > 0
