"""Conditions: how values compare, what our extensions mean, what validation refuses, how a condition reads."""

import re
from datetime import UTC, datetime

import pytest
from sqlalchemy import column
from sqlalchemy.dialects import postgresql, sqlite

from experiments.errors import Invalid
from targeting.conditions import Occurrence, Scope, compile_condition, describe, matches, validate_condition
from targeting.conditions.sql import MAX_CLAUSES, MAX_LIST, compile_sql, is_sql_expressible, split
from targeting.conditions.values import Members, days_since_1970, number_text, number_written_as, time_micros

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("condition", "value", "expected"),
    [
        # A value without an operator compares as JavaScript's == does between scalars ..
        (5, "5", True),
        (5, "05", True),
        (5, "five", False),
        (1, True, True),
        (0, None, True),
        ("5", 5, True),
        ("5.0", 5.0, False),
        ("1e+21", 1e21, True),
        ("true", True, True),
        (True, "yes", True),
        (True, [], True),
        (False, "", True),
        (False, 0.0, True),
        (True, float("nan"), False),
        # .. but null is not the text "null", and lists are not their only entry.
        ("null", None, False),
        ("a", ["a"], False),
        (5, [5], False),
        ({"a": 1, "b": [True]}, {"b": [True], "a": 1.0}, True),
        ({"a": 1}, {"a": True}, False),
        ([], [], True),
        ({}, {}, True),
        # Operators of equality are strict.
        ({"$eq": 1}, True, False),
        ({"$eq": 1}, 1.0, True),
        ({"$eq": "5"}, 5, False),
        ({"$ne": None}, None, False),
        ({"$in": [1, None]}, None, True),
        ({"$in": [1]}, True, False),
        ({"$in": [True]}, [False, True], True),
        ({"$nin": ["a"]}, None, True),
        ({"$ini": ["É"]}, "é", True),
        # Order: text by code point, everything else as numbers, what is no number in no order.
        ({"$gt": "Z"}, "a", True),
        ({"$gt": 9}, "10", True),
        ({"$gt": "9"}, 10, True),
        ({"$gt": "9"}, "10", False),
        ({"$lt": "x"}, 1, False),
        ({"$gte": 0}, None, True),
        ({"$lte": 0}, False, True),
        ({"$lt": 5}, [1], False),
        ({"$lt": 5}, {}, False),
        ({"$lt": 5}, "", False),
        ({"$elemMatch": {"$lt": 5}}, [9, 0], True),
        ({"$elemMatch": {"$or": [{"a": 1}, {"b": 2}]}}, [{"b": 2}], True),
        ({"$elemMatch": {"$ne": "a"}}, [None], False),
        ({"$size": "2"}, [1, 2], True),
        ({"$size": 0}, None, False),
        ({"$all": []}, [], True),
        ({"$all": [{"$gt": 3}, "a"]}, ["a", 4], True),
        ({"$type": "null"}, None, True),
        ({"$type": "number"}, True, False),
        ({"$exists": True}, False, True),
        ({"$regex": r"^\d+$"}, 42, True),
        ({"$regex": r"^\d+$"}, "4\u0662", False),
        ({"$regex": "b$"}, "ab\n", False),
        ({"$regex": "(?<x>a)\\k<x>"}, "aa", True),
        ({"$regex": "[$[]"}, "cost: $", True),
        ({"$regex": "null"}, None, False),
        ({"$regexi": "^ÉT"}, "été", True),
        ({"$notRegex": "^a"}, "ba", True),
        ({"$notRegex": "^a"}, "ab", False),
        ({"$notRegex": "^1"}, 12, False),
        ({"$notRegex": "."}, None, True),
        ({"$notRegex": "("}, "a", False),
        ({"$notRegexi": "^ÉT"}, "été", False),
        ({"$notRegexi": "^ÉT"}, "thé", True),
        ({"$vgt": "2.9"}, "2.10", True),
        ({"$vlt": "1.0.0"}, None, True),
        ({"$veq": 2}, "2", True),
    ],
)
def test_one_value(condition, value, expected):
    assert matches({"x": condition}, {"x": value}) is expected
    assert matches({"x": {"$not": condition}}, {"x": value}) is not expected


