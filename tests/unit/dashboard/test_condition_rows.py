"""Conditions as rows of a form: what a row can say, what is kept as it is, and the document that comes out."""

import pytest

from dashboard.condition_rows import (
    Compared,
    Did,
    Group,
    Kept,
    Member,
    Rows,
    document_of,
    is_complete,
    rows_of,
)


def test_attributes_events_and_segments_each_have_a_row() -> None:
    document = {
        "country": {"$in": ["NL", "BR"]},
        "age": {"$gte": 18, "$lt": 65},
        "plan": "pro",
        "$event": {"name": "Order Completed", "within": "30d", "count": 0},
        "$inSegment": "adults",
        "$not": {"$inSegment": ["staff", "testers"]},
    }
    form = rows_of(document)
    assert form == Rows(
        items=(
            Compared("country", "$in", ["NL", "BR"]),
            Compared("age", "$gte", 18),
            Compared("age", "$lt", 65),
            Compared("plan", "is", "pro"),
            Did("Order Completed", "fewer", 1, "30d"),
            Member(("adults",)),
            Member(("staff", "testers"), inside=False),
        )
    )
    assert document_of(form) == document


@pytest.mark.parametrize(
    ("count", "row"),
    [
        (None, Did("Opened", "at_least", 1, None)),
        ({"$gte": 2}, Did("Opened", "at_least", 2, None)),
        ({"$gt": 1}, Did("Opened", "at_least", 2, None)),
        ({"$lt": 3}, Did("Opened", "fewer", 3, None)),
        ({"$lte": 2}, Did("Opened", "fewer", 3, None)),
        ({"$eq": 0}, Did("Opened", "fewer", 1, None)),
        (4, Did("Opened", "exactly", 4, None)),
        ({"$gt": 1, "$lt": 5}, None),
        ({"$gte": 0}, None),
        (2.0, None),
        (True, None),
    ],
)
def test_how_often_something_was_done(count: object, row: Did | None) -> None:
    clause = {"$event": {"name": "Opened", "count": count}}
    assert rows_of(clause).items == (row or Kept(clause),)


@pytest.mark.parametrize(
    "clause",
    [
        {"$nor": [{"a": 1}]},
        {"$not": {"a": 1}},
        {"$or": []},
        {"plan": None},
        {"plan": {"$in": ["a", 1]}},
        {"plan": {"$in": [str(n) for n in range(101)]}},
        {"tags": {"$elemMatch": {"$eq": "x"}}},
        {"address": {"city": "Delft"}},
        {"seen": {"$olderThan": "1.5d"}},
        {"$event": {"name": "Paid", "properties": {"revenue": {"$gt": 5}}}},
        {"$not": {"$inSegment": "vip", "a": 1}},
        {"a": {"is": 1}},
    ],
)
def test_what_no_row_can_say_is_kept_as_it_is(clause: dict[str, object]) -> None:
    form = rows_of({"country": "NL", **clause})
    assert form.items == (Compared("country", "is", "NL"), Kept(clause))
    assert document_of(form) == {"country": "NL", **clause}


def test_alternatives_are_a_group_one_level_deep_and_deeper_ones_are_kept() -> None:
    deep = {"$or": [{"c": 1}, {"d": 1}]}
    document = {"a": 1, "$or": [{"b": 1}, {"x": 1, **deep}]}
    form = rows_of(document)
    assert form.items == (Compared("a", "is", 1), Group((Compared("b", "is", 1), Kept({"x": 1, **deep}))))
    assert document_of(form) == document
    turned = rows_of({"$or": [{"a": 1}, {"x": 1, **deep}]})
    assert turned == Rows(True, (Compared("a", "is", 1), Group((Compared("x", "is", 1), Kept(deep)))))


def test_a_group_with_one_row_joins_the_others_whichever_way_they_are_joined() -> None:
    both = (Compared("b"), Compared("c"))
    one = Group((Compared("b", "is", 1),))
    assert document_of(Rows(False, (Compared("a", "is", 1), one))) == {"a": 1, "b": 1}
    assert document_of(Rows(True, (Compared("a", "is", 1), one, Group()))) == {"$or": [{"a": 1}, {"b": 1}]}
    alone = Group(tuple(Compared(row.path, "is", 1) for row in both))
    assert document_of(Rows(True, (alone,))) == {"b": 1, "c": 1}
    assert document_of(Rows(False, (alone,))) == {"$or": [{"b": 1}, {"c": 1}]}
    assert document_of(Rows()) == document_of(Rows(True)) == {}


@pytest.mark.parametrize(
    "row",
    [
        Compared(),
        Compared("age"),
        Compared("", "known"),
        Compared("country", "$in", []),
        Compared("seen", "$olderThan", "0d"),
        Did(),
        Member(),
        Kept(),
    ],
)
def test_a_row_with_something_missing_is_not_complete(row: Compared | Did | Member | Kept) -> None:
    assert not is_complete(row)
