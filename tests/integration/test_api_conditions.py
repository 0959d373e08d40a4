"""Conditions over HTTP and on the command line: read in both forms, refused with their path, warned about."""

import json
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

from api.wiring import Wiring
from targeting.segments import attributes
from tests.integration.command_line import CommandLine
from tests.integration.people import add_people
from tests.unit.experiments.test_design import CAMPAIGN

JSON = {"Content-Type": "application/json"}
DEEP = 10_000


def fields(answer: Any) -> list[str]:
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    return [problem["field"] for problem in answer.json()["errors"]]


def post(http: TestClient, condition: Any) -> Any:
    return http.post("/v1/experiments", json={**CAMPAIGN, "audience": {"condition": condition}})


@pytest.mark.parametrize(
    "sent",
    [
        {"text": 'country in ("NL", "BR") and did not do "Order Completed" in the last 30 days'},
        {
            "condition": {
                "country": {"$in": ["NL", "BR"]},
                "$event": {"name": "Order Completed", "within": "30d", "count": 0},
            }
        },
    ],
)
def test_a_condition_is_said_in_every_form(http: TestClient, keys: dict[str, str], sent: Any) -> None:
    answer = http.post("/v1/conditions", json=sent, headers={"Authorization": f"Bearer {keys['read']}"})
    assert answer.status_code == 200, answer.text
    assert answer.json() == {
        "condition": {
            "country": {"$in": ["NL", "BR"]},
            "$event": {"name": "Order Completed", "within": "30d", "count": 0},
        },
        "text": 'country in ("NL", "BR") and did not do "Order Completed" within 30 days',
        "english": "country is NL or BR and has not done Order Completed in the last 30 days",
        "warnings": [],
    }


@pytest.mark.parametrize(
    ("sent", "field"),
    [
        ({}, "condition"),
        ({"text": "a = 1", "condition": {}}, "condition"),
        ({"text": 5}, "text"),
        ({"condition": ["a"]}, "condition"),
        ({"text": "a ="}, "text"),
        ({"text": "a matches /(a+)+/"}, "text.a.$regex"),
        ({"condition": {"$or": [{"a": {"$gtt": 1}}]}}, "condition.$or[0].a.$gtt"),
        ({"condition": {"$not": {"$inSegment": ["nobody"]}}}, "condition.$not.$inSegment[0]"),
        ({"text": "a = 1", "other": 1}, "other"),
        ({"condition": {"": 1}}, 'condition.""'),
        ({"condition": {"a." * 3_000 + "a": 1}}, "condition." + "a." * 100 + ".."),
        ({"condition": {"country": {"$notInGroup": "no-such-list"}}}, "condition.country.$notInGroup"),
        ({"text": "country in group vip"}, "text.country.$inGroup"),
    ],
)
def test_what_is_wrong_is_named(writer: TestClient, sent: Any, field: str) -> None:
    answer = writer.post("/v1/conditions", json=sent)
    assert (answer.status_code, fields(answer)) == (422, [field])


def test_reading_a_condition_needs_a_key(http: TestClient, keys: dict[str, str]) -> None:
    assert http.post("/v1/conditions", json={"text": "a = 1"}).status_code == 401
    ingest = {"Authorization": f"Bearer {keys['ingest']}"}
    assert http.post("/v1/conditions", json={"text": "a = 1"}, headers=ingest).status_code == 403


@pytest.mark.parametrize(
    ("condition", "field"),
    [
        ({"a": {"$regx": "x"}}, "audience.condition.a.$regx"),
        ({"a": {"$regex": "(a+)+$"}}, "audience.condition.a.$regex"),
        ({"$and": [{"a": {"$in": "NL"}}]}, "audience.condition.$and[0].a.$in"),
        ({"$event": {"name": "X", "within": 3}}, "audience.condition.$event.within"),
        ({"$event": {"name": "X", "properties": {"a": {"$size": "x"}}}}, "audience.condition.$event.properties.a.$size"),
        ({"$inSegment": "nobody"}, "audience.condition.$inSegment"),
        ({"$savedGroup": {"id": "x"}}, "audience.condition.$savedGroup"),
        ("country = NL", "audience.condition"),
        ("country matches /(a+)+/", "audience.condition.country.$regex"),
        (5, "audience.condition"),
        ([], "audience.condition"),
        ({"a": {"$in": [{"b": 1}]}}, "audience.condition.a.$in"),
    ],
)  # fmt: skip
def test_a_campaign_with_a_wrong_condition_is_refused_by_its_path(
    writer: TestClient, condition: Any, field: str
) -> None:
    answer = post(writer, condition)
    assert (answer.status_code, fields(answer)) == (422, [field])
    assert writer.get(f"/v1/experiments/{CAMPAIGN['key']}").status_code == 404