def test_paths_reach_into_objects_and_lists():
    person = {"orders": [{"total": 5}, {"total": 7}], "address": {"city": "Ghent"}}
    assert matches({"address.city": "Ghent", "orders.1.total": 7, "orders.length": 2}, person)
    assert not matches({"orders.01.total": {"$exists": True}}, person)
    assert matches({"address.city.street": None, "orders.9": None, "orders.x": None}, person)


@pytest.mark.parametrize(
    "malformed", [None, [], "x", {"$and": 5}, {"$or": None}, {"$not": []}, {"$and": [1]}]
)
def test_a_malformed_condition_matches_nobody(malformed):
    assert compile_condition(malformed)({"a": 1}, Scope()) is False


def test_saved_groups_may_be_lists_or_prepared_members():
    for group in (["vip", 7], {"vip", 7}, Members(["vip", 7])):
        assert matches({"tags": {"$inGroup": "g"}}, {"tags": ["new", "vip"]}, {"g": group})
        assert not matches({"id": {"$notInGroup": "g"}}, {"id": 7}, {"g": group})
    for groups in (None, {}):
        assert not matches({"id": {"$inGroup": "g"}}, {"id": "v"}, groups)
        assert matches({"id": {"$notInGroup": "g"}}, {"id": "v"}, groups)
    # Of a group that cannot be read nobody knows who is outside of it either.
    for group in ("vip", None, {"type": "list", "values": "v"}, {"type": "from the future"}):
        assert not matches({"id": {"$inGroup": "g"}}, {"id": "v"}, {"g": group})
        assert not matches({"id": {"$notInGroup": "g"}}, {"id": "v"}, {"g": group})


@pytest.mark.parametrize(
    ("moment", "older"),
    [
        ("2026-02-28T11:59:59.999999Z", True),
        ("2026-02-28T12:00:00Z", False),
        ("2026-02-28T12:00:00", False),
        ("2026-02-28 13:30+02:00", True),
        ("2026-02-28", True),
        ("2026-03-02", False),
        ("2026-02-30T11:00Z", False),
    ],
)
def test_every_known_time_is_either_older_or_newer(moment, older):
    assert matches({"at": {"$olderThan": "24h"}}, {"at": moment}, now=NOW) is older
    assert matches({"at": {"$newerThan": "1d"}}, {"at": moment}, now=NOW) is not older


@pytest.mark.parametrize(
    "odd", [None, 5, "", "yesterday", "2026-02-28T25:00", "2026-2-3", "2026-02-28T12:00Z\n", [], {}]
)
def test_what_is_no_time_has_no_age(odd):
    assert not matches({"at": {"$olderThan": "0d"}}, {"at": odd}, now=NOW)
    assert not matches({"at": {"$newerThan": "0d"}}, {"at": odd}, now=NOW)


def test_the_present_is_that_of_the_system_unless_it_is_given():
    assert matches({"at": {"$olderThan": "1d"}}, {"at": "2020-01-01"})
    assert matches({"at": {"$newerThan": "1d"}}, {"at": "9000-01-01"})
    event = Occurrence(datetime(2020, 1, 1, tzinfo=UTC), {})
    assert not matches({"$event": {"name": "e", "within": "1d"}}, {}, events={"e": [event]})
    with pytest.raises(Invalid, match="pass now"):
        compile_condition({"at": {"$olderThan": "1d"}})({"at": "2026-01-01"}, Scope())


