"""What users did and which lists hold them: closures, needs, segments written out, problems, English."""

import re
from datetime import UTC, datetime, timedelta

import pytest

from experiments.errors import Invalid, NotFound
from targeting.conditions import Occurrence, Scope, compile_condition, describe, matches, validate_condition
from targeting.conditions.needs import MAX_CHAIN, MAX_INLINED, expand_segments, needs_of
from targeting.conditions.sql import is_sql_expressible, split

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
DAY, MICRO = timedelta(days=1), timedelta(microseconds=1)


def did(*ages, name="Paid", **properties):
    return {name: [Occurrence(NOW - age, properties) for age in ages]}


def event(name="Paid", **rest):
    return {"$event": {"name": name, **rest}}


@pytest.mark.parametrize(
    ("condition", "events", "expected"),
    [
        (event(), did(400 * DAY), True),
        (event(), {}, False),
        (event(within="30d"), did(30 * DAY), True),
        (event(within="30d"), did(30 * DAY + MICRO), False),
        (event(within="0d"), did(0 * DAY), True),
        (event(), did(-MICRO), False),
        (event(within="30d"), did(-DAY), False),
        (event(within="1000000d"), did(DAY), True),
        (event(count=2), did(DAY, DAY), True),
        (event(count=2), did(DAY, DAY, DAY), False),
        (event(count={"$gte": 2}), did(DAY, DAY, DAY), True),
        (event(count={"$gte": 2}, within="2d"), did(DAY, DAY * 3), False),
        (event(count={"$gte": 1, "$lt": 3}), did(DAY, DAY, DAY), False),
        (event(count={"$in": [0, 2]}), did(DAY, DAY), True),
        (event(count=0), {}, True),
        (event(count={"$lt": 1}), did(DAY), False),
        (event(count={"$lt": 1}, within="1d"), did(2 * DAY), True),
        (event(properties={"sum": {"$gt": 5}}), did(DAY, sum=6), True),
        (event(properties={"sum": {"$gt": 5}}), did(DAY, sum=5), False),
        (event(count=0, properties={"sum": {"$gt": 5}}), did(DAY, sum=5), True),
        (event(properties={"paid_at": {"$newerThan": "2d"}}), did(DAY, paid_at="2026-02-28T12:00:00Z"), True),
        (event(within="soon"), did(DAY), False),
        (event(count="many"), did(DAY), False),
        (event(size=3), did(DAY), False),
        ({"$event": "Paid"}, did(DAY), False),
        ({"$not": event()}, {}, True),
        ({"$or": [event("Other"), event()]}, did(DAY), True),
    ],
)
def test_events(condition, events, expected):
    assert matches(condition, {}, now=NOW, events=events) is expected


def test_a_window_needs_the_present_and_the_whole_past_does_not():
    timeless = Scope(events=did(DAY))
    assert compile_condition(event())({}, timeless)
    with pytest.raises(Invalid, match="pass now"):
        compile_condition(event(within="1d"))({}, timeless)


def test_lists():
    assert matches({"$inSegment": "vip"}, {}, segments={"vip"})
    assert matches({"$inSegment": ["vip", "staff"]}, {}, segments=["staff"])
    assert not matches({"$inSegment": "vip"}, {})
    assert matches({"$not": {"$inSegment": "vip"}}, {}, segments=["new"])
    assert not matches({"$inSegment": 5}, {}, segments=["new"])


def test_needs_are_the_longest_look_back_of_each_event_and_every_list_and_attribute():
    needs = needs_of(
        {
            "country": "NL",
            "$and": [event(within="30d"), event("Seen", within="2h"), {"address.city": {"$ne": "Ghent"}}],
            "$or": [
                {"$not": event(within="5d")},
                {"$nor": [event("Seen")]},
                {"$inSegment": ["vip", "staff"]},
            ],
            "tags": {"$elemMatch": {"$eq": "x"}},
        }
    )
    assert needs.events == {"Paid": 30 * DAY, "Seen": None}
    assert needs.segments == {"vip", "staff"}
    assert needs.attributes == {"country", "address", "tags"}
    # The properties of an event are no attributes of users.
    assert needs_of(event(properties={"sum": 5})).attributes == frozenset()


SEGMENTS = {
    "list": None,
    "dutch": {"country": "NL"},
    "both": {"$inSegment": ["dutch", "list"]},
    "a": {"$not": {"$inSegment": "b"}},
    "b": {"$or": [{"$inSegment": "a"}]},
}


def lookup(key):
    if key not in SEGMENTS:
        raise NotFound(f"there is no segment {key!r}")
    return SEGMENTS[key]


@pytest.mark.parametrize(
    ("condition", "expanded"),
    [
        ({"a": 1}, {"a": 1}),
        ({"$inSegment": "list"}, {"$inSegment": ["list"]}),
        ({"$inSegment": "dutch"}, {"country": "NL"}),
        ({"x": 1, "$inSegment": "dutch"}, {"$and": [{"x": 1}, {"country": "NL"}]}),
        ({"$inSegment": "both"}, {"$or": [{"country": "NL"}, {"$inSegment": ["list"]}]}),
        ({"$not": {"$inSegment": ["dutch"]}}, {"$not": {"country": "NL"}}),
        ({"$nor": [{"$inSegment": "dutch"}]}, {"$nor": [{"country": "NL"}]}),
        ({"$inSegment": []}, {"$inSegment": []}),
    ],
)
def test_segments_that_are_conditions_are_written_out(condition, expanded):
    assert expand_segments(condition, lookup) == expanded


