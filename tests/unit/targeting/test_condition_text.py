"""The text form of conditions: what can be written, what it becomes, and what is said when it is wrong."""

import pytest

from experiments.errors import Invalid
from targeting.conditions.advice import unknown_attributes
from targeting.conditions.text import MAX_TEXT, condition_of, parse_text, print_text


@pytest.mark.parametrize(
    ("text", "condition"),
    [
        ('country in ("NL","BR") and last_order older than 30 days', {"country": {"$in": ["NL", "BR"]}, "last_order": {"$olderThan": "30d"}}),
        ("vip = true", {"vip": True}),
        ("vip is true and age is not 5", {"vip": True, "age": {"$ne": 5}}),
        ("age >= 18 and age < 65", {"age": {"$gte": 18, "$lt": 65}}),
        ("a = 1 and a = 2", {"a": 1, "$and": [{"a": 2}]}),
        ("a = 1 or b = 2 and c = 3", {"$or": [{"a": 1}, {"b": 2, "c": 3}]}),
        ("(a = 1 or b = 2) and c = 3", {"$or": [{"a": 1}, {"b": 2}], "c": 3}),
        ("not (a = 1 or b = 2)", {"$nor": [{"a": 1}, {"b": 2}]}),
        ("not a = 1", {"$not": {"a": 1}}),
        ("a == 5", {"a": {"$eq": 5}}),
        ("a != null", {"a": {"$ne": None}}),
        ('a = ["x", {"y": [1.5, null]}]', {"a": ["x", {"y": [1.5, None]}]}),
        ("a NOT IN ('x', 5) Or b Is Set", {"$or": [{"a": {"$nin": ["x", 5]}}, {"b": {"$exists": True}}]}),
        ('a in ("x") ignoring case', {"a": {"$ini": ["x"]}}),
        ("a is not set", {"a": {"$exists": False}}),
        ('tags contains "vip"', {"tags": {"$all": ["vip"]}}),
        ('tags contains all ("a", (it > 5 and not it = 7)) ignoring case', {"tags": {"$alli": ["a", {"$gt": 5, "$not": 7}]}}),
        ('tags contains any ("a", "b")', {"tags": {"$in": ["a", "b"]}}),
        ("seen newer than 90m", {"seen": {"$newerThan": "90m"}}),
        ("seen is older than 1.5 days", {"seen": {"$olderThan": "36h"}}),
        (r"path matches /^\/a b\/\d+$/i", {"path": {"$regexi": r"^/a b/\d+$"}}),
        ('a matches "a\\nb" ignoring case', {"a": {"$regexi": "a\nb"}}),
        (r"a does not match /^b\/c/i", {"a": {"$notRegexi": "^b/c"}}),
        ('a does not match "b"', {"a": {"$notRegex": "b"}}),
        ('app >= version "2.14.0" and app != version 3', {"app": {"$vgte": "2.14.0", "$vne": 3}}),
        ("a is of type string and b is a list", {"a": {"$type": "string"}, "b": {"$type": "array"}}),
        ("a in group beta and b not in group 'x y'", {"a": {"$inGroup": "beta"}, "b": {"$notInGroup": "x y"}}),
        ("length of tags >= 2", {"tags": {"$size": {"$gte": 2}}}),
        ("length of tags where (it >= 2 and it < 5)", {"tags": {"$size": {"$gte": 2, "$lt": 5}}}),
        ("any of scores where (it > 5)", {"scores": {"$elemMatch": {"$gt": 5}}}),
        ('any of orders where (total > 5 and state = "x")', {"orders": {"$elemMatch": {"total": {"$gt": 5}, "state": "x"}}}),
        ("any of orders where (not total = 5)", {"orders": {"$elemMatch": {"$and": [{"$not": {"total": 5}}]}}}),
        ("any of rows where (any of it where (it = 1))", {"rows": {"$elemMatch": {"$elemMatch": {"$not": {"$not": 1}}}}}),
        ('`seen at` is set and `and`.x = 1 and address.city = "Ghent"', None),
        ('`seen at` is set and `and` = 1 and address.city = "Ghent"', {"seen at": {"$exists": True}, "and": 1, "address.city": "Ghent"}),
        ("`it` = 1 and `a\\`b\\\\` = 2", {"it": 1, "a`b\\": 2}),
        ('did "Order Completed"', {"$event": {"name": "Order Completed"}}),
        (
            'did "Order Completed" at least 2 times within 30 days where revenue > 50',
            {"$event": {"name": "Order Completed", "count": {"$gte": 2}, "within": "30d", "properties": {"revenue": {"$gt": 50}}}},
        ),
        ("did not do Opened in the last 4 weeks", {"$event": {"name": "Opened", "within": "28d", "count": 0}}),
        ("did not do Opened at least twice", {"$not": {"$event": {"name": "Opened", "count": {"$gte": 2}}}}),
        ("did Opened at least once", {"$event": {"name": "Opened"}}),
        ("did Opened exactly 3 times", {"$event": {"name": "Opened", "count": 3}}),
        ("did Opened more than 1 but fewer than 5 times", {"$event": {"name": "Opened", "count": {"$gt": 1, "$lt": 5}}}),
        ("did Opened one of (1, 3) times", {"$event": {"name": "Opened", "count": {"$in": [1, 3]}}}),
        ("in segment vip and not in segment (a, 'b c')", {"$inSegment": "vip", "$not": {"$inSegment": ["a", "b c"]}}),
        ("everyone", {}),
        ("nobody", {"$not": {}}),
    ],
)  # fmt: skip
def test_what_can_be_written(text, condition):
    if condition is None:
        with pytest.raises(Invalid):
            parse_text(text)
        return
    read = parse_text(text)
    assert read == condition
    assert parse_text(print_text(read)) == read


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", 'line 1, column 1: expected a clause such as country = "NL" or did "Signed Up"; found the end'),
        ("country = NL", r'line 1, column 11: expected a value such as "NL" or 5 or true.*; found `NL`; text stands in quotes'),
        ("age > 5\n  and\n  vip", "line 3, column 6: expected a comparison such as .*; found the end"),
        ("a = 5 b = 6", "line 1, column 7: expected and, or, the end; found `b`"),
        ("(a = 5", "line 1, column 7: expected .*; found the end"),
        ("a & b", "line 1, column 3: .*; found `&`"),
        ("a older than thirty days", "column 14: expected a duration such as 30 days; found `thirty`"),
        ("a older than 99999999999 weeks", "column 14: .*longer than a duration can be"),
        ("any of a where (it > 1 or it < 0)", "column 27: `or` cannot join tests of `it`"),
        ("any of a where (it > 1 and b = 2)", "column 28: write either of `it`"),
        ("any of a where (it != 1 and it != 2)", "column 29: the same comparison of `it` twice"),
        ("length of a where (b = 2)", "a length has no fields"),
        ("did X where (it = 2)", "an event has properties"),
        ("a contains all ((b = 2))", "an entry is tested as `it`"),
        ("it = 5", "stands only behind `where`"),
        ("did X within 2 days within 3 days", "column 21: within is said twice"),
        ("did X at least 2 but at least 3 times", "`at least` is said twice"),
        ('a = "x\\q"', r"column 5: .* is no text"),
        ("a = 1e999", "too large"),
        ("not " * 200 + "a = 1", "nested too deep"),
        ("(" * 20_000, "found the end"),
        ("a" * (MAX_TEXT + 1), "at most 200,000 characters"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_with_its_place_on_one_line(text, message):
    with pytest.raises(Invalid, match=message) as caught:
        parse_text(text, field="audience.condition")
    assert [problem.field for problem in caught.value.problems] == ["audience.condition"]
    assert "\n" not in str(caught.value)


def test_a_condition_is_taken_in_either_form_and_its_values_are_checked():
    assert condition_of({"a": 1}) == condition_of("a = 1") == {"a": 1}
    for sent in ({"a": {"$regex": "(a+)+"}}, "a matches /(a+)+/"):
        with pytest.raises(Invalid, match="take for ever") as caught:
            condition_of(sent, field="x")
        assert [problem.field for problem in caught.value.problems] == ["x.a.$regex"]
    for sent in (None, 5, ["a"]):
        with pytest.raises(Invalid, match="a condition is an object"):
            condition_of(sent)


def test_long_lists_of_values_are_read():
    values = [f"user {number}" for number in range(10_000)]
    assert parse_text(print_text({"id": {"$in": values}})) == {"id": {"$in": values}}


def test_unknown_attributes_are_advised_about():
    known = {"country", "age", "last_order_at"}
    assert unknown_attributes({"country": "NL", "age": 5}, known) == []
    assert unknown_attributes({"Contry": "NL", "$or": [{"zzz.x": 1}], "$groups": 1}, known) == [
        "`Contry` is no known attribute; did you mean `country`?",
        "`zzz` is no known attribute",
    ]
    assert unknown_attributes({"anything": 1}, set()) == []