@pytest.mark.parametrize(
    "odd", [{1: 2}, {"a": {1: 2}}, {"a": {"$elemMatch": {1: 2}}}, {"$not": {None: 1}, 1: 2}, {"a." * 5_000 + "a": 1}]
)  # fmt: skip
def test_an_odd_condition_is_answered_all_the_same(odd):
    assert matches(odd, {"a": [{"a": 1}]}) is False


def test_sql_follows_no_path_that_validation_refuses():
    assert is_sql_expressible({"a." * 19 + "a": 1})
    assert not is_sql_expressible({"a." * 20 + "a": 1})


def test_times_count_as_the_calendar_does():
    for text in (
        "1970-01-01T00:00:00Z",
        "2000-02-29T23:59:59.123456Z",
        "1900-03-01T00:00:00Z",
        "9999-12-31T00:00:00Z",
    ):
        moment = datetime.fromisoformat(text)
        assert time_micros(text) == round((moment - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds() * 10**6)
    assert days_since_1970(2026, 2, 30) == days_since_1970(2026, 3, 2)


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0"), (-0.0, "0"), (10.0, "10"), (-1.5, "-1.5"), (1e20, "100000000000000000000"), (1e21, "1e+21"),
        (123456789012345680000, "123456789012345680000"), (1e-6, "0.000001"), (1.5e-7, "1.5e-7"), (5e-324, "5e-324"),
        (float("nan"), "NaN"), (float("-inf"), "-Infinity"), (10**400, "Infinity"),
    ],
)  # fmt: skip
def test_numbers_are_written_as_javascript_does(number, text):
    assert number_text(number) == text
    if text[-1].isdigit():
        assert number_written_as(text) == number


@pytest.mark.parametrize(
    ("condition", "field", "message"),
    [
        ([], "", r"a condition is an object .*, not an array \(\[\]\)"),
        ({"age": {"$gtt": 5}}, ".age.$gtt", r"unknown operator \$gtt; did you mean \$gt\?"),
        ({"age": {"$older_than": "5d"}}, ".age.$older_than", r"did you mean \$olderThan\?"),
        ({"$an": []}, ".$an", r"did you mean \$and\?"),
        ({"$gt": 5}, ".$gt", "belongs under an attribute"),
        ({"$and": {"a": 1}}, ".$and", "takes a list of conditions, not an object"),
        ({"$or": [{"a": 1}, {"b": {"$in": "x"}}]}, ".$or[1].b.$in", "takes a list of values, not a string"),
        ({"a": {"$in": [1, [2]]}}, ".a.$in", "takes one value"),
        ({"a": {"$eq": {"b": 1}}}, ".a.$eq", "takes one value"),
        ({"a": {"$gt": True}}, ".a.$gt", "a number or a text, not a boolean"),
        ({"a": {"$exists": "yes"}}, ".a.$exists", "takes true or false"),
        ({"a": {"$type": "int"}}, ".a.$type", "one of string, number"),
        ({"a": {"$size": -1}}, ".a.$size", "whole number"),
        ({"a": {"$size": float("inf")}}, ".a.$size", "whole number"),
        ({"a": {"$elemMatch": {"$gt": 1, "$x": 2}}}, ".a.$elemMatch.$x", r"unknown operator \$x"),
        ({"a": {"$elemMatch": {"b": {"$x": 2}}}}, ".a.$elemMatch.b.$x", r"unknown operator \$x"),
        ({"a": {"$all": [{"$x": 1}]}}, ".a.$all[0].$x", r"unknown operator \$x"),
        ({"a": {"$not": {"$x": 1}}}, ".a.$not.$x", r"unknown operator \$x"),
        ({"a": {"$gt": 1, "b": 2}}, ".a", "not both"),
        ({"a": {"$regex": "("}}, ".a.$regex", "not a valid regular expression"),
        ({"a": {"$regex": "a" * 501}}, ".a.$regex", "at most 500 characters, this one has 501"),
        ({"a": {"$regex": "(a+)+$"}}, ".a.$regex", "can take for ever"),
        ({"a": {"$olderThan": "60 days"}}, ".a.$olderThan", "is not a duration"),
        ({"a": {"$newerThan": 60}}, ".a.$newerThan", "a duration such as"),
        ({"a": {"$inGroup": "x"}}, ".a.$inGroup", r"name a segment with \$inSegment"),
        ({"a": {"$not": {"$notInGroup": "x"}}}, ".a.$not.$notInGroup", r"name a segment with \$inSegment"),
        ({"a": {"$vgt": None}}, ".a.$vgt", "a version such as .*, not null"),
        ({"a..b": 1}, ".a..b", "no empty step"),
        ({"": 1}, '.""', "no empty step"),
        ({1: 2}, ".1", "a name is text"),
        ({"a": {"b": {1: 2}}}, ".a.b.1", "a name is text"),
        ({".".join("a" * 21): 1}, "." + ".".join("a" * 21), "at most 20 steps, this one has 21"),
        ({"a." * 5_000 + "a": 1}, "." + "a." * 100 + "..", "at most 20 steps, this one has 5,001"),
        ({"a." + "b" * 201: 1}, ".a." + "b" * 198 + "..", "at most 200 characters, this one has 201"),
        ({"a": {"$" + "x" * 5_000: 1}}, ".a.$" + "x" * 199 + "..", r"unknown operator \$x{199}\.\.;"),
        ({"a": "b" * 200_000}, "", "text has at most 200,000 characters, this one has 200,006"),
        ({"a": {"b" * 200_000: 1}}, "", "text has at most 200,000 characters"),
        ({"a": 10**300}, ".a", "at most 300 digits"),
        ({"a": {"$size": 10**5_000}}, ".a.$size", "whole number"),
        ({"a": float("nan")}, ".a", "finite"),
        ({"a": "\0"}, ".a", "NUL"),
        ({"a": {"$in": ["\ud800"]}}, ".a.$in", "surrogate"),
        ({"a": {"$in": list(range(10_001))}}, ".a.$in", "at most 10,000"),
    ],
)  # fmt: skip
def test_each_problem_is_named_with_its_path(condition, field, message):
    problems = validate_condition(condition)
    assert [problem.field for problem in problems] == ["audience.condition" + field]
    assert re.search(message, problems[0].message)