@pytest.mark.parametrize(
    ("condition", "field", "message"),
    [
        (
            {"$or": [{"x": 1}, {"$inSegment": ["list", "nobody"]}]},
            "c.$or[1].$inSegment[1]",
            "no segment 'nobody'",
        ),
        ({"$inSegment": "a"}, "c.$inSegment", "a -> b -> a"),
        ({"$and": [{"$not": {"$inSegment": "b"}}]}, "c.$and[0].$not.$inSegment", "b -> a -> b"),
    ],
)
def test_segments_that_lead_nowhere_are_named_with_their_path(condition, field, message):
    with pytest.raises(Invalid, match=message) as caught:
        expand_segments(condition, lookup, field=field[0])
    assert [problem.field for problem in caught.value.problems] == [field]


def test_writing_out_is_bounded():
    with pytest.raises(Invalid, match=f"more than {MAX_INLINED} segments"):
        expand_segments({"$or": [{"$inSegment": "dutch"}] * (MAX_INLINED + 1)}, lookup)
    with pytest.raises(Invalid, match=f"more than {MAX_CHAIN} deep"):
        expand_segments({"$inSegment": "0"}, lambda key: {"$inSegment": str(int(key) + 1)})


@pytest.mark.parametrize(
    ("condition", "field", "message"),
    [
        ({"$event": "Paid"}, ".$event", "an object such as"),
        ({"$event": {}}, ".$event.name", "missing"),
        (event(""), ".$event.name", "the name of an event"),
        (event("x" * 201), ".$event.name", "up to 200"),
        (event("\0"), ".$event.name", "NUL"),
        (event(within="30 days"), ".$event.within", "is not a duration"),
        (event(within=30), ".$event.within", "a duration such as"),
        (event(count=-1), ".$event.count", "a whole number of times"),
        (event(count=1.5), ".$event.count", "a whole number of times"),
        (event(count={"$regex": "x"}), ".$event.count", "a whole number of times"),
        (event(count={}), ".$event.count", "a whole number of times"),
        (event(times=3), ".$event.times", r"no times; .*"),
        (event(propertys={}), ".$event.propertys", "did you mean properties"),
        (event(properties=[]), ".$event.properties", "a condition is an object"),
        (event(properties={"a": {"$gtt": 1}}), ".$event.properties.a.$gtt", "did you mean"),
        (event(properties=event()), ".$event.properties.$event", "no meaning inside"),
        ({"x": {"$elemMatch": {"a": 1, "$inSegment": "v"}}}, ".x.$elemMatch.$inSegment", "no meaning inside"),
        ({"x": {"$event": {"name": "a"}}}, ".x.$event", "beside attributes"),
        ({"$inSegment": 5}, ".$inSegment", "the key of a segment"),
        ({"$inSegment": []}, ".$inSegment", "the key of a segment"),
        ({"$inSegment": [5]}, ".$inSegment", "the key of a segment"),
        ({"$insegment": "vip"}, ".$insegment", r"did you mean \$inSegment"),
        ({"$savedGroup": {"id": "x"}}, ".$savedGroup", r"name a segment with \$inSegment"),
    ],
)  # fmt: skip
def test_each_problem_is_named_with_its_path(condition, field, message):
    problems = validate_condition(condition, field="c")
    assert [problem.field for problem in problems] == ["c" + field]
    assert re.search(message, problems[0].message), problems


def test_sql_takes_events_and_lists_wherever_they_stand_and_leaves_what_it_cannot_say():
    sayable = {
        "$or": [{"$not": event(count={"$gte": 2}, properties={"sum": {"$gt": 5}})}, {"$inSegment": "vip"}]
    }
    assert is_sql_expressible(sayable)
    unsayable = event(properties={"name": {"$regex": "x"}})
    assert split({"$and": [sayable, unsayable]}) == (sayable, unsayable)
    assert split({"$inSegment": 5}) == (None, {"$inSegment": 5})


@pytest.mark.parametrize(
    ("condition", "words"),
    [
        (event("Order Completed", within="30d"), "has done Order Completed in the last 30 days"),
        (event("Order Completed", within="30d", count=0), "has not done Order Completed in the last 30 days"),
        ({"$not": event("Order Completed", within="24h")}, "has not done Order Completed in the last day"),
        (event(count={"$lt": 1}), "has never done Paid"),
        (event(count={"$gte": 2, "$lt": 5}), "has done Paid at least 2 times and fewer than 5 times"),
        (event(count=1, properties={"a": 1, "b": 2}), "has done Paid exactly once where (a is 1 and b is 2)"),
        ({"$not": event(count={"$gte": 3})}, "has done Paid fewer than 3 times"),
        (event(count={"$in": [1, 3]}), "has done Paid 1 or 3 times"),
        (event('say "x"'), 'has done "say \\"x\\""'),
        ({"$inSegment": ["vip", "staff"]}, "is in segment vip or staff"),
        ({"$not": {"$inSegment": "vip"}, "country": "NL"}, "is not in segment vip and country is NL"),
        ({"$or": [{"$and": [{"a": 1}, {"b": 2}]}, {"c": 3}]}, "(a is 1 and b is 2) or c is 3"),
    ],
)
def test_plain_english(condition, words):
    assert describe(condition) == words
