"""Software that knows nothing of us plugs in: the stock clients of OpenFeature and GrowthBook against a running server."""

from collections.abc import Iterator
from datetime import timedelta
from random import Random
from typing import Any

import httpx
import pytest
from growthbook import GrowthBook, feature_repo
from growthbook.core import evalCondition
from openfeature import api as openfeature
from openfeature.contrib.provider.ofrep import OFREPProvider
from openfeature.evaluation_context import EvaluationContext
from openfeature.exception import ErrorCode
from openfeature.flag_evaluation import Reason

from api.wiring import Wiring
from experiments.clock import SteppedClock
from experiments.lifecycle import Move
from targeting.evaluation import Answer, Question
from targeting.payload import payload_of
from targeting.sdk_conditions import NotPortableError, translate
from tests.integration.people import campaign
from tests.integration.sdk_clients import ask_node, serving
from tests.integration.test_evaluation import begin, drawn, exposures, move
from tests.property.sdk_worlds import NOW, odd_attributes, odd_condition, world

PEOPLE = [f"user-{number}" for number in range(1, 21)]
AUDIENCE = {"condition": {"country": "NL"}, "coverage": 0.8, "forced": {"user-2": "coupon"}}


@pytest.fixture
def url(wiring: Wiring) -> Iterator[str]:
    with serving(wiring) as base:
        yield base


def told(wiring: Wiring, user_id: str) -> str | None:
    """What enrolment would draw for somebody who lives in NL."""
    question = Question(user_id, {"country": "NL"}, "spring")
    with wiring.database.snapshot() as session:
        [told] = wiring.evaluator.answer(session, wiring.clock, [question])
    assert isinstance(told, list)
    assert isinstance(told[0], Answer)
    return told[0].variant


def test_openfeature_evaluates_over_the_network(
    wiring: Wiring, keys: dict[str, str], clock: SteppedClock, url: str
) -> None:
    [experiment] = begin(wiring, campaign())
    provider = OFREPProvider(url, headers_factory=lambda: {"Authorization": f"Bearer {keys['evaluate']}"})
    openfeature.set_provider(provider)
    client = openfeature.get_client()
    somebody = EvaluationContext("user-1", {"plan": "gold"})
    details = client.get_string_details("spring", "default", somebody)
    assert (details.value, details.variant) == (drawn(experiment, "user-1"),) * 2
    assert (details.reason, details.error_code) == (Reason.SPLIT, None)
    assert exposures(wiring) == [("user-1", {"experiment": "spring", "variant": details.value})]

    missing = client.get_string_details("nothing", "default", somebody)
    assert (missing.value, missing.error_code) == ("default", ErrorCode.FLAG_NOT_FOUND)
    nobody = client.get_string_details("spring", "default", EvaluationContext())
    assert (nobody.value, nobody.error_code) == ("default", ErrorCode.TARGETING_KEY_MISSING)

    clock.advance(timedelta(seconds=1))
    move(wiring, "spring", Move.PAUSE)
    paused = client.get_string_details("spring", "default", somebody)
    assert (paused.value, paused.reason, paused.error_code) == ("default", Reason.DISABLED, None)
    openfeature.clear_providers()
    provider.session.close()


def test_the_python_sdk_of_growthbook_loads_and_evaluates(
    wiring: Wiring, keys: dict[str, str], clock: SteppedClock, url: str
) -> None:
    begin(wiring, campaign(audience=AUDIENCE), people=3)
    for user_id in PEOPLE:
        feature_repo.clear_cache()
        sdk = GrowthBook(
            api_host=url, client_key=keys["evaluate"], attributes={"id": user_id, "country": "NL"}
        )
        sdk.load_features()
        assert sdk.get_feature_value("spring", "default") == (told(wiring, user_id) or "default")
        sdk.destroy()
    clock.advance(timedelta(seconds=1))
    move(wiring, "spring", Move.PAUSE)
    feature_repo.clear_cache()
    sdk = GrowthBook(api_host=url, client_key=keys["evaluate"], attributes={"id": "user-1", "country": "NL"})
    sdk.load_features()
    assert sdk.get_feature_value("spring", "default") == "default"
    sdk.destroy()
    assert exposures(wiring) == []