def test_every_problem_is_reported_under_the_field_it_was_sent_in():
    problems = validate_condition({"a": {"$x": 1}, "b": {"$in": 1}}, field="segment")
    assert [problem.field for problem in problems] == ["segment.a.$x", "segment.b.$in"]


def test_depth_and_size_are_bounded():
    deep = {"a": 1}
    for _ in range(18):
        deep = {"$not": deep}
    assert validate_condition(deep) == []
    for _ in range(3_000):
        deep = {"$and": [deep]}
    assert [problem.message for problem in validate_condition(deep)] == [
        "a condition is at most 20 levels deep"
    ]
    wide = {"$or": [{"a": number} for number in range(999)]}
    assert validate_condition(wide) == []
    wide["$or"] *= 2
    assert [problem.message[:40] for problem in validate_condition(wide)] == [
        "a condition has at most 1000 parts; use "
    ]


@pytest.mark.parametrize(
    ("condition", "words"),
    [
        ({}, "everyone"),
        (
            {"country": {"$in": ["NL", "BR"]}, "last_order_at": {"$olderThan": "60d"}},
            "country is NL or BR and last_order_at is older than 60 days",
        ),
        ({"$or": [{"a": 1, "b": 2}, {"c": {"$gt": 3}}]}, "(a is 1 and b is 2) or c is more than 3"),
        ({"$nor": [{"a": "x y"}, {"b": True}]}, 'not (a is "x y" or b is true)'),
        ({"$not": {"a": None}}, "not (a is unknown)"),
        ({"a": {"$gte": 1, "$lt": 5}}, "a is at least 1 and a is less than 5"),
        ({"a": {"$in": list("abcdefgh")}}, "a is a, b, c, d, e, f or 2 more"),
        ({"a": {"$nin": ["x", "y"]}}, "a is none of x and y"),
        ({"a": {"$exists": False}, "b": {"$ne": None}}, "a is unknown and b is known"),
        ({"tags": {"$size": {"$gt": 1}}}, "the number of entries of tags is more than 1"),
        ({"o": {"$elemMatch": {"total": {"$gt": 9}}}}, "o has an entry of which total is more than 9"),
        ({"o": {"$elemMatch": {"$gt": 9}}}, "o has an entry of which it is more than 9"),
        ({"at": {"$newerThan": "1h"}}, "at is newer than 1 hour"),
        ({"v": {"$vgte": "2.1.0"}, "g": {"$notInGroup": "vip"}}, 'v is version "2.1.0" or later and g is not in the group vip'),
    ],
)  # fmt: skip
def test_a_condition_reads_as_english(condition, words):
    assert describe(condition) == words


