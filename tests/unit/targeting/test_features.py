"""Features and experiments, step by step; what the public cases say as well is not repeated."""

import copy

import pytest

from experiments.clock import parse_moment
from targeting.bucketing import hash_unit
from targeting.conditions.scope import Scope
from targeting.features import compile_features, evaluate, run

TWO = {"key": "exp", "variations": ["a", "b"], "seed": "my-test"}
USER = {"id": "1"}  # "b" in TWO


def _feature(*rules, default="default"):
    return {"f": {"defaultValue": default, "rules": list(rules)}}


def _value(rule, attributes=USER, **context):
    result = evaluate({"attributes": attributes, "features": _feature(rule), **context}, "f")
    return result["value"]


def _run(experiment=None, attributes=USER, **context):
    result = run({"attributes": attributes, **context}, {**TWO, **(experiment or {})})
    return result["variationId"], result["inExperiment"], result["hashUsed"]


DRAWN, OUT, FORCED = (1, True, True), (0, False, False), (1, True, False)


def test_the_first_rule_that_applies_decides_and_says_which_it_was():
    features = _feature({"id": "r1", "condition": {"a": 1}, "force": "one"}, {"id": "r2", "force": None})
    assert evaluate({"attributes": {"a": 1}, "features": features}, "f")["ruleId"] == "r1"
    # A forced null is a value, as in the JavaScript SDK.
    assert evaluate({"features": features}, "f") == {
        "value": None,
        "on": False,
        "off": True,
        "source": "force",
        "ruleId": "r2",
    }


@pytest.mark.parametrize(
    ("value", "on"), [("", False), (0, False), ([], True), ({}, True), (float("nan"), False), ("0", True)]
)
def test_on_is_what_javascript_calls_true(value, on):
    result = evaluate({"features": _feature({"force": value})}, "f")
    assert (result["on"], result["off"]) == (on, not on)


@pytest.mark.parametrize("forced", [{"f": "mine"}, [["f", "mine"], ["other"], 5]], ids=["dict", "pairs"])
def test_a_forced_feature_value_overrides_even_an_unknown_feature(forced):
    result = evaluate({"forcedFeatureValues": forced}, "f")
    assert (result["value"], result["source"]) == ("mine", "override")
    assert evaluate({"forcedFeatureValues": 5, "features": _feature()}, "f")["source"] == "defaultValue"


def test_overriding_attributes_win():
    rule = {"condition": {"plan": "pro"}, "force": "yes"}
    assert _value(rule, {"plan": "free"}, attributeOverrides={"plan": "pro"}) == "yes"


def test_a_coverage_holds_exactly_the_hashes_below_it():
    unit = hash_unit("f", "1", 1)
    assert _value({"force": "in", "coverage": unit}) == "default"
    assert _value({"force": "in", "coverage": unit + 0.0001}) == "in"
    assert _value({"force": "in", "coverage": 1.0}, {}) == "default"
    assert _value({"force": "in", "coverage": None}, {}) == "in"
    assert _value({"force": "in", "coverage": "much"}) == "default"
    assert _value({"force": "in", "range": [0]}) == "default"


def test_the_fallback_attribute_counts_only_with_sticky_buckets():
    rule = {"force": "in", "coverage": 1, "hashAttribute": "id", "fallbackAttribute": "device"}
    assert _value(rule, {"device": "d"}) == "default"
    assert _value(rule, {"device": "d"}, stickyBucketAssignmentDocs={}) == "in"
    assert (
        _value({**rule, "disableStickyBucketing": True}, {"device": "d"}, stickyBucketAssignmentDocs={})
        == "default"
    )


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("u1", "u1"),
        (7, "7"),
        (7.0, "7"),
        (1.5e21, "1.5e+21"),
        ("é", "é"),
        ("\U0001f600", "\U0001f600"),
        ("x" * 100, "x" * 100),
    ],
)
def test_who_is_hashed(value, text):
    result = run({"attributes": {"id": value}}, {**TWO, "hashVersion": 2})
    assert result["bucket"] == hash_unit("my-test", text, 2)
    assert result["hashValue"] == value


@pytest.mark.parametrize("value", ["", None, 0, True, False, [], ["a"], {"a": 1}, float("nan"), float("inf")])
def test_who_has_no_identity_is_in_no_experiment(value):
    result = run({"attributes": {"id": value}}, TWO)
    assert (result["inExperiment"], result["hashValue"], result["hashAttribute"]) == (False, "", "id")
    assert "bucket" not in result


