"""The public cases of the GrowthBook SDK specification: hashing, bucketing, conditions, features, experiments, sticky buckets."""

import copy
import json
from pathlib import Path

import pytest

from targeting.bucketing import (
    bucket_ranges,
    choose_variant,
    choose_variants,
    equal_weights,
    hash_unit,
    hash_units,
)
from targeting.bucketing import in_namespace as falls_in
from targeting.conditions import Scope, compile_condition, matches
from targeting.features import compile_features, evaluate, run

FILE = Path(__file__).resolve().parents[2].parent / "shared" / "conformance" / "growthbook-cases.json"
pytestmark = pytest.mark.skipif(
    not FILE.is_file(),
    reason=f"not run: no {FILE.parent.name}/{FILE.name} in the folder `shared` beside the repository",
)


def _cases(section):
    if not FILE.is_file():
        return []
    cases = json.loads(FILE.read_text(encoding="utf-8"))[section]
    return [pytest.param(*case, id=f"{index}-{case[0]}") for index, case in enumerate(cases)]


@pytest.mark.parametrize(("seed", "value", "version", "expected"), _cases("hash"))
def test_hash(seed, value, version, expected):
    assert hash_unit(seed, value, version) == expected
    assert version not in {1, 2} or hash_units(seed, [value], version).tolist() == [expected]


@pytest.mark.parametrize(("name", "arguments", "expected"), _cases("getBucketRange"))
def test_bucket_ranges(name, arguments, expected):
    ranges = bucket_ranges(*arguments)
    assert [pytest.approx(pair, abs=1e-9) for pair in expected] == ranges


@pytest.mark.parametrize(("name", "unit", "ranges", "expected"), _cases("chooseVariation"))
def test_choose_variant(name, unit, ranges, expected):
    import numpy as np

    assert choose_variant(unit, ranges) == expected
    assert choose_variants(np.array([unit]), ranges).tolist() == [expected]


@pytest.mark.parametrize(("name", "unit", "namespace", "expected"), _cases("inNamespace"))
def test_in_namespace(name, unit, namespace, expected):
    assert falls_in(unit, tuple(namespace)) is expected


@pytest.mark.parametrize(("n", "expected"), _cases("getEqualWeights"))
def test_equal_weights(n, expected):
    assert equal_weights(n) == pytest.approx(expected)


def _condition_cases():
    if not FILE.is_file():
        return []
    cases = json.loads(FILE.read_text(encoding="utf-8"))["evalCondition"]
    return [
        pytest.param(condition, attributes, expected, *(groups or [None]), id=f"{index}-{name}")
        for index, (name, condition, attributes, expected, *groups) in enumerate(cases)
    ]


@pytest.mark.parametrize(("condition", "attributes", "expected", "saved_groups"), _condition_cases())
def test_condition(condition, attributes, expected, saved_groups):
    assert matches(condition, attributes, saved_groups) is expected
    assert compile_condition(condition)(attributes, Scope(groups=saved_groups)) is expected


@pytest.mark.parametrize(("name", "context", "key", "expected"), _cases("feature"))
def test_feature(name, context, key, expected):
    before = copy.deepcopy(context)
    assert evaluate(context, key) == expected
    assert context == before
    if not context.keys() - {"attributes", "features", "savedGroups"}:
        features = compile_features(context.get("features", {}), context.get("savedGroups"))
        assert features.evaluate(context.get("attributes", {}), key) == expected


@pytest.mark.parametrize(
    ("name", "context", "experiment", "value", "in_experiment", "hash_used"), _cases("run")
)
def test_run(name, context, experiment, value, in_experiment, hash_used):
    result = run(context, experiment)
    assert (result["value"], result["inExperiment"], result["hashUsed"]) == (value, in_experiment, hash_used)


@pytest.mark.parametrize(
    ("name", "context", "documents", "key", "expected", "expected_documents"), _cases("stickyBucket")
)
@pytest.mark.parametrize("as_list", [False, True], ids=["dict", "list"])
def test_sticky_bucket(name, context, documents, key, expected, expected_documents, as_list):
    given = copy.deepcopy(documents)
    by_key = {f"{each['attributeName']}||{each['attributeValue']}": each for each in given}
    context = {**context, "stickyBucketAssignmentDocs": given if as_list else by_key}
    assert evaluate(context, key).get("experimentResult") == expected
    assert context["stickyBucketAssignmentDocs"] == expected_documents
    assert as_list or by_key == expected_documents
