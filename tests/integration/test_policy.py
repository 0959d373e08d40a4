"""The delivery policy is kept in versions, audited, and obeyed by every worker from its commit on."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlmodel import select

from api.wiring import Wiring
from delivery.limits import policy
from delivery.limits.caps import all_free_at, windows
from delivery.limits.ledger_repository import at_cap
from delivery.limits.policy import CategoryCaps
from experiments.audit import AuditEntry
from experiments.clock import SteppedClock
from experiments.database import Database
from experiments.errors import Invalid
from experiments.settings import Settings
from targeting.models import User
from tests.integration import outbox
from tests.integration.command_line import CommandLine
from tests.integration.outbox import FakeSender, campaign, dispatch, states


def put(database: Database, clock: SteppedClock, document: dict[str, Any]) -> policy.DeliveryPolicy:
    with database.transaction() as session:
        return policy.put(session, clock, actor="ann", document=document)


def current(database: Database, **settings: Any) -> policy.DeliveryPolicy:
    with database.snapshot() as session:
        return policy.current(session, Settings(**settings))


def test_the_newest_version_counts_and_the_settings_no_longer(
    database: Database, clock: SteppedClock
) -> None:
    assert current(database, cap_week=7).marketing == CategoryCaps(week=7)
    put(database, clock, {"marketing": {"day": 1}})
    put(database, clock, {"marketing": {"day": 2}, "countries": {"NL": {"start": "08:00", "end": "20:00"}}})
    assert current(database, cap_week=7).marketing == CategoryCaps(day=2)
    with database.snapshot() as session:
        versions = policy.history(session, limit=10)
        older = policy.history(session, before_id=versions[0].id, limit=10)
    assert [version.document["marketing"]["day"] for version in versions] == [2, 1]
    assert [version.document["marketing"]["day"] for version in older] == [1]


def test_each_change_is_audited_and_what_changes_nothing_is_no_change(
    database: Database, clock: SteppedClock
) -> None:
    put(database, clock, {"marketing": {"day": 1}})
    put(database, clock, {"marketing": {"day": 1}, "utility": {}})
    with database.snapshot() as session:
        (entry,) = session.exec(select(AuditEntry)).all()
    assert (entry.actor, entry.action, entry.before) == ("ann", "policy.put", None)
    assert entry.after is not None
    assert entry.after["marketing"]["day"] == 1


def test_a_wrong_policy_is_refused_whole(database: Database, clock: SteppedClock) -> None:
    with pytest.raises(Invalid) as caught:
        put(database, clock, {"marketing": {"day": 1}, "quiet_hours": {"start": "21:00"}})
    assert [problem.field for problem in caught.value.problems] == ["quiet_hours.end"]
    assert current(database) == policy.DeliveryPolicy()


def test_a_worker_obeys_a_new_policy_at_once(database: Database, clock: SteppedClock) -> None:
    campaign(database, clock, 3)
    put(database, clock, {"marketing": {"week": 0}})
    assert dispatch(database, clock, FakeSender(), cap_week=5).suppressed == 3
    assert {message.reason for message in outbox.messages(database).values()} == {"cap"}
    assert states(database) == {"suppressed": 3}


def test_over_http(http: TestClient, wiring: Wiring, keys: dict[str, str]) -> None:
    def call(method: str, path: str = "", scope: str = "read", **options: Any) -> Any:
        headers = {"Authorization": f"Bearer {keys[scope]}"}
        return http.request(method, f"/v1/delivery/policy{path}", headers=headers, **options)

    document = call("GET").json()
    assert document["marketing"] == {"day": None, "week": 3, "month": None, "min_interval": None}
    changed = document | {"quiet_hours": {"start": "21:00", "end": "08:00"}}
    assert call("PUT", scope="write", json=changed).status_code == 403
    answer = call("PUT", scope="admin", json=changed)
    assert answer.status_code == 200, answer.text
    assert call("GET").json() == answer.json()
    assert call("PUT", scope="admin", json=answer.json()).json() == answer.json()
    refused = call("PUT", scope="admin", json={"marketing": {"week": "many"}})
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "marketing.week")
    call("PUT", scope="admin", json={"unique_users": 250})
    page = call("GET", "/history?limit=1").json()
    assert [item["policy"]["unique_users"] for item in page["items"]] == [250]
    rest = call("GET", f"/history?cursor={page['next_cursor']}").json()
    assert [item["policy"] for item in rest["items"]] == [answer.json()]
    assert rest["next_cursor"] is None


def test_from_the_command_line(touchstone: CommandLine, tmp_path: Path) -> None:
    file = tmp_path / "policy.yaml"
    file.write_text(
        'marketing: {week: 2}\ncountries:\n  NO: {start: "08:00", end: "20:00"}\n', encoding="utf-8"
    )
    assert "counts from now on" in touchstone("policy", "set", str(file)).stdout
    shown = touchstone("policy", "show").stdout
    # Quoted, since a plain NO is false to those who read YAML by its older rules.
    assert "'NO':" in shown
    assert "week: 2" in shown
    file.write_text(shown, encoding="utf-8")
    assert touchstone("policy", "set", str(file)).returncode == 0
    file.write_text("marketing: {week: many}\n", encoding="utf-8")
    assert "marketing.week" in touchstone.fails("policy", "set", str(file))
    assert "cannot be read" in touchstone.fails("policy", "set", "nowhere.yaml")


def test_who_is_at_a_cap_by_sql_is_who_is_by_the_rules(database: Database, clock: SteppedClock) -> None:
    caps = CategoryCaps(day=1, week=2, month=3)
    ages = [
        [],
        [1],
        [23.9],
        [24],
        [30, 40],
        [30, 200],
        [30, 170],
        [200, 300, 719.9],
        [200, 300, 720],
        [0.5] * 3,
    ]
    users = outbox.add_users(database, clock, len(ages))
    experiment = outbox.add_experiment(database, clock)
    for user, hours in zip(users, ages, strict=True):
        for step, age in enumerate(hours):
            slot = clock.now() - timedelta(hours=age)
            outbox.add_messages(database, clock, experiment, [user], step=step, state="sent", slot_at=slot)
    now = clock.now()
    for category, counted in (("marketing", ages), ("utility", [[] for _ in ages])):
        condition = at_cap(policy.DeliveryPolicy(marketing=caps, utility=caps), category=category, now=now)
        with database.snapshot() as session:
            full = set(session.exec(select(User.id).where(condition)))
        slots = [[now - timedelta(hours=age) for age in hours] for hours in counted]
        assert full == {
            user
            for user, taken in zip(users, slots, strict=True)
            if all_free_at(taken, windows(caps), now) != now
        }
    with database.snapshot() as session:
        nobody = at_cap(policy.DeliveryPolicy(marketing=CategoryCaps()), category="marketing", now=now)
        assert session.exec(select(User.id).where(nobody)).all() == []
