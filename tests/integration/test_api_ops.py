"""Health and numbers, for machines that watch."""

import re
from contextlib import ExitStack
from datetime import timedelta
from typing import cast

from fastapi.testclient import TestClient
from sqlalchemy import QueuePool

from api import jobs
from api.wiring import Wiring
from delivery.fuses import breakers
from delivery.whatsapp.webhooks import sign
from experiments.clock import SteppedClock
from experiments.database import Database
from experiments.vocabulary import MessageState
from tests.integration.conftest import APP_SECRET
from tests.integration.test_api_experiments import DESIGN, PEOPLE, bring_people

SAMPLE = re.compile(r'([a-z_]+)(?:\{((?:[a-z_]+="[^"]*",?)*)\})? (\d+(?:\.\d+)?)')


def numbers(http: TestClient) -> dict[str, float]:
    """Every sample by its name and labels, read strictly."""
    answer = http.get("/metrics", headers={"Authorization": ""})
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert answer.text.endswith("\n")
    found: dict[str, float] = {}
    announced: set[str] = set()
    for line in answer.text.splitlines():
        if line.startswith("# TYPE "):
            announced.add(line.split()[2])
            assert line.split()[3] == "gauge"
        if line.startswith("#"):
            continue
        sample = SAMPLE.fullmatch(line)
        assert sample is not None, line
        assert sample[1] in announced
        name = f"{sample[1]}{{{sample[2]}}}" if sample[2] else sample[1]
        assert name not in found
        found[name] = float(sample[3])
    return found


def test_an_idle_installation_has_numbers_that_are_zero(http: TestClient) -> None:
    assert numbers(http) == dict.fromkeys(
        (
            *(f'touchstone_queue{{when="{when}"}}' for when in ("due", "later", "paused")),
            *(f'touchstone_accepted_per_minute{{minutes="{minutes}"}}' for minutes in (1, 15)),
            *(
                f'touchstone_breakers_open{{kind="{kind}"}}'
                for kind in ("all", "number", "template", "variant", "guard")
            ),
            *(
                f"touchstone_webhooks_{what}"
                for what in ("waiting", "oldest_age_seconds", "unmatched", "errors")
            ),
            "touchstone_oldest_due_age_seconds",
            "touchstone_paused",
            "touchstone_workers_alive",
            "touchstone_unique_users",
            "touchstone_rules_parked",
            "touchstone_rule_occasions_waiting",
        ),
        0,
    )


def test_messages_are_counted_by_experiment_and_state_and_the_oldest_due_one_ages(
    writer: TestClient, wiring: Wiring, clock: SteppedClock
) -> None:
    bring_people(writer)
    key = DESIGN["key"]
    writer.post("/v1/experiments", json=DESIGN)
    assert not any(name.startswith("touchstone_messages") for name in numbers(writer))
    writer.post(f"/v1/experiments/{key}/start")
    jobs.plan(wiring)
    rows = writer.get(f"/v1/experiments/{key}/messages", params={"limit": 500}).json()["items"]
    found = numbers(writer)
    assert 0 < len(rows) < 2 * PEOPLE
    states = {f'touchstone_messages{{experiment="{key}",state="{state}"}}' for state in MessageState}
    assert {name for name in found if name.startswith("touchstone_messages")} == states
    assert found[f'touchstone_messages{{experiment="{key}",state="planned"}}'] == len(rows)
    assert sum(found[name] for name in states) == len(rows)
    assert found["touchstone_oldest_due_age_seconds"] == 0
    clock.advance(timedelta(minutes=3))
    assert numbers(writer)["touchstone_oldest_due_age_seconds"] == 180
    writer.post(f"/v1/experiments/{key}/pause")
    assert numbers(writer)["touchstone_oldest_due_age_seconds"] == 0
    writer.post(f"/v1/experiments/{key}/stop")
    assert numbers(writer)[f'touchstone_messages{{experiment="{key}",state="cancelled"}}'] == len(rows)


def test_webhooks_that_wait_and_fuses_that_are_open_are_counted(http: TestClient, wiring: Wiring) -> None:
    body = b'{"object": "whatsapp_business_account", "entry": []}'
    for _ in range(2):
        http.post("/webhooks/whatsapp", content=body, headers={"X-Hub-Signature-256": sign(APP_SECRET, body)})
    now = wiring.clock.now()
    with wiring.database.transaction() as session:
        for name, until in [("a/en", None), ("b/en", now + timedelta(hours=1)), ("c/en", now)]:
            breakers.trip(
                session,
                kind=breakers.Kind.TEMPLATE,
                key=name,
                at=now - timedelta(hours=1),
                until=until,
                code=132015,
                reason="paused",
            )
    found = numbers(http)
    assert found["touchstone_webhooks_waiting"] == 2
    assert found['touchstone_breakers_open{kind="template"}'] == 2
    assert found['touchstone_breakers_open{kind="number"}'] == 0
    jobs.project_webhooks(wiring)
    assert numbers(http)["touchstone_webhooks_waiting"] == 0


def test_when_every_connection_is_in_use_callers_are_told_to_try_again(
    writer: TestClient, keys: dict[str, str], database: Database
) -> None:
    pool = cast("QueuePool", database.engine.pool)
    pool._timeout = 0.05
    with ExitStack() as held:
        for _ in range(pool.size() + pool._max_overflow):
            held.enter_context(database.engine.connect())
        flag = {"context": {"targetingKey": "u"}}
        evaluate = {"Authorization": f"Bearer {keys['evaluate']}"}
        for answer in (
            writer.get("/v1/users"),
            writer.get("/readyz"),
            writer.post("/ofrep/v1/evaluate/flags", json=flag, headers=evaluate),
        ):
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "1"), answer.text
    assert writer.get("/v1/users").status_code == 200