def test_the_result_says_what_is_known_of_the_variation():
    meta = [{}, {"key": "treated", "name": "Treated", "passthrough": True}]
    assert run({"attributes": USER}, {**TWO, "meta": meta}) == {
        "value": "b",
        "inExperiment": True,
        "hashUsed": True,
        "variationId": 1,
        "key": "treated",
        "name": "Treated",
        "passthrough": True,
        "featureId": None,
        "hashAttribute": "id",
        "hashValue": "1",
        "bucket": hash_unit("my-test", "1", 1),
        "stickyBucketUsed": False,
    }


def test_a_variation_that_passes_through_leaves_the_word_to_the_next_rule():
    holdout = {"key": "h", "variations": [1, 2], "meta": [{"passthrough": True}, {"passthrough": True}]}
    features = _feature(holdout, {"force": "next"})
    assert evaluate({"attributes": USER, "features": features}, "f")["value"] == "next"


@pytest.mark.parametrize(
    ("experiment", "expected"),
    [
        ({}, DRAWN),
        ({"status": "draft"}, OUT),
        ({"active": False}, OUT),
        ({"status": "stopped"}, OUT),
        ({"status": "stopped", "force": 1}, FORCED),
        ({"force": 0, "coverage": 1}, (0, True, False)),
        ({"force": "1"}, OUT),
        ({"hashVersion": 3}, OUT),
        ({"condition": {"id": "2"}}, OUT),
        ({"condition": "odd"}, OUT),
        ({"condition": {}}, DRAWN),
        ({"ranges": [[0, 1], [0, 1]]}, (0, True, True)),
        ({"ranges": []}, OUT),
        ({"ranges": ["odd", [0, 1]]}, DRAWN),
        ({"ranges": [[0, 0], [0, 0], [0, 1]]}, OUT),
        ({"weights": [1.0, 0.0]}, (0, True, True)),
        ({"weights": [1.5, -0.5]}, DRAWN),
        ({"weights": ["much", True]}, DRAWN),
        ({"weights": [10**400, 0]}, DRAWN),
        ({"namespace": ["n", 0, 1]}, DRAWN),
        ({"namespace": ["n", 0, 0]}, OUT),
        ({"namespace": "odd"}, OUT),
        ({"filters": [{"seed": "s", "ranges": [[0, 1]]}], "namespace": ["n", 0, 0]}, DRAWN),
        ({"filters": [{"seed": "s", "ranges": [[0, 1]]}, {"seed": "s", "ranges": []}]}, OUT),
        ({"filters": [{"seed": "s", "ranges": [[0, 1]], "attribute": "device"}]}, OUT),
        ({"filters": [{"seed": "s", "ranges": [[0, 1]], "hashVersion": 9}]}, OUT),
        ({"filters": ["odd"]}, OUT),
        ({"include": lambda: True}, DRAWN),
        ({"include": lambda: 1 / 0}, OUT),
        ({"groups": ["beta", 5]}, OUT),
        ({"parentConditions": [{"id": "nobody-knows", "condition": {"value": 1}}]}, OUT),
        ({"parentConditions": [{"id": "nobody-knows"}]}, DRAWN),
        ({"variations": "ab"}, OUT),
    ],
)
def test_what_keeps_users_out_of_an_experiment(experiment, expected):
    assert _run(experiment) == expected


def test_groups_urls_and_overrides_come_from_the_context():
    assert _run({"groups": ["beta"]}, groups={"beta": True}) == DRAWN
    assert _run(overrides={"exp": {"coverage": 0}}) == OUT
    assert _run(overrides={"exp": 5, "other": {}}) == DRAWN
    pages = {"urlPatterns": [{"type": "simple", "pattern": "/shop/*", "include": True}]}
    assert _run(pages, url="https://x.org/shop/1") == DRAWN
    assert _run(pages, url="https://x.org/help") == OUT
    assert _run({"url": "^/shop"}, url="https://x.org/shop/1") == DRAWN
    assert _run({"url": "^/shop"}) == OUT


def test_an_override_may_change_the_variations_of_a_rule():
    result = evaluate(
        {"attributes": USER, "features": _feature(TWO), "overrides": {"exp": {"variations": [0, 7]}}}, "f"
    )
    assert (result["value"], result["on"]) == (7, True)


