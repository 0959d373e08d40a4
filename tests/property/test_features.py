"""Our evaluation agrees with the official Python SDK on random features and users.

Left out is where the two SDKs of GrowthBook differ and we follow the JavaScript one:
- a rule that forces null (the Python SDK takes it for no force rule);
- the condition of an experiment rule is not asked of a user whose variation is forced or sticky (the Python SDK asks first);
- a document of the fallback attribute is merged in place by the Python SDK; we leave it as it is;
- an empty list of filters still takes the place of a namespace (not in the Python SDK);
- somebody who falls into a range that belongs to no variation is saved by the SDKs as having the first one; we save nothing;
- URL patterns, forced feature values and the letters after the digits of a variation in a query string.
"""

import copy
import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from targeting.features import compile_features, evaluate

growthbook = pytest.importorskip("growthbook")
KEYS = ("f", "g", "h")
ATTRIBUTES = ("id", "device", "country", "age", "tags")

unit_ids = st.one_of(
    st.sampled_from(["", "1", "2", "u42", "é", "\U0001f600", None, 0, 7, 7.0, 1.5, True, False]),
    st.text(max_size=5),
    st.lists(st.just("a"), max_size=1),
)
attributes = st.fixed_dictionaries(
    {},
    optional={
        "id": unit_ids,
        "device": unit_ids,
        "country": st.sampled_from(["NL", "BR", "US"]),
        "age": st.integers(0, 99),
        "tags": st.lists(st.sampled_from(["vip", "new", "old"]), max_size=3),
    },
)
clauses = st.one_of(
    st.fixed_dictionaries({"country": st.sampled_from(["NL", {"$in": ["NL", "BR"]}, {"$ne": "US"}])}),
    st.fixed_dictionaries({"age": st.fixed_dictionaries({"$gte": st.integers(0, 99)})}),
    st.fixed_dictionaries(
        {"tags": st.sampled_from([{"$in": ["vip"]}, {"$all": ["vip", "new"]}, {"$size": 2}])}
    ),
    st.just({"id": {"$inGroup": "ours"}}),
)
conditions = st.one_of(
    clauses,
    st.builds(lambda parts: {"$or": parts}, st.lists(clauses, max_size=2)),
    st.builds(lambda part: {"$not": part}, clauses),
)
shares = st.sampled_from([0, 0.1, 0.25, 0.5, 0.9, 1])
ranges = st.tuples(shares, shares).map(sorted)
hashing = {
    "hashAttribute": st.sampled_from(ATTRIBUTES[:2]),
    "fallbackAttribute": st.sampled_from(ATTRIBUTES[:2]),
    "hashVersion": st.sampled_from([1, 2, 3]),
    "seed": st.sampled_from(["seed", "\U0001f600"]),
    "coverage": shares,
    "condition": conditions,
    "id": st.sampled_from(["r1", "r2"]),
    "filters": st.lists(
        st.fixed_dictionaries(
            {"seed": st.just("s"), "ranges": st.lists(ranges, max_size=2)},
            optional={"attribute": st.sampled_from(ATTRIBUTES[:2]), "hashVersion": st.sampled_from([1, 2])},
        ),
        min_size=1,
        max_size=2,
    ),
    "parentConditions": st.lists(
        st.fixed_dictionaries(
            {"id": st.sampled_from([*KEYS, "unknown"])},
            optional={
                "condition": st.sampled_from(
                    [{"value": "b"}, {"value": {"$ne": "a"}}, {"value": {"$exists": True}}]
                ),
                "gate": st.booleans(),
            },
        ),
        min_size=1,
        max_size=2,
    ),
}
force_rules = st.fixed_dictionaries(
    {"force": st.sampled_from(["a", "b", 0, False, {"x": [1]}])}, optional={**hashing, "range": ranges}
)
experiment_rules = st.fixed_dictionaries(
    {"variations": st.lists(st.sampled_from(["a", "b", "c", 0, {"x": 1}]), min_size=1, max_size=3)},
    optional={
        **hashing,
        "key": st.sampled_from(["e1", "e2"]),
        "weights": st.sampled_from([[0.5, 0.5], [0.2, 0.3, 0.5], [0.9, 0.1], [1, 1], [1.5, -0.5]]),
        "ranges": st.lists(ranges, min_size=1, max_size=3),
        "namespace": st.tuples(st.just("n"), shares, shares).map(list),
        "meta": st.lists(
            st.fixed_dictionaries(
                {},
                optional={
                    "key": st.sampled_from(["k1", "k2"]),
                    "name": st.just("N"),
                    "passthrough": st.booleans(),
                },
            ),
            min_size=3,
            max_size=3,
        ),
    },
)
features = st.fixed_dictionaries(
    {},
    optional={
        key: st.fixed_dictionaries(
            {"defaultValue": st.sampled_from(["a", "b", None, 0])},
            optional={"rules": st.lists(st.one_of(force_rules, experiment_rules), max_size=3)},
        )
        for key in KEYS
    },
)
groups = st.fixed_dictionaries({}, optional={"ours": st.just(["1", "u42", 7])})