def test_every_problem_of_the_design_and_of_the_text_comes_at_once(writer: TestClient) -> None:
    answer = writer.post(
        "/v1/experiments", json={**CAMPAIGN, "variants": 5, "audience": {"condition": "a older than 5"}}
    )
    assert set(fields(answer)) == {"variants", "audience.condition"}
    assert "line 1, column 14" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("opening", "closing", "path"),
    [
        ('{"$not":', "}", "audience.condition.$not.$not"),
        ('{"$and":[', "]}", "audience.condition.$and[0].$and[0]"),
        ('{"a":{"$elemMatch":', "}}", "audience.condition.a.$elemMatch.a"),
        ('{"x":["]}", {"\\"":1}, ', "]}", "audience.condition.x[2].x[2]"),
    ],
)
@pytest.mark.parametrize("depth", [21, 40, DEEP])
def test_bottomless_nesting_is_refused_with_the_way_down(
    writer: TestClient, opening: str, closing: str, path: str, depth: int
) -> None:
    depth = min(depth, 90_000 // len(opening + closing))  # the body itself stays within its bound
    body = json.dumps({**CAMPAIGN, "audience": {"condition": "@"}})
    body = body.replace('"@"', opening * depth + '{"a":1}' + closing * depth)
    answer = writer.post("/v1/experiments", content=body, headers=JSON)
    assert answer.status_code == 422, answer.text
    field = fields(answer)[0]
    assert field.startswith(path)
    if depth > 60:
        assert f"nested more than 60 levels deep at {path}" in answer.json()["detail"]
        assert "not valid JSON" not in answer.text


def test_ten_megabytes_of_condition_are_refused(writer: TestClient) -> None:
    for path, body in (
        ("/v1/conditions", {"condition": {"a": {"$in": ["x" * 10_000_000]}}}),
        ("/v1/experiments", {**CAMPAIGN, "audience": {"condition": {"a": "x" * 10_000_000}}}),
    ):
        answer = writer.post(path, json=body)
        assert (answer.status_code, fields(answer)) == (413, ["body"])


def test_a_campaign_takes_its_condition_as_text(writer: TestClient) -> None:
    made = post(writer, 'country = "NL" and age >= 18')
    assert made.status_code == 201, made.text
    wanted = {"country": "NL", "age": {"$gte": 18}}
    assert made.json()["design"]["audience"]["condition"] == wanted
    again = writer.put(
        f"/v1/experiments/{CAMPAIGN['key']}", json={**CAMPAIGN, "audience": {"condition": wanted}}
    )
    assert again.json()["outcome"] == "unchanged"


def test_attributes_that_nobody_has_are_warned_about(wiring: Wiring, writer: TestClient) -> None:
    with wiring.database.transaction() as session:
        add_people(session, wiring.clock, range(1, 6), attributes={"country": "NL", "age": 20})
    assert writer.post("/v1/conditions", json={"text": "contry = 'NL'"}).json()["warnings"] == []
    attributes.discover(wiring.database, wiring.clock, rng=np.random.default_rng(1))
    warning = "`contry` is no known attribute; did you mean `country`?"
    assert writer.post("/v1/conditions", json={"text": "contry = 'NL'"}).json()["warnings"] == [warning]
    assert warning in post(writer, 'contry = "NL"').json()["warnings"]
    applied = writer.put(
        f"/v1/experiments/{CAMPAIGN['key']}", json={**CAMPAIGN, "audience": {"condition": "age > 5"}}
    ).json()
    assert not any("is no known attribute" in each for each in applied["experiment"]["warnings"])


def test_the_command_line_says_what_a_condition_means(touchstone: CommandLine) -> None:
    touchstone("migrate")
    said = touchstone("condition", "country in ('NL') and age older than 2 days").stdout.splitlines()
    assert said == [
        '{"country": {"$in": ["NL"]}, "age": {"$olderThan": "2d"}}',
        'country in ("NL") and age older than 2 days',
        "country is NL and age is older than 2 days",
    ]
    assert touchstone("condition", '{"vip": true}').stdout.splitlines()[1] == "vip = true"
    assert "condition: line 1, column 6: expected" in touchstone.fails("condition", "a in b")
    assert "condition: is not valid JSON" in touchstone.fails("condition", '{"a"')
    for opening, closing in (('{"$not":', "}"), ('{"a":[', "]}")):
        refused = touchstone.fails("condition", opening * 10_000 + "{}" + closing * 10_000)
        assert "condition: is nested more than 60 levels deep at " in refused
        assert len(refused.strip().splitlines()) == 1
    assert "at most 20 levels" in touchstone.fails("condition", "a = " + "[" * 10_000 + "]" * 10_000)
    assert "condition.a.$foo: unknown operator" in touchstone.fails("condition", '{"a": {"$foo": 1}}')