@pytest.mark.parametrize(
    ("variation", "expected"), [(1, FORCED), (5, OUT), (-1, OUT), ("1", OUT), (True, OUT), (None, DRAWN)]
)
def test_a_variation_forced_in_the_context_needs_no_condition(variation, expected):
    experiment = {} if variation is None else {"condition": {"id": "nobody"}}
    assert _run(experiment, forcedVariations={"exp": variation}) == expected


def test_a_query_string_comes_before_the_forced_variation_and_qa_mode():
    assert _run(url="https://x.org/?exp=1", forcedVariations={"exp": 0}, qaMode=True) == FORCED
    assert _run(url="https://x.org/?exp=1", enabled=False) == OUT


def test_a_prerequisite_without_a_gate_skips_the_rule_and_with_one_ends_the_feature():
    parent = {"defaultValue": "red"}
    for gate, expected in ((False, ("next", "force")), (True, (None, "prerequisite"))):
        needs = {"id": "parent", "condition": {"value": "green"}, "gate": gate}
        features = {
            **_feature({"parentConditions": [needs], "force": 1}, {"force": "next"}),
            "parent": parent,
        }
        result = evaluate({"features": features}, "f")
        assert (result["value"], result["source"]) == expected


def test_a_long_chain_of_prerequisites_counts_as_a_cycle_and_many_roads_to_one_are_walked_once():
    def chain(length):
        features = {str(length): {"defaultValue": True}}
        for i in range(length):
            # Two prerequisites each: without memory, twice the work at every step.
            needs = [{"id": str(i + 1), "condition": {"value": True}, "gate": True}] * 2
            features[str(i)] = {"defaultValue": True, "rules": [{"parentConditions": needs}]}
        return features

    assert evaluate({"features": chain(40)}, "0")["source"] == "defaultValue"
    assert evaluate({"features": chain(5_000)}, "0")["source"] == "cyclicPrerequisite"


def test_a_feature_that_needs_itself_is_a_cycle_even_in_a_rule_that_says_nothing_else():
    features = _feature({"parentConditions": [{"id": "f"}]})
    assert evaluate({"features": features}, "f")["source"] == "cyclicPrerequisite"


def test_filters_of_a_rule_come_before_its_value():
    rule = {"force": "in", "filters": [{"seed": "s", "ranges": [[0, 0.0]]}]}
    assert _value(rule) == "default"
    rule["filters"][0]["ranges"] = [[0, 1]]
    assert _value(rule) == "in"


def test_every_draw_is_tracked_and_so_are_those_that_a_proxy_made():
    seen = []
    tracks = [{"experiment": {"key": "remote"}, "result": {"variationId": 1}}, "odd"]
    features = {**_feature(TWO), "g": {"rules": [{"force": 1, "tracks": tracks}]}}
    context = {
        "attributes": USER,
        "features": features,
        "trackingCallback": lambda e, r: seen.append((e["key"], r["variationId"])),
    }
    evaluate(context, "f")
    evaluate(context, "g")
    evaluate({**context, "forcedVariations": {"exp": 0}}, "f")
    assert seen == [("exp", 1), ("remote", 1)]


def test_what_is_changed_in_place_between_two_calls_is_seen():
    context = {"attributes": USER, "features": _feature({**TWO, "coverage": 1})}
    assert evaluate(context, "f")["source"] == "experiment"
    context["features"]["f"]["rules"][0]["coverage"] = 0
    assert evaluate(context, "f")["source"] == "defaultValue"
    experiment = dict(TWO)
    assert run({"attributes": USER}, experiment)["inExperiment"]
    experiment["active"] = False
    assert not run({"attributes": USER}, experiment)["inExperiment"]


def test_one_definition_under_two_keys_is_hashed_with_each_of_them():
    same = {"rules": [{"variations": list(range(1000))}]}
    features = {"f": same, "g": same}
    context = {"attributes": USER, "features": features}
    assert evaluate(context, "f")["value"] != evaluate(context, "g")["value"]


