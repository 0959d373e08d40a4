"""A campaign is compared with the templates that it names, by HTTP and from a terminal alike."""

import json
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from api.wiring import Wiring
from experiments.clock import SystemClock
from experiments.database import Database
from tests.integration.command_line import CommandLine
from tests.integration.people import add_people
from tests.integration.registry import register, template

MESSAGE = {
    "template": "spring_coupon",
    "language": "en_US",
    "parameters": ["{{ user.user_id }}", "{{ coupon }}"],
}


def design(**changes: Any) -> dict[str, Any]:
    message = MESSAGE | changes.pop("message", {})
    return {
        "key": "spring",
        "name": "Spring",
        "variants": [{"key": "silence", "control": True}, {"key": "coupon", "message": message}],
        "metrics": [{"key": "bought", "role": "primary", "kind": "proportion", "event": "Bought"}],
    } | changes


@pytest.fixture
def people(wiring: Wiring) -> None:
    with wiring.database.transaction() as session:
        add_people(session, wiring.clock, range(1, 5))


def put(wiring: Wiring, *templates: Any) -> None:
    with wiring.database.transaction() as session:
        register(session, wiring.clock, *templates)


def refused(answer: Any) -> dict[str, str]:
    assert answer.status_code == 422, answer.text
    return {error["field"]: error["message"] for error in answer.json()["errors"]}


def test_without_a_synchronisation_a_plain_warning_and_nothing_else(writer: TestClient, people: None) -> None:
    made = writer.post("/v1/experiments", json=design())
    assert made.status_code == 201
    (warning,) = made.json()["warnings"]
    assert "never synchronised" in warning
    started = writer.post("/v1/experiments/spring/start")
    assert (started.status_code, started.json()["warnings"]) == (200, [warning])


def test_a_parameter_too_few_is_refused_and_nothing_is_stored(writer: TestClient, wiring: Wiring) -> None:
    put(wiring, template())
    wrong = design(message={"parameters": ["{{ coupon }}"]})
    for answer in (
        writer.post("/v1/experiments", json=wrong),
        writer.put("/v1/experiments/spring", json=wrong),
    ):
        assert refused(answer) == {
            "variants[1].message.parameters": "has 1, but the template's body has 2 variables (in en_US)"
        }
    assert writer.get("/v1/experiments").json()["items"] == []
    assert writer.put("/v1/experiments/spring", json=design()).json()["experiment"]["warnings"] == []


def test_a_template_in_review_is_a_warning_first_and_stops_the_start(
    writer: TestClient, wiring: Wiring, people: None
) -> None:
    put(wiring, template(status="PENDING"))
    (warning,) = writer.post("/v1/experiments", json=design()).json()["warnings"]
    assert "is pending in en_US" in warning
    assert list(refused(writer.post("/v1/experiments/spring/start"))) == ["variants[1].message.language"]
    assert writer.get("/v1/experiments/spring").json()["status"] == "draft"
    put(wiring, template(quality="RED"))
    (warning,) = writer.post("/v1/experiments/spring/start").json()["warnings"]
    assert "quality RED" in warning


def test_a_marketing_template_has_no_place_in_a_utility_campaign(writer: TestClient, wiring: Wiring) -> None:
    put(wiring, template())
    problems = refused(writer.post("/v1/experiments", json=design(category="utility")))
    assert "did not consent" in problems["variants[1].message.template"]


def test_a_variant_made_from_factors_is_named_in_the_path(writer: TestClient, wiring: Wiring) -> None:
    put(wiring, template())
    crossed = design(
        variants=[],
        factors=[
            {
                "key": "content",
                "levels": [
                    {"key": "long", "message": MESSAGE},
                    {"key": "short", "message": MESSAGE | {"parameters": ["x"]}},
                ],
            },
            {
                "key": "time",
                "levels": [
                    {"key": "early", "send_time": {"local_time": "09:00"}},
                    {"key": "late", "send_time": {"local_time": "19:00"}},
                ],
            },
        ],
    )
    assert list(refused(writer.post("/v1/experiments", json=crossed))) == [
        'variants["short.early"].message.parameters',
        'variants["short.late"].message.parameters',
    ]


def test_an_unknown_source_is_refused_and_an_unseen_event_told(writer: TestClient) -> None:
    problems = refused(
        writer.post("/v1/experiments", json=design(message={"parameters": ["{{ content.pics.x }}", "y"]}))
    )
    assert problems == {
        "variants[1].message.parameters[0]": "there is no content source 'pics'; TOUCHSTONE_CONTENT has none"
    }
    events = ['{{ events["Order Complete"].x }}', "y"]
    answer = writer.post("/v1/experiments", json=design(message={"parameters": events})).json()
    assert any("nobody has ever done 'Order Complete'" in warning for warning in answer["warnings"])
    misspelt = design(message={"parameters": ["{{ even.x }}", "y"]})
    assert list(refused(writer.post("/v1/experiments", json=misspelt))) == [
        "variants[1].message.parameters[0]"
    ]


def test_an_unchanged_campaign_that_runs_is_warned_about_and_not_refused(
    writer: TestClient, wiring: Wiring, people: None
) -> None:
    put(wiring, template())
    writer.post("/v1/experiments", json=design())
    assert writer.post("/v1/experiments/spring/start").status_code == 200
    put(wiring, template("spring_coupon", "en_US", {"type": "BODY", "text": "Hi"}))
    answer = writer.put("/v1/experiments/spring", json=design()).json()
    assert answer["outcome"] == "unchanged"
    assert "has 2, but the template's body has 0" in answer["experiment"]["warnings"][0]


def test_a_start_that_is_no_start_is_a_conflict_whatever_the_template(
    writer: TestClient, wiring: Wiring, people: None
) -> None:
    put(wiring, template())
    writer.post("/v1/experiments", json=design())
    writer.post("/v1/experiments/spring/start")
    put(wiring)
    assert writer.post("/v1/experiments/spring/start").status_code == 409


def test_the_same_from_a_terminal(touchstone: CommandLine, tmp_path: Path) -> None:
    assert touchstone("migrate").returncode == 0
    database = Database(f"sqlite:///{tmp_path}/touchstone.db")
    clock = SystemClock()
    with database.transaction() as session:
        register(session, clock, template(status="PAUSED"))
        add_people(session, clock, range(1, 3))
    file = tmp_path / "spring.json"
    file.write_text(json.dumps(design(message={"parameters": []})))
    assert "variants[1].message.parameters: has 0" in touchstone.fails("apply", str(file))
    file.write_text(json.dumps(design()))
    applied = touchstone("apply", str(file))
    assert applied.returncode == 0
    assert "warning: variants[1].message.language: the template 'spring_coupon' is paused" in applied.stderr
    assert "is paused in en_US" in touchstone.fails("experiment", "start", "spring")
    with database.transaction() as session:
        register(session, clock, template(quality="RED"))
    started = touchstone("experiment", "start", "spring")
    assert started.stdout == "spring: running\n"
    assert "quality RED" in started.stderr
    database.dispose()