def test_the_javascript_sdk_of_growthbook_loads_and_evaluates(
    wiring: Wiring, keys: dict[str, str], url: str
) -> None:
    begin(wiring, campaign(audience=AUDIENCE), people=3)
    people = [{"id": user_id, "country": "NL"} for user_id in PEOPLE] + [{"id": "user-1", "country": "BR"}]
    got = ask_node({"apiHost": url, "clientKey": keys["evaluate"], "people": people, "keys": ["spring"]})
    assert got["source"] == "network"
    assert [answer[0]["value"] for answer in got["answers"]] == [told(wiring, who) for who in PEOPLE] + [None]


def test_the_javascript_sdk_gives_the_variants_that_enrolment_draws() -> None:
    for seed in range(12):
        made = world(Random(seed), experiments=5, people=40)
        payload = payload_of(
            list(made.running.values()), lists=made.lists, global_holdout=made.global_holdout, now=NOW
        )
        assert payload.left_out == {}
        asked: dict[str, Any] = {"payload": payload.to_json(), "keys": list(made.running)}
        got = ask_node({**asked, "people": [person.sdk_attributes for person in made.people]})
        values = [[answer["value"] for answer in answers] for answers in got["answers"]]
        assert values == [[made.variant(key, person) for key in made.running] for person in made.people], seed


def test_the_javascript_sdk_hashes_only_what_names_a_unit() -> None:
    made = world(Random(0), experiments=1, people=2)
    running = next(iter(made.running.values()))
    audience = running.design.audience.model_copy(
        update={
            "hash_attribute": "company",
            "fallback_attribute": None,
            "coverage": 1.0,
            "holdout": 0.0,
            "layer": None,
        }
    )
    design = running.design.model_copy(update={"audience": audience})
    one = type(running)(design, running.begins_at, running.weights, {})
    payload = payload_of([one], lists={}, global_holdout=0, now=NOW)
    companies: list[Any] = ["acme", 5, 0, "", True, ["acme"], None]
    people = [{"id": f"u{number}", "company": company} for number, company in enumerate(companies)]
    got = ask_node({"payload": payload.to_json(), "people": people, "keys": [design.key]})
    took_part = [answer[0]["inExperiment"] for answer in got["answers"]]
    assert took_part == [True, True, False, False, False, False, False]


def test_the_two_sdks_agree_about_any_translated_condition() -> None:
    random = Random(7)
    features: dict[str, Any] = {}
    while len(features) < 300:
        try:
            condition = translate(odd_condition(random), now=NOW).condition
        except NotPortableError:
            continue
        features[f"f{len(features)}"] = {"rules": [{"condition": condition, "force": True}]}
    people = [odd_attributes(random) for _ in range(40)]
    asked = {"payload": {"features": features}, "people": people, "keys": list(features)}
    theirs = [[bool(answer["value"]) for answer in answers] for answers in ask_node(asked)["answers"]]
    python = [
        [evalCondition(attributes, feature["rules"][0]["condition"]) for feature in features.values()]
        for attributes in people
    ]
    assert theirs == python


def test_the_payload_is_sent_once_and_is_right_at_once(
    wiring: Wiring, keys: dict[str, str], clock: SteppedClock, url: str
) -> None:
    begin(wiring, campaign("one"), campaign("rules", trigger={"type": "rule"}))
    address = f"{url}/api/features/{keys['evaluate']}"
    first = httpx.get(address, trust_env=False)
    assert first.headers["cache-control"] == "no-cache"
    body = first.json()
    assert (body["status"], list(body["features"])) == (200, ["one"])
    assert "by rules" in body["leftOut"]["rules"]
    known = {"If-None-Match": first.headers["etag"]}
    again = httpx.get(address, headers=known, trust_env=False)
    assert (again.status_code, again.content) == (304, b"")
    for step, features in ((Move.PAUSE, []), (Move.RESUME, ["one"]), (Move.STOP, [])):
        clock.advance(timedelta(seconds=1))
        move(wiring, "one", step)
        assert list(httpx.get(address, trust_env=False).json()["features"]) == features


def test_a_client_key_is_good_for_nothing_else(wiring: Wiring, keys: dict[str, str], url: str) -> None:
    assert httpx.get(f"{url}/api/features/{keys['evaluate']}", trust_env=False).status_code == 200
    refused = httpx.get(f"{url}/api/features/{keys['admin']}", trust_env=False)
    assert refused.status_code == 403
    assert "revoke the key" in refused.json()["detail"]
    assert keys["admin"] not in refused.text
    assert httpx.get(f"{url}/api/features/{keys['read']}", trust_env=False).status_code == 403
    assert httpx.get(f"{url}/api/features/sdk-unknown", trust_env=False).status_code == 401
