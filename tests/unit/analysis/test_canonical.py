import hashlib

import pytest

from analysis.reports.canonical import ABSENT, canonical, content_hash, first_difference


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"b": 1, "a": [True, None, "x"]}, '{"a":[true,null,"x"],"b":1}'),
        ([1, 1.0, -0.0, 0.1, 1e16, 1e-7, 5e-324, 10**20], "[1,1.0,-0.0,0.1,1e+16,1e-07,5e-324,100000000000000000000]"),
        ({"é": '\u2028\n"\\\x01/'}, '{"é":"\u2028\\n\\"\\\\\\u0001/"}'),
        ({"Z": 0, "a": 0, "É": 0, "😀": 0, "\uffff": 0}, '{"Z":0,"a":0,"É":0,"\uffff":0,"😀":0}'),
    ],
)  # fmt: skip
def test_the_rules(value, text):
    assert canonical(value) == text.encode()
    assert content_hash(value) == hashlib.sha256(text.encode()).hexdigest()


@pytest.mark.parametrize(
    "value", [float("nan"), [float("inf")], {1: 2}, [{True: 1}], "\ud800", {"a": {1, 2}}]
)
def test_what_has_no_canonical_form_is_refused(value):
    with pytest.raises(ValueError):
        canonical(value)


@pytest.mark.parametrize(
    ("left", "right", "found"),
    [
        ({"a": 1}, {"a": 1}, None),
        ({"b": 1, "a": 1}, {"a": 2, "b": 2}, ("a", "1", "2")),
        ({"a": [1, 2]}, {"a": [1]}, ("a[1]", "2", ABSENT)),
        ({}, {"a": {"b": None}}, ("a", ABSENT, '{"b":null}')),
        ([{"a": 1}], [{"a": 1.0}], ("[0].a", "1", "1.0")),
        ({"a": 0.0}, {"a": -0.0}, ("a", "0.0", "-0.0")),
        ({"a": [1]}, {"a": {"0": 1}}, ("a", "[1]", '{"0":1}')),
    ],
)
def test_the_first_difference_is_named_by_its_path(left, right, found):
    assert first_difference(left, right) == found


def test_long_values_are_shown_in_part():
    path, left, right = first_difference({"a": "x" * 500}, {"a": "y"})
    assert (path, right) == ("a", '"y"')
    assert len(left) < 130
