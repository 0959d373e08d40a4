"""The official Python SDK answers random conditions as we do, wherever the SDKs agree among themselves.

Where they do not (checked against the JavaScript SDK, which the specification describes), we answer as JavaScript does:
a missing attribute counts as 0 beside a number and as version 0, true as 1, every list and object as true, and a number
is searched by a pattern as its text. There are four exceptions, all of values of the wrong type: null is not the text
"null", empty text is not 0, and lists and objects are neither text nor numbers. So types fit the operators here.
"""

from typing import Any

import pytest
from growthbook.core import evalCondition
from hypothesis import given, settings
from hypothesis import strategies as st

from targeting.conditions import matches

words = st.sampled_from(["", "a", "A", "b", "abc", "5", "true", "null", "é", "1.2.3"])
numbers = st.sampled_from([0, 1, -1, 5, 10, 1.5, -2.25, 10**12])
versions = st.sampled_from(["1.2.3", "2.0.0", "v1.10.0", "1.10.0-rc.1", "1.10.0-rc.2+build", "0.9"])
people = st.fixed_dictionaries(
    {},
    optional={
        "word": words,
        "number": numbers,
        "flag": st.booleans(),
        "version": versions,
        "words": st.lists(words, max_size=3),
        "numbers": st.lists(numbers, max_size=3),
        "home": st.fixed_dictionaries({}, optional={"city": words, "floor": numbers}),
        "orders": st.lists(
            st.fixed_dictionaries({}, optional={"total": numbers, "state": words}), max_size=3
        ),
    },
)
GROUPS: dict[str, Any] = {
    "some": ["a", 5],
    "typed": {"type": "list", "attributeKey": "word", "values": ["a", "b"]},
    "asked": {"type": "condition", "condition": {"number": {"$in": [1, 5]}}},
    "circle": {"type": "condition", "condition": {"$savedGroup": {"id": "circle"}}},
}


def one(names: list[str], operands: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.builds(lambda name, operand: {name: operand}, st.sampled_from(names), operands)


ORDERS = ["$lt", "$lte", "$gt", "$gte"]
anything = one(["$exists"], st.booleans()) | one(
    ["$type"], st.sampled_from(["string", "number", "boolean", "array", "object", "null"])
)
known = {"$exists": True}
"""Beside an order: missing attributes are where the SDKs differ."""
of_words = st.one_of(
    words,
    anything,
    one(["$eq", "$ne"], words),
    one(ORDERS, words).map(lambda test: known | test),
    one(["$in", "$nin", "$ini", "$nini"], st.lists(words, max_size=3)),
    one(["$regex", "$regexi"], st.sampled_from(["^a", "b$", "[A-C]", "", "(", r"\d"])).map(
        lambda t: known | t
    ),
    # SDKs disagree about what does not match a pattern that is none.
    one(["$notRegex", "$notRegexi"], st.sampled_from(["^a", "b$", "[A-C]", "", r"\d"])),
    one(["$inGroup", "$notInGroup"], st.sampled_from([*GROUPS, "none"])),
)
of_numbers = st.one_of(
    numbers.filter(bool),
    anything,
    one(["$eq", "$ne"], numbers),
    one(ORDERS, numbers).map(lambda test: known | test),
    one(["$in", "$nin"], st.lists(numbers, max_size=3)),
)
of_flags = st.one_of(st.booleans(), anything, one(["$eq", "$ne"], st.booleans()))
of_versions = one(["$veq", "$vne", "$vgt", "$vgte", "$vlt", "$vlte"], versions).map(lambda test: known | test)


def of_lists(
    entries: st.SearchStrategy[Any], tests: st.SearchStrategy[Any]
) -> st.SearchStrategy[dict[str, Any]]:
    return st.one_of(
        anything,
        one(["$all"], st.lists(entries, max_size=2)),
        one(["$in", "$nin"], st.lists(entries, max_size=2)),
        one(["$elemMatch"], tests.filter(lambda test: isinstance(test, dict))),
        one(["$size"], st.integers(0, 3) | one(ORDERS, st.integers(0, 3))),
    )


def about(path: str, tests: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    negated = tests.map(lambda test: {"$not": test} if isinstance(test, dict) else test)
    return (tests | negated).map(lambda test: {path: test})


clauses = st.one_of(
    about("word", of_words),
    about("number", of_numbers),
    about("flag", of_flags),
    about("version", of_versions),
    about("words", of_lists(words, of_words)),
    about("words", one(["$alli"], st.lists(words, max_size=2))),
    about("numbers", of_lists(numbers, of_numbers)),
    about("home.city", of_words),
    about("home.floor", of_numbers),
    about("missing", of_words | of_flags | st.none()),
    about("orders", one(["$elemMatch"], about("total", of_numbers) | about("state", of_words))),
    st.sampled_from([*GROUPS, "none"]).map(lambda name: {"$savedGroup": {"id": name}}),
)
conditions = st.recursive(
    clauses,
    lambda inner: st.one_of(
        one(["$and", "$or", "$nor"], st.lists(inner, max_size=3)),
        one(["$not"], inner),
        st.tuples(inner, inner).map(lambda both: both[0] | both[1]),
    ),
    max_leaves=5,
)


@settings(max_examples=1_000)
@given(condition=conditions, person=people)
def test_the_official_sdk_agrees(condition: dict[str, Any], person: dict[str, Any]) -> None:
    assert matches(condition, person, GROUPS) is evalCondition(person, condition, GROUPS)


@pytest.mark.parametrize(
    ("condition", "value", "ours"),
    [
        ({"x": {"$lt": 1}}, None, True),
        ({"x": {"$vlt": "1.0.0"}}, None, True),
        ({"x": 0}, None, True),
        ({"x": True}, [], True),
        ({"x": {"$gt": 0}}, "5", True),
        ({"x": {"$lt": 5}}, True, True),
        ({"x": {"$regex": r"\d"}}, 5, True),
        ({"x": {}}, "a", False),
    ],
)
def test_where_the_sdks_differ_we_answer_as_javascript(
    condition: dict[str, Any], value: Any, ours: bool
) -> None:
    assert matches(condition, {"x": value}) is ours
    assert evalCondition({"x": value}, condition) is not ours
