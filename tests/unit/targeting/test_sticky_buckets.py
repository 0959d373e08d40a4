"""Sticky buckets: the documents, and what they do to an experiment."""

import copy

import pytest

from targeting.features import run
from targeting.features.sticky_buckets import (
    assignments_of,
    bucket_key,
    documents_of,
    is_blocked,
    save,
    variation_of,
)

EXPERIMENT = {
    "key": "exp",
    "variations": ["a", "b", "c"],
    "weights": [1.0, 0.0, 0.0],
    "meta": [{"key": "A"}, {"key": "B"}, {"key": "C"}],
    "fallbackAttribute": "device",
}


def _document(attribute, value, **assignments):
    return {"attributeName": attribute, "attributeValue": value, "assignments": assignments}


def _run(documents, attributes=None, **changes):
    context = {"attributes": attributes or {"id": "1"}, "stickyBucketAssignmentDocs": documents}
    return run(context, {**EXPERIMENT, **changes})


def test_a_stored_variation_holds_whatever_now_keeps_others_out():
    documents = {"id||1": _document("id", "1", exp__0="B")}
    before = copy.deepcopy(documents)
    kept_out = {
        "condition": {"id": "2"},
        "filters": [],
        "namespace": ["n", 0, 0],
        "coverage": 0,
        "parentConditions": [{"id": "x", "condition": {"value": 1}}],
        "groups": ["nobody"],
    }
    result = _run(documents, **kept_out)
    assert (result["value"], result["stickyBucketUsed"], result["hashUsed"]) == ("b", True, True)
    assert documents == before
    # What is said of the experiment itself still counts.
    assert not _run(documents, active=False)["inExperiment"]
    assert not _run(documents, status="stopped")["inExperiment"]
    assert _run(documents, disableStickyBucketing=True)["value"] == "a"


def test_the_own_document_wins_over_that_of_the_fallback_and_neither_is_changed_in_place():
    own, other = _document("id", "1", exp__0="B"), _document("device", "d", exp__0="C", other__0="x")
    documents = {"id||1": own, "device||d": other}
    attributes = {"id": "1", "device": "d"}
    assert _run(documents, attributes)["value"] == "b"
    del documents["id||1"]
    assert _run(documents, attributes)["value"] == "c"
    # The user is known by id now: what the device held is saved there, and only that.
    assert documents["id||1"] == _document("id", "1", exp__0="C")
    assert other == _document("device", "d", exp__0="C", other__0="x")


def test_a_user_without_the_attribute_is_hashed_and_saved_under_the_fallback():
    documents = {}
    result = _run(documents, {"device": 5})
    assert (result["hashAttribute"], result["hashValue"], result["value"]) == ("device", 5, "a")
    assert documents == {"device||5": _document("device", "5", exp__0="A")}


def test_blocked_by_an_older_version():
    documents = {"id||1": _document("id", "1", exp__1="B")}
    result = _run(documents, bucketVersion=2, minBucketVersion=2)
    assert (result["inExperiment"], result["stickyBucketUsed"]) == (False, True)
    assert _run(documents, bucketVersion=2, minBucketVersion=1)["value"] == "a"


@pytest.mark.parametrize(
    ("version", "blocked"),
    [
        ("0", True),
        ("1", True),
        ("2", False),
        ("01", False),
        ("-1", False),
        ("x", False),
        ("²", False),
        ("9" * 30, False),
    ],
)
def test_which_versions_block(version, blocked):
    # Only the documents are looked through, however high the least version is.
    least = 2
    assert is_blocked({f"exp__{version}": "A", "other__0": "A"}, "exp", least) is blocked


@pytest.mark.parametrize("least", [None, 0, -1, "2", True])
def test_without_a_least_version_nobody_is_blocked(least):
    assert not is_blocked({"exp__0": "A"}, "exp", least)


def test_a_huge_least_version_takes_no_longer():
    assert is_blocked({"exp__7": "A"}, "exp", 10**18)


def test_a_list_of_documents_becomes_a_dict_by_key():
    documents = documents_of([_document("id", "1", exp__0="B"), "odd"])
    assert documents == {"id||1": _document("id", "1", exp__0="B")}
    assert documents_of(documents) is documents
    assert documents_of("odd") == {}


@pytest.mark.parametrize("odd", [None, 5, "x", [], {"assignments": 5}, {"assignments": ["x"]}])
def test_odd_documents_hold_nothing(odd):
    documents = {"id||1": odd}
    assert _run(documents)["stickyBucketUsed"] is False
    assert documents["id||1"] == _document("id", "1", exp__0="A")


def test_assignments_and_their_keys():
    documents = {"a": {"assignments": {"x": "1"}}, "b": {"assignments": {"x": "2", "y": "3"}}}
    assert assignments_of(documents, ["a", "b", "missing"]) == {"x": "1", "y": "3"}
    assert [bucket_key("e", version) for version in (None, 0, 3, 2.0, "odd")] == [
        "e__0",
        "e__0",
        "e__3",
        "e__2",
        "e__0",
    ]
    metas = ["odd", {"key": "B"}]
    assert [variation_of({"e": held}, "e", metas) for held in ("B", "C", 5)] == [1, -1, -1]


def test_saving_what_is_known_changes_nothing():
    documents = {"id||1": _document("id", "1", exp__0="B")}
    held = documents["id||1"]
    save(documents, attribute="id", value="1", key="exp__0", variation="B")
    assert documents["id||1"] is held
    save(documents, attribute="id", value="1", key="exp__1", variation="C")
    assert documents["id||1"] == _document("id", "1", exp__0="B", exp__1="C")
    assert held == _document("id", "1", exp__0="B")
