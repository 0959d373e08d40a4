"""OFREP against the application, on both databases: answers, exposures, errors, and the shapes of the protocol itself."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlmodel import col, select

from api import security
from api.app import create_app
from api.wiring import Wiring
from experiments import service
from experiments.clock import SteppedClock
from experiments.lifecycle import Move
from experiments.models import Experiment
from experiments.vocabulary import EXPERIMENT_VIEWED_EVENT
from targeting import campaigns, enrolment
from targeting.draw import draw_variants
from targeting.models import Assignment, Event, User
from tests.integration.people import add_people, campaign, start_campaign

FLAGS = "/ofrep/v1/evaluate/flags"
Evaluate = Callable[..., Any]


@pytest.fixture
def evaluate(http: TestClient, keys: dict[str, str]) -> Evaluate:
    """POST a context to one flag, or to all."""

    def post(key: str | None, user_id: Any = "user-1", *, etag: str | None = None, **attributes: Any) -> Any:
        headers = {"Authorization": f"Bearer {keys['evaluate']}"}
        if etag is not None:
            headers["If-None-Match"] = etag
        path = FLAGS if key is None else f"{FLAGS}/{key}"
        return http.post(path, json={"context": {"targetingKey": user_id, **attributes}}, headers=headers)

    return post


def begin(wiring: Wiring, *documents: dict[str, Any], people: int = 5) -> list[Experiment]:
    with wiring.database.transaction() as session:
        if people:
            add_people(session, wiring.clock, range(1, people + 1))
        return [start_campaign(session, wiring.clock, document) for document in documents]


def move(wiring: Wiring, key: str, step: Move) -> None:
    with wiring.database.transaction() as session:
        service.move(session, wiring.clock, actor="test", key=key, move=step)


def drawn(experiment: Experiment, user_id: str) -> str | None:
    design = service.design_of(experiment)
    draw = draw_variants(design, weights=design.shares, units=[user_id], global_holdout=0)
    return draw.variants[0]


def exposures(wiring: Wiring) -> list[tuple[str, dict[str, Any]]]:
    with wiring.database.snapshot() as session:
        query = select(User.user_id, Event.properties).join(User, col(User.id) == col(Event.user_pk))
        query = query.where(col(Event.name) == EXPERIMENT_VIEWED_EVENT).order_by(col(Event.id))
        return [(user_id, dict(properties)) for user_id, properties in session.exec(query)]


def test_a_variant_is_told_as_it_is_drawn_and_its_exposure_is_stored_once(
    wiring: Wiring, evaluate: Evaluate
) -> None:
    [experiment] = begin(wiring, campaign())
    variant = drawn(experiment, "user-1")
    for _ in range(2):
        answer = evaluate("spring")
        assert answer.status_code == 200
        assert answer.json() == {
            "key": "spring",
            "value": variant,
            "variant": variant,
            "reason": "SPLIT",
            "metadata": {},
        }
    # Another process knows nothing of what this one remembers.
    del wiring.__dict__["exposed"]
    evaluate("spring")
    assert exposures(wiring) == [("user-1", {"experiment": "spring", "variant": variant})]


def test_an_unknown_user_is_made_when_there_is_an_exposure_and_only_then(
    wiring: Wiring, evaluate: Evaluate
) -> None:
    begin(wiring, campaign(audience={"condition": {"country": "NL"}}))
    outside = evaluate("spring", "visitor", country="BR").json()
    assert outside == {
        "key": "spring",
        "variant": "",
        "reason": "TARGETING_MATCH",
        "metadata": {"without": "audience"},
    }
    assert exposures(wiring) == []
    assert "value" in evaluate("spring", "visitor", country="NL").json()
    with wiring.database.snapshot() as session:
        made = session.exec(select(User).where(User.user_id == "visitor")).one()
    assert (made.phone, made.attributes) == (None, {})


def test_what_the_context_says_lies_over_what_is_stored(wiring: Wiring, evaluate: Evaluate) -> None:
    begin(wiring, campaign(audience={"condition": {"country": "NL"}}))
    assert "value" in evaluate("spring").json()
    assert "value" not in evaluate("spring", country="BR").json()
    assert "value" not in evaluate("spring", country=None).json()


def test_a_stored_assignment_is_the_answer_whatever_has_changed_since(
    wiring: Wiring, evaluate: Evaluate
) -> None:
    [experiment] = begin(wiring, campaign(audience={"condition": {"country": "NL"}}))
    other = next(key for key in ("silence", "coupon") if key != drawn(experiment, "user-2"))
    assert experiment.id is not None
    with wiring.database.transaction() as session:
        for pk, forced in ((2, False), (3, True)):
            row: dict[str, Any] = {"variant": other, "epoch": 1, "propensity": 0.3, "forced": forced}
            session.add(
                Assignment(experiment_id=experiment.id, user_pk=pk, assigned_at=wiring.clock.now(), **row)
            )
    assert evaluate("spring", "user-2", country="BR").json()["value"] == other
    assert evaluate("spring", "user-3").json() == {
        "key": "spring",
        "value": other,
        "variant": other,
        "reason": "TARGETING_MATCH",
        "metadata": {"forced": True},
    }
    assert [user for user, _ in exposures(wiring)] == ["user-2"]


def test_enrolment_and_evaluation_agree_about_everybody(wiring: Wiring, evaluate: Evaluate) -> None:
    audience = {"condition": {"number": {"$lt": 30}}, "coverage": 0.5, "holdout": 0.1}
    [experiment] = begin(wiring, campaign(audience=audience), people=40)
    told = {n: evaluate("spring", f"user-{n}").json().get("value") for n in range(1, 41)}
    with wiring.database.transaction() as session:
        enrolment.enrol_batch(
            session, wiring.clock, experiment=experiment, limit=100, ineligible={}, global_holdout=0
        )
        rows = session.exec(select(Assignment))
        assigned = {row.user_pk: row.variant for row in rows}
    assert assigned
    assert told == {n: assigned.get(n) for n in range(1, 41)}


def test_events_and_lists_are_asked_for_on_the_server(wiring: Wiring, evaluate: Evaluate) -> None:
    bought = {"$event": {"name": "Order Completed", "within": "30d"}}
    begin(wiring, campaign(audience={"condition": {"$not": bought}}))
    assert "value" in evaluate("spring").json()
    at = wiring.clock.now()
    with wiring.database.transaction() as session:
        row: dict[str, Any] = {
            "user_pk": 1,
            "name": "Order Completed",
            "at": at,
            "received_at": at,
            "properties": {},
        }
        session.add(Event(message_id="m1", **row))
    assert evaluate("spring").json()["metadata"] == {"without": "audience"}


def test_who_takes_no_part_is_told_why(wiring: Wiring, clock: SteppedClock, evaluate: Evaluate) -> None:
    with wiring.database.transaction() as session:
        add_people(session, clock, [9], attributes={"company": "acme"})
    later = {"type": "once", "at": (clock.now() + timedelta(hours=1)).isoformat()}
    begin(
        wiring,
        campaign("later", trigger=later),
        campaign("rules", trigger={"type": "rule"}),
        campaign("layered", audience={"layer": "promotions"}),
        campaign("company", audience={"hash_attribute": "company"}),
        campaign("held", audience={"holdout": 0.9999}),
        campaign("parent", audience={"forced": {"user-1": "coupon"}}),
        campaign("child", audience={"prerequisites": [{"experiment": "parent", "variants": ["silence"]}]}),
    )
    flags = {flag["key"]: (flag["reason"], flag["metadata"]) for flag in evaluate(None).json()["flags"]}
    assert flags == {
        "later": ("DISABLED", {"without": "not_begun"}),
        "rules": ("TARGETING_MATCH", {"without": "rule"}),
        "layered": ("TARGETING_MATCH", {"without": "layer"}),
        "company": ("TARGETING_MATCH", {"without": "no_unit"}),
        "held": ("SPLIT", {"without": "holdout"}),
        "parent": ("TARGETING_MATCH", {"forced": True}),
        "child": ("TARGETING_MATCH", {"without": "prerequisite"}),
    }
    clock.advance(timedelta(hours=2))
    assert evaluate("later").json()["reason"] == "SPLIT"


def test_a_change_of_status_counts_at_once(wiring: Wiring, clock: SteppedClock, evaluate: Evaluate) -> None:
    with wiring.database.transaction() as session:
        add_people(session, wiring.clock, [1])
        campaigns.create(session, wiring.clock, actor="test", document=campaign())
    assert evaluate("spring").status_code == 404
    steps = [(Move.START, "SPLIT"), (Move.PAUSE, "DISABLED"), (Move.RESUME, "SPLIT"), (Move.STOP, "DISABLED")]
    for step, reason in steps:
        clock.advance(timedelta(seconds=1))
        move(wiring, "spring", step)
        assert evaluate("spring").json()["reason"] == reason
    assert evaluate(None).json() == {"flags": []}
    assert len(exposures(wiring)) == 1


def test_all_flags_come_with_a_tag_that_changes_when_an_answer_does(
    wiring: Wiring, clock: SteppedClock, evaluate: Evaluate
) -> None:
    begin(wiring, campaign("one"), campaign("two"))
    first = evaluate(None)
    assert [flag["key"] for flag in first.json()["flags"]] == ["one", "two"]
    tag = first.headers["etag"]
    again = evaluate(None, etag=tag)
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
    assert evaluate(None, etag=f'"other", {tag}').status_code == 304
    assert len(exposures(wiring)) == 2
    clock.advance(timedelta(seconds=1))
    move(wiring, "two", Move.PAUSE)
    changed = evaluate(None, etag=tag)
    assert changed.status_code == 200
    assert changed.headers["etag"] != tag


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"{", "PARSE_ERROR"),
        (b"", "PARSE_ERROR"),
        (b'{"context": {"targetingKey": "\\ud800"}}', "PARSE_ERROR"),
        (b'{"context": {"targetingKey": "u", "x": NaN}}', "PARSE_ERROR"),
        (b"{}", "INVALID_CONTEXT"),
        (b"[]", "INVALID_CONTEXT"),
        (b'{"context": 5}', "INVALID_CONTEXT"),
        (b'{"context": {}}', "TARGETING_KEY_MISSING"),
        (b'{"context": {"targetingKey": ""}}', "TARGETING_KEY_MISSING"),
        (b'{"context": {"targetingKey": null}}', "TARGETING_KEY_MISSING"),
        (b'{"context": {"targetingKey": 5}}', "INVALID_CONTEXT"),
        (b'{"context": {"targetingKey": "anonymous:x"}}', "INVALID_CONTEXT"),
        (b'{"context": {"targetingKey": "' + b"u" * 201 + b'"}}', "INVALID_CONTEXT"),
    ],
)
def test_a_request_that_cannot_be_evaluated_is_told_why(
    wiring: Wiring, http: TestClient, keys: dict[str, str], content: bytes, code: str
) -> None:
    begin(wiring, campaign())
    headers = {"Authorization": f"Bearer {keys['evaluate']}"}
    one = http.post(f"{FLAGS}/spring", content=content, headers=headers)
    assert (one.status_code, one.json()["errorCode"], one.json()["key"]) == (400, code, "spring")
    every = http.post(FLAGS, content=content, headers=headers)
    assert (every.status_code, every.json()["errorCode"], "key" in every.json()) == (400, code, False)
    assert exposures(wiring) == []


def test_an_experiment_that_is_not_there_is_not_found(evaluate: Evaluate) -> None:
    answer = evaluate("nothing")
    assert answer.status_code == 404
    assert (answer.json()["key"], answer.json()["errorCode"]) == ("nothing", "FLAG_NOT_FOUND")


def test_odd_keys_and_large_bodies_are_answered_and_alarm_nobody(
    http: TestClient, keys: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    bearer = {"Authorization": f"Bearer {keys['evaluate']}"}
    context = {"context": {"targetingKey": "u"}}
    odd = http.post("/ofrep/v1/evaluate/flags/a%0Ab", json=context, headers=bearer)
    assert (odd.status_code, odd.json()["key"], odd.json()["errorCode"]) == (404, "a\nb", "FLAG_NOT_FOUND")
    large = {"context": {"targetingKey": "u", "a": "x" * 1_100_000}}
    assert http.post("/ofrep/v1/evaluate/flags/a", json=large, headers=bearer).status_code == 413
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


def test_only_keys_that_may_evaluate_do(wiring: Wiring, http: TestClient, keys: dict[str, str]) -> None:
    begin(wiring, campaign())
    body = {"context": {"targetingKey": "user-1"}}
    assert http.post(f"{FLAGS}/spring", json=body, headers={"X-API-Key": keys["evaluate"]}).status_code == 200
    assert http.post(f"{FLAGS}/spring", json=body, headers={"X-API-Key": keys["admin"]}).status_code == 200
    for headers, status in (({}, 401), ({"X-API-Key": "ts_0_x"}, 401), ({"X-API-Key": keys["write"]}, 403)):
        answer = http.post(FLAGS, json=body, headers=headers)
        assert (answer.status_code, list(answer.json())) == (status, ["errorDetails"])
    assert "Bearer" in http.post(FLAGS, json=body).headers["www-authenticate"]


def test_a_revoked_key_is_no_key_though_it_was_seen_before(
    wiring: Wiring, http: TestClient, keys: dict[str, str], evaluate: Evaluate
) -> None:
    begin(wiring, campaign())
    address = f"/api/features/{keys['evaluate']}"
    assert (evaluate("spring").status_code, http.get(address).status_code) == (200, 200)
    with wiring.database.transaction() as session:
        prefix = keys["evaluate"].split("_")[1]
        security.revoke_key(session, wiring.clock, actor="test", prefix=prefix)
    assert (evaluate("spring").status_code, http.get(address).status_code) == (401, 401)


def test_no_variant_is_told_when_its_exposure_cannot_be_stored(wiring: Wiring, evaluate: Evaluate) -> None:
    begin(wiring, campaign())
    wiring.tracking.close()
    answer = evaluate("spring")
    assert answer.status_code == 503
    assert list(answer.json()) == ["errorDetails"]
    assert exposures(wiring) == []


def test_pages_of_browsers_may_evaluate_and_nothing_else(http: TestClient) -> None:
    asking = {"Origin": "https://shop.example", "Access-Control-Request-Method": "POST"}
    wanted = asking | {"Access-Control-Request-Headers": "authorization,content-type,if-none-match"}
    allowed = http.options(FLAGS, headers=wanted)
    assert (allowed.status_code, allowed.headers["access-control-allow-origin"]) == (200, "*")
    told = http.get("/api/features/unknown", headers=asking)
    assert (told.status_code, told.headers["access-control-allow-origin"]) == (401, "*")
    assert "access-control-allow-origin" not in http.options("/v1/users", headers=wanted).headers


@pytest.mark.parametrize(
    ("origins", "allowed"), [("https://shop.example, https://b.example", True), ("", False)]
)
def test_origins_can_be_narrowed(wiring: Wiring, origins: str, allowed: bool) -> None:
    narrowed = replace(wiring, settings=wiring.settings.model_copy(update={"cors_origins": origins}))
    with TestClient(create_app(narrowed)) as http:
        asked = [
            http.get("/api/features/x", headers={"Origin": f"https://{site}.example"})
            for site in ("shop", "evil")
        ]
    told = [answer.headers.get("access-control-allow-origin") for answer in asked]
    assert told == ["https://shop.example" if allowed else None, None]