def test_compiled_features_give_the_same_results_and_do_not_follow_later_changes():
    features = _feature({**TWO, "condition": {"id": {"$inGroup": "ours"}}})
    groups = {"ours": ["1"]}
    compiled = compile_features(features, groups)
    expected = evaluate({"attributes": USER, "features": copy.deepcopy(features), "savedGroups": groups}, "f")
    features["f"]["rules"].clear()
    assert compiled.evaluate(USER, "f") == expected
    assert expected["source"] == "experiment"
    assert compiled.evaluate(USER, "other")["source"] == "unknownFeature"
    assert compiled.keys == ("f",)


def test_compiled_features_take_what_surrounds_the_user():
    documents, seen = {}, []
    rule = {**TWO, "condition": {"at": {"$olderThan": "1d"}, "id": {"$inGroup": "ours"}}}
    compiled = compile_features(_feature(rule), {"ours": ["1"]})
    attributes = {"id": "1", "at": "2026-01-01"}
    # Without the present, the age of a time is unknown.
    assert compiled.evaluate(attributes, "f")["source"] == "defaultValue"
    scope = Scope(now=parse_moment("2026-02-01T00:00:00Z"))
    track = lambda *call: seen.append(call)  # noqa: E731
    result = compiled.evaluate(attributes, "f", scope=scope, documents=documents, track=track)
    assert result["source"] == "experiment"
    assert documents["id||1"]["assignments"] == {"exp__0": "1"}
    assert len(seen) == 1
    forced = compiled.evaluate(attributes, "f", forced_variations={"exp": 0})
    assert (forced["value"], forced["experimentResult"]["hashUsed"]) == ("a", False)


def test_results_are_the_callers_to_change():
    compiled = compile_features(
        {**_feature(TWO), "g": {"defaultValue": 1, "rules": [{"condition": {"a": 1}, "force": 2}]}}
    )
    for attributes, key in ((USER, "f"), (USER, "g"), ({"a": 1}, "g")):
        first = compiled.evaluate(attributes, key)
        kept = copy.deepcopy(first)
        for part in (first, first.get("experiment", {}), first.get("experimentResult", {})):
            part.clear()
        assert compiled.evaluate(attributes, key) == kept


BANDIT_RULE = {
    "key": "exp",
    "contextualVariations": ["a", "b"],
    "weights": [0.5, 0.5],
    "contextualBanditRef": "cb",
}


@pytest.mark.parametrize(
    ("bandit", "expected"),
    [
        (
            {"contexts": [{"leafId": 3, "condition": {"id": "1"}, "weights": [1, 0]}], "banditVersion": 2},
            (3, [1, 0], 2),
        ),
        ({"contexts": [{"leafId": 3, "condition": {"id": "2"}, "weights": [1, 0]}]}, (-1, [0.5, 0.5], None)),
        ({"contexts": [{"leafId": True, "weights": [1, 0]}]}, (-1, [0.5, 0.5], None)),
        ({"contexts": [{"leafId": 3, "weights": [1, 1]}]}, (-1, [0.5, 0.5], None)),
        ({"contexts": ["odd"], "banditVersion": "odd"}, (-1, [0.5, 0.5], None)),
        ([], (-1, [0.5, 0.5], None)),
        (None, (None, None, None)),
    ],
)
def test_a_contextual_bandit_reports_the_weights_that_were_drawn_from(bandit, expected):
    context = {"attributes": USER, "features": _feature(BANDIT_RULE), "contextualBandits": {"cb": bandit}}
    result = evaluate(context, "f")
    found = result["experimentResult"]
    assert (found.get("leafId"), found.get("variationWeights"), found.get("banditVersion")) == expected
    assert ("contextualBandit" in result["experiment"]) == (expected[0] is not None)
    # Nothing was drawn for a forced variation.
    forced = evaluate({**context, "forcedVariations": {"exp": 0}}, "f")
    assert "contextualBandit" not in forced["experiment"]
    assert "leafId" not in forced["experimentResult"]


def test_the_features_of_a_context_know_the_present():
    aged = {"at": {"$olderThan": "1d"}}
    context = {
        "attributes": {"id": "1", "at": "2020-01-01"},
        "features": _feature({**TWO, "condition": aged}),
    }
    assert evaluate(context, "f")["source"] == "experiment"
    alone = {"key": "exp", "variations": ["a", "b"], "condition": aged}
    assert run(context, alone)["inExperiment"]
    assert not run({**context, "attributes": {"id": "1", "at": "9000-01-01"}}, alone)["inExperiment"]