@pytest.mark.parametrize(
    ("condition", "field"),
    [
        ({"$or": [{"a": {"$regex": "x"}}]}, "c.$or[0].a.$regex"),
        ({"a": {"$vgt": "1"}}, "c.a.$vgt"),
        ({"a": [1]}, "c.a"),
        ({'a"b': 1}, 'c.a"b'),
        ({"a.0": 1}, "c.a.0"),
        ({"a": {"$in": list(range(MAX_LIST + 1))}}, "c.a.$in"),
        ({"a": {"$all": ["5"]}}, "c.a.$all"),
        ({"a": {"$eq": 2**63}}, "c.a.$eq"),
        ({"a": "\0"}, "c.a"),
    ],
)
def test_sql_names_what_it_cannot_say(condition, field):
    assert not is_sql_expressible(condition)
    with pytest.raises(Invalid) as caught:
        compile_sql(condition, attributes=column("attributes"), now=NOW, field="c")
    assert caught.value.problems[0].field == field


def test_split_takes_a_condition_apart_where_it_is_joined_by_and():
    condition = {
        "age": {"$gt": 18, "$regex": "x"},
        "$and": [{"country": "NL"}, {"$or": [{"a": {"$vgt": "1"}}, {"b": 1}]}],
    }
    in_sql, residual = split(condition)
    assert in_sql == {"$and": [{"age": {"$gt": 18}}, {"country": "NL"}]}
    assert residual == {"$and": [{"age": {"$regex": "x"}}, {"$or": [{"a": {"$vgt": "1"}}, {"b": 1}]}]}
    assert split({}) == (None, None)
    assert split({"a": 1}) == ({"a": 1}, None)
    assert split({"a": {"$regex": "x"}}) == (None, {"a": {"$regex": "x"}})


def test_sql_takes_no_more_clauses_than_the_database_bears():
    in_sql, residual = split({"$and": [{f"a{number}": 1} for number in range(MAX_CLAUSES + 5)]})
    assert is_sql_expressible(in_sql)
    assert len(residual["$and"]) == 5


@pytest.mark.parametrize("dialect", [sqlite.dialect(), postgresql.dialect()])
def test_nothing_from_the_condition_is_written_into_the_sql(dialect):
    hostile = "x'); DROP TABLE users; --"
    condition = {hostile: hostile, "a": {"$in": [hostile], "$gt": hostile}, "b": {"$all": [hostile]}}
    compiled = str(compile_sql(condition, attributes=column("attributes"), now=NOW).compile(dialect=dialect))
    assert "DROP" not in compiled


def test_postgresql_orders_text_by_code_point_whatever_its_locale():
    where = compile_sql({"a": {"$gt": "Z"}}, attributes=column("attributes"), now=NOW)
    assert 'COLLATE "C") END > ' in str(where.compile(dialect=postgresql.dialect()))
