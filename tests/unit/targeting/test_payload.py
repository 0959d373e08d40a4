"""Running experiments as features: what is among them, what is left out and why. Agreement with the SDKs: tests/property."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from experiments.design import ExperimentDesign
from targeting.payload import AGES_STAY, Payload, Running, payload_of

NOW = datetime(2026, 12, 1, 10, tzinfo=UTC)
MESSAGE = {"template": "reminder", "language": "en_US"}


def running(key: str = "spring", *, condition: dict[str, Any] | None = None, **audience: Any) -> Running:
    trigger = audience.pop("trigger", {})
    begins_at = audience.pop("begins_at", NOW)
    problem = audience.pop("problem", None)
    design = ExperimentDesign.model_validate(
        {
            "key": key,
            "name": "Spring",
            "audience": audience,
            "trigger": trigger,
            "variants": [{"key": "silence", "control": True}, {"key": "coupon", "message": MESSAGE}],
            "metrics": [
                {"key": "bought", "role": "primary", "kind": "proportion", "event": "Order Completed"}
            ],
        }
    )
    return Running(design, begins_at, {"silence": 0.25, "coupon": 0.75}, condition or {}, problem)


def built(*experiments: Running, lists: dict[str, Any] | None = None, global_holdout: float = 0) -> Payload:
    return payload_of(experiments, lists=lists or {}, global_holdout=global_holdout, now=NOW)


def test_an_experiment_is_a_feature_whose_value_is_a_variant_and_null_for_outsiders() -> None:
    feature = built(running()).features["spring"]
    assert feature["defaultValue"] is None
    (rule,) = feature["rules"]
    assert rule == {
        "key": "spring",
        "name": "Spring",
        "variations": ["silence", "coupon"],
        "meta": [{"key": "silence", "name": "silence"}, {"key": "coupon", "name": "coupon"}],
        "weights": [0.25, 0.75],
        "ranges": [[0.0, 0.25], [0.25, 1.0]],
        "hashAttribute": "id",
        "hashVersion": 2,
        "seed": "spring",
        "bucketVersion": 1,
    }


def test_gates_are_filters_of_their_own_seeds() -> None:
    layer = {"key": "promotions", "range": [0.2, 0.6]}
    one = running(holdout=0.05, coverage=0.5, layer=layer, hash_attribute="company")
    (rule,) = built(one, global_holdout=0.1).features["spring"]["rules"]
    assert [(each["seed"], each["ranges"], each["attribute"]) for each in rule["filters"]] == [
        ("global-holdout", [[0.1, 1.0]], "id"),
        ("layer:promotions", [[0.2, 0.6]], "company"),
        ("holdout:spring", [[0.05, 1.0]], "company"),
        ("coverage:spring", [[0.0, 0.5]], "company"),
    ]


def test_testers_come_first_and_pass_every_gate() -> None:
    rules = built(running(forced={"b": "coupon", "a": "coupon"}, holdout=0.9)).features["spring"]["rules"]
    assert rules[0] == {"condition": {"id": {"$in": ["a", "b"]}}, "force": "coupon"}
    assert len(rules) == 2


def test_a_fallback_is_a_rule_for_those_who_lack_the_first_attribute() -> None:
    first, second = built(running(hash_attribute="company", fallback_attribute="user_id")).features["spring"][
        "rules"
    ]
    assert (first["hashAttribute"], first["fallbackAttribute"]) == ("company", "id")
    assert second["hashAttribute"] == "id"
    assert "$not" in second["condition"]


def test_lists_travel_as_saved_groups_up_to_a_size() -> None:
    one = running(condition={"$inSegment": "vip"})
    assert built(one, lists={"vip": ["u1"]}).saved_groups == {"segment:vip": ["u1"]}
    too_long = built(one, lists={"vip": None})
    assert (too_long.features, too_long.saved_groups) == ({}, {})
    assert "more than 10000 users" in too_long.left_out["spring"]


@pytest.mark.parametrize(
    ("one", "why"),
    [
        (running(trigger={"type": "rule"}), "by rules"),
        (running(begins_at=NOW + timedelta(hours=1)), "begins at 2026-12-01T11:00:00"),
        (running(layer="promotions"), "has no range"),
        (running(hash_attribute="id"), "`id`"),
        (running(hash_attribute="address.city"), "`address.city`"),
        (running(condition={"$event": {"name": "Order Completed"}}), "what users did"),
        (running(problem="there is no segment 'vip'"), "no segment"),
        (running(prerequisites=[{"experiment": "gone", "variants": ["coupon"]}]), "'gone'"),
    ],
    ids=["rules", "later", "layer", "id", "path", "event", "segment", "prerequisite"],
)
def test_what_an_sdk_would_not_know_is_left_out_with_the_reason(one: Running, why: str) -> None:
    payload = built(one, running("other"))
    assert list(payload.features) == ["other"]
    assert why in payload.left_out["spring"]
    assert payload.to_json()["leftOut"] == payload.left_out


def test_ranges_hold_only_when_the_whole_layer_has_them_of_the_same_hash() -> None:
    def taking(key: str, start: float, end: float, **audience: Any) -> Running:
        return running(key, layer={"key": "promotions", "range": [start, end]}, **audience)

    first, second = taking("first", 0, 0.5), taking("second", 0.5, 1)
    assert built(first, second).left_out == {}
    other_hash = taking("second", 0.5, 1, hash_attribute="company")
    assert set(built(first, other_hash).left_out) == {"first", "second"}
    paused = [running("waiting", layer="promotions").design]
    kept = payload_of([first, running("free")], lists={}, global_holdout=0, now=NOW, paused=paused)
    assert list(kept.features) == ["free"]
    assert "'waiting' has no range" in kept.left_out["first"]


def test_who_depends_on_what_is_left_out_is_left_out_too_in_any_order() -> None:
    child = running("child", prerequisites=[{"experiment": "parent", "variants": ["coupon"]}])
    grandchild = running("grandchild", prerequisites=[{"experiment": "child", "variants": ["coupon"]}])
    assert set(built(grandchild, child, running("parent")).features) == {"parent", "child", "grandchild"}
    lost = built(grandchild, child, running("parent", layer="promotions"))
    assert (lost.features, set(lost.left_out)) == ({}, {"parent", "child", "grandchild"})


def test_a_circle_of_prerequisites_keeps_nobody() -> None:
    one = running("one", prerequisites=[{"experiment": "two", "variants": ["coupon"]}])
    two = running("two", prerequisites=[{"experiment": "one", "variants": ["coupon"]}])
    assert built(one, two).features == {}


def test_a_payload_says_when_time_alone_changes_it() -> None:
    later = running("later", begins_at=NOW + timedelta(seconds=20))
    ages = running("ages", condition={"seen": {"$olderThan": "1d"}})
    assert built(running()).changes_at is None
    assert built(running(), ages).changes_at == NOW + AGES_STAY
    assert built(later, ages).changes_at == NOW + timedelta(seconds=20)