@pytest.fixture(autouse=True)
def _quiet():
    logging.getLogger("growthbook").setLevel(logging.CRITICAL)


def _theirs(features, attributes, saved_groups, **more):
    sdk = growthbook.GrowthBook(
        attributes=attributes, features=features, savedGroups=saved_groups, **copy.deepcopy(more)
    )
    return sdk.eval_feature("f").to_dict()


def _seen(result):
    """What both report, in one form: the SDK's experiment has its defaults spelled out."""
    found = {name: result[name] for name in ("value", "on", "off", "source", "ruleId")}
    if "experiment" in result:
        found["experiment"] = result["experiment"]["key"]
        found["result"] = result["experimentResult"]
    return found


@given(features=features, attributes=attributes, saved_groups=groups)
def test_features_agree_with_the_sdk(features, attributes, saved_groups):
    theirs = _seen(_theirs(features, attributes, saved_groups))
    context = {"attributes": attributes, "features": features, "savedGroups": saved_groups}
    assert _seen(evaluate(context, "f")) == theirs
    compiled = compile_features(features, saved_groups)
    assert _seen(compiled.evaluate(attributes, "f")) == theirs


def _without(rule, *names):
    return {name: value for name, value in rule.items() if name not in names}


rule_without_condition = experiment_rules.map(lambda rule: _without(rule, "condition"))


@given(
    rule=rule_without_condition,
    attributes=attributes,
    forced=st.dictionaries(st.sampled_from(["e1", "e2", "f"]), st.integers(-1, 3)),
    query=st.sampled_from(["", "?e1=1", "?e2=0&e1=2", "?f=9"]),
    enabled=st.booleans(),
    qa_mode=st.booleans(),
)
def test_what_a_context_forces_agrees_with_the_sdk(rule, attributes, forced, query, enabled, qa_mode):
    features = {"f": {"defaultValue": "none", "rules": [rule]}}
    url = f"https://example.org/{query}" if query else ""
    theirs = _theirs(
        features, attributes, {}, forcedVariations=forced, url=url, enabled=enabled, qaMode=qa_mode
    )
    context = {"attributes": attributes, "features": features, "forcedVariations": forced}
    ours = evaluate({**context, "url": url, "enabled": enabled, "qaMode": qa_mode}, "f")
    assert _seen(ours) == _seen(theirs)


@given(
    rule=rule_without_condition,
    attributes=attributes.map(lambda user: {**user, "id": "1"}),
    held=st.dictionaries(
        st.sampled_from(["e1__0", "e2__0", "f__0", "f__1", "e1__2"]), st.sampled_from(["k1", "k2"])
    ),
    versions=st.fixed_dictionaries(
        {}, optional={"bucketVersion": st.integers(0, 2), "minBucketVersion": st.integers(0, 3)}
    ),
)
def test_sticky_buckets_agree_with_the_sdk(rule, attributes, held, versions):
    rule = _without(rule, "fallbackAttribute") | versions
    if "ranges" in rule:
        rule["ranges"] = rule["ranges"][: len(rule["variations"])]
    features = {"f": {"defaultValue": "none", "rules": [rule]}}
    documents = {"id||1": {"attributeName": "id", "attributeValue": "1", "assignments": held}}
    service = growthbook.InMemoryStickyBucketService()
    service.docs = copy.deepcopy(documents)
    sdk = growthbook.GrowthBook(attributes=attributes, features=features, sticky_bucket_service=service)
    theirs = sdk.eval_feature("f").to_dict()
    context = {"attributes": attributes, "features": features, "stickyBucketAssignmentDocs": documents}
    assert _seen(evaluate(context, "f")) == _seen(theirs)
    assert documents == service.docs
