"""Features, experiments and contexts of unknown shape: evaluation answers, and never raises."""

import pytest

from targeting.features import evaluate, run

TWO = {"key": "exp", "variations": ["a", "b"], "seed": "my-test"}
USER = {"id": "1"}  # "b" in TWO


def _feature(*rules):
    return {"f": {"defaultValue": "default", "rules": list(rules)}}


ODD = [
    None,
    True,
    0,
    1,
    -1,
    1.5,
    float("nan"),
    10**400,
    "",
    "x",
    [],
    [1],
    {},
    {"x": 1},
    [{}],
    [[]],
    (),
    object(),
]
RULE_NAMES = (
    "id", "force", "variations", "weights", "coverage", "range", "ranges", "condition", "namespace", "filters", "key",
    "hashAttribute", "hashVersion", "seed", "meta", "name", "parentConditions", "tracks", "urlPatterns", "url", "status",
    "active", "groups", "include", "fallbackAttribute", "disableStickyBucketing", "bucketVersion", "minBucketVersion",
    "contextualVariations", "contextualBanditRef",
)  # fmt: skip
CONTEXT_NAMES = (
    "attributes", "features", "savedGroups", "forcedVariations", "forcedFeatureValues", "url", "enabled", "qaMode",
    "overrides", "groups", "contextualBandits", "stickyBucketAssignmentDocs", "trackingCallback", "attributeOverrides",
)  # fmt: skip


@pytest.mark.parametrize("name", RULE_NAMES)
def test_an_odd_rule_never_raises(name):
    for odd in ODD:
        rule = {"variations": ["a", "b"], "meta": [{"key": "0"}, {"key": "1"}], name: odd}
        context = {"attributes": USER, "features": _feature(rule), "stickyBucketAssignmentDocs": {}}
        assert set(evaluate(context, "f")) >= {"value", "on", "off", "source", "ruleId"}
        assert "inExperiment" in run(context, {**TWO, **rule})


@pytest.mark.parametrize("name", CONTEXT_NAMES)
def test_an_odd_context_never_raises(name):
    for odd in ODD:
        context = {"attributes": USER, "features": _feature(TWO), name: odd}
        assert "source" in evaluate(context, "f")
        assert "inExperiment" in run(context, TWO)


@pytest.mark.parametrize("odd", ODD, ids=range(len(ODD)))
def test_odd_features_and_experiments_are_as_good_as_none(odd):
    assert evaluate({"features": {"f": odd}}, "f")["value"] is None
    assert evaluate({"features": {"f": {"rules": odd}}}, "f")["source"] == "defaultValue"
    assert evaluate({"features": {"f": {"rules": [odd]}}}, "f")["source"] == "defaultValue"
    assert evaluate(odd, "f")["source"] == "unknownFeature"
    assert run({"attributes": USER}, odd)["inExperiment"] is False


def test_a_deeply_nested_condition_matches_nobody_and_raises_nothing():
    condition = {"id": "1"}
    for _ in range(5_000):
        condition = {"$not": condition}
    features = _feature({"condition": condition, "force": "in"})
    assert evaluate({"attributes": USER, "features": features}, "f")["value"] == "default"
