"""Rules over HTTP, and from the command line."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
import yaml
from fastapi.testclient import TestClient
from typer.testing import CliRunner

from api import jobs, privacy
from api.cli import app as command_line
from api.wiring import Wiring
from api.worker import make_scheduler
from targeting.rules import service as rules
from tests.integration.people import add_people, campaign, start_campaign
from tests.integration.rule_world import fired, happens, person, put, row_counts, rule


def test_a_rule_from_first_try_to_what_it_did(writer: TestClient, wiring: Wiring) -> None:
    happens(wiring.database, wiring.clock, "ann")
    tried = writer.post("/v1/rules/dry-run", json=rule(), params={"days": 7})
    assert tried.status_code == 200, tried.text
    assert (tried.json()["seen"], tried.json()["fires"], tried.json()["firings"][0]["user_id"]) == (
        1,
        1,
        "ann",
    )
    assert writer.get("/v1/rules").json()["items"] == []

    made = writer.put("/v1/rules/buyers", json=rule())
    assert (made.json()["outcome"], made.json()["rule"]["state"]) == ("created", "off")
    assert writer.post("/v1/rules/buyers/enable").json()["state"] == "on"
    nameless = {name: value for name, value in rule(cool_down="7d").items() if name != "key"}
    assert writer.put("/v1/rules/buyers", json=nameless).json()["rule"]["version"] == 2
    stored = writer.get("/v1/rules/buyers").json()
    assert writer.put("/v1/rules/buyers", json=stored["definition"]).json()["outcome"] == "unchanged"
    assert writer.post("/v1/rules/buyers/dry-run").json()["fires"] == 1

    for _ in range(2):
        happens(wiring.database, wiring.clock, "bob")
    happens(wiring.database, wiring.clock, "cyd")
    jobs.JOBS["evaluate-rules"](wiring)
    page = writer.get("/v1/rules/buyers/firings", params={"limit": 1}).json()
    assert [(one["user_id"], one["version"], one["actions"][0]["changed"]) for one in page["items"]] == [
        ("cyd", 2, True)
    ]
    rest = writer.get("/v1/rules/buyers/firings", params={"cursor": page["next_cursor"]}).json()
    assert ([one["user_id"] for one in rest["items"]], rest["next_cursor"]) == (["bob"], None)

    versions = writer.get("/v1/rules/buyers/versions", params={"limit": 1}).json()
    assert [one["version"] for one in versions["items"]] == [1]
    later = writer.get("/v1/rules/buyers/versions", params={"cursor": versions["next_cursor"]}).json()
    assert [(one["version"], one["actor"]) for one in later["items"]] == [(2, versions["items"][0]["actor"])]
    assert writer.delete("/v1/rules/buyers").status_code == 409
    assert writer.post("/v1/rules/buyers/disable").json()["state"] == "off"
    audit = writer.get("/v1/audit", params={"subject_kind": "rule"}).json()["items"]
    assert [one["action"] for one in audit] == ["rule.disable", "rule.put", "rule.enable", "rule.put"]


def test_firings_are_listed_after_somebody_was_erased(writer: TestClient, wiring: Wiring) -> None:
    writer.put("/v1/rules/buyers", json=rule())
    writer.post("/v1/rules/buyers/enable")
    happens(wiring.database, wiring.clock, "ann")
    jobs.JOBS["evaluate-rules"](wiring)
    with wiring.database.transaction() as session:
        erased = privacy.erase(
            session, wiring.clock, settings=wiring.settings, actor="dpo", user_id="ann"
        ).pseudonym
    [firing] = writer.get("/v1/rules/buyers/firings").json()["items"]
    assert (firing["user_id"], firing["actions"]) == (erased, [])


def test_an_event_becomes_a_message(writer: TestClient, wiring: Wiring) -> None:
    with wiring.database.transaction() as session:
        add_people(session, wiring.clock, range(1, 7))
        start_campaign(session, wiring.clock, campaign(trigger={"type": "rule"}))
    put(wiring.database, wiring.clock, rule(actions=[{"type": "enrol", "experiment": "spring"}]))
    jobs.JOBS["plan"](wiring)
    assert writer.get("/v1/experiments/spring/messages").json()["items"] == []
    happens(wiring.database, wiring.clock, *(f"user-{n}" for n in range(1, 6)))
    jobs.JOBS["evaluate-rules"](wiring)
    jobs.JOBS["plan"](wiring)
    planned = {one["user_id"] for one in writer.get("/v1/experiments/spring/messages").json()["items"]}
    variants = {user_id: actions[0]["variant"] for user_id, actions in fired(wiring.database)}
    assert planned == {user_id for user_id, variant in variants.items() if variant != "silence"}
    assert planned

    full = replace(wiring, settings=wiring.settings.model_copy(update={"cap_week": 0}))
    happens(wiring.database, wiring.clock, "user-6")
    jobs.JOBS["evaluate-rules"](full)
    assert fired(wiring.database)[-1][1][0]["reason"] == "cap"


def test_numbers_of_rules_for_prometheus(http: TestClient, wiring: Wiring) -> None:
    put(wiring.database, wiring.clock, rule(), rule("broken"))
    with wiring.database.transaction() as session:
        found = rules.find(session, key="broken")
        found.definition = {"no": "definition"}
    happens(wiring.database, wiring.clock, "ann")
    assert "touchstone_rule_occasions_waiting 1\n" in http.get("/metrics").text
    jobs.JOBS["evaluate-rules"](wiring)
    told = http.get("/metrics").text
    assert "touchstone_rule_occasions_waiting 0\n" in told
    assert "touchstone_rules_parked 1\n" in told


def test_the_engine_is_run_several_times_a_second(wiring: Wiring) -> None:
    job = make_scheduler(wiring).get_job("evaluate-rules")
    assert timedelta(seconds=0.1) < job.trigger.interval <= timedelta(seconds=0.5)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"trigger": {"type": "event"}}, "trigger.event"),
        ({"trigger": {"type": "never"}}, "trigger.type"),
        ({"trigger": {"type": "schedule", "cron": "0 25 * * *"}}, "trigger.cron"),
        ({"trigger": {"type": "schedule", "cron": "0 9 30 2 *"}}, "trigger.cron"),
        ({"trigger": {"type": "schedule", "cron": "0 9 1 * 1"}}, "trigger.cron"),
        ({"trigger": {"type": "schedule", "cron": "0 9 * * 1", "time_zone": "Mars"}}, "trigger.time_zone"),
        ({"trigger": {"type": "inactivity", "days": 0}}, "trigger"),
        ({"trigger": {"type": "attribute", "attribute": "plan", "to": {"$foo": 1}}}, "trigger.to.$foo"),
        (
            {"trigger": {"type": "event", "event": "x", "properties": {"a": {"$gt": []}}}},
            "trigger.properties.a.$gt",
        ),
        ({"condition": {"$or": [{"a": {"$regex": "("}}]}}, "condition.$or[0].a.$regex"),
        ({"condition": {"$inSegment": "nobody"}}, "condition.$inSegment"),
        ({"actions": []}, "actions"),
        ({"actions": [{"type": "enrol", "experiment": "none"}]}, "actions[0].experiment"),
        ({"actions": [{"type": "add_tag", "tag": " "}]}, "actions[0].tag"),
        ({"actions": [{"type": "set_attribute", "name": "a.b", "value": 1}]}, "actions[0].name"),
        ({"cool_down": "soon"}, "cool_down"),
        ({"key": "other"}, "key"),
        ({"colour": "red"}, "colour"),
    ],
    ids=str,
)
def test_bad_rules_name_the_field_and_leave_nothing(
    writer: TestClient, wiring: Wiring, change: dict[str, Any], field: str
) -> None:
    before = row_counts(wiring.database)
    for answer in (
        writer.put("/v1/rules/buyers", json=rule(**change)),
        writer.post("/v1/rules/dry-run", json=rule(**change)),
    ):
        if field == "key" and answer.request.method == "POST":
            continue
        assert answer.status_code == 422, answer.text
        assert field in {problem["field"] for problem in answer.json()["errors"]}
    assert row_counts(wiring.database) == before


def test_a_reader_may_look_and_try_but_not_change(
    http: TestClient, keys: dict[str, str], wiring: Wiring
) -> None:
    put(wiring.database, wiring.clock, rule())
    http.headers["Authorization"] = f"Bearer {keys['read']}"
    assert http.get("/v1/rules").status_code == 200
    assert http.post("/v1/rules/buyers/dry-run").status_code == 200
    for method, path in (("PUT", ""), ("DELETE", ""), ("POST", "/enable"), ("POST", "/disable")):
        body = rule() if method == "PUT" else None
        assert http.request(method, f"/v1/rules/buyers{path}", json=body).status_code == 403
    assert http.get("/v1/rules/nothing").status_code == 404


@pytest.fixture
def run(wiring: Wiring, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    monkeypatch.setattr(Wiring, "from_environment", lambda **_: wiring)
    monkeypatch.setattr(Wiring, "prepare_database", lambda _self, **_options: None)

    def invoke(*arguments: str) -> str:
        result = CliRunner().invoke(command_line, ["rules", *arguments], catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return result.output

    return invoke


def test_the_command_line_does_the_same(run: Callable[..., str], wiring: Wiring, tmp_path) -> None:
    file = tmp_path / "buyers.yaml"
    file.write_text(yaml.safe_dump(rule(cool_down="7d")))
    person(wiring.database, wiring.clock, "ann")
    happens(wiring.database, wiring.clock, "ann", "ann")
    assert "fires 1 for 1 users" in run("dry-run", str(file))
    assert "buyers: created (version 1, off)" in run("put", str(file))
    assert "buyers: on" in run("enable", "buyers")
    happens(wiring.database, wiring.clock, "ann")
    jobs.JOBS["evaluate-rules"](wiring)
    assert "add_tag buyer: done" in run("firings", "buyers")
    assert "cool-down 2" in run("dry-run", "buyers")
    assert "buyers: off" in run("disable", "buyers")
    assert "off" in run("list")


def test_rules_say_what_they_do_and_how_often_they_did(
    writer: TestClient, wiring: Wiring, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rules, "MOST_COUNTED", 2)
    writer.put("/v1/rules/buyers", json=rule(condition={"plan": {"$ne": "free"}}, cool_down=None))
    writer.put("/v1/rules/others", json=rule(key="others", name="Other 100% ones"))
    writer.post("/v1/rules/buyers/enable")
    for name in ("ann", "bob", "cyd"):
        wiring.clock.advance(timedelta(minutes=1))
        happens(wiring.database, wiring.clock, name)
    jobs.JOBS["evaluate-rules"](wiring)
    buyers, others = writer.get("/v1/rules").json()["items"]
    newest = writer.get("/v1/rules/buyers/firings").json()["items"]
    assert len(newest) == 3
    assert (buyers["fired"], buyers["last_fired_at"]) == (2, newest[0]["at"])
    assert (others["fired"], others["last_fired_at"]) == (0, None)
    assert writer.get("/v1/rules/buyers").json() == buyers
    assert buyers["words"]["condition"] == "plan is not free"
    assert buyers["words"]["trigger"].startswith("When ")
    assert len(buyers["words"]["actions"]) == 1
    assert [one["key"] for one in writer.get("/v1/rules?search=100%25").json()["items"]] == ["others"]
    assert writer.post("/v1/rules/buyers/disable").json()["fired"] is None
