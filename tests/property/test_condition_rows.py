"""A condition that goes through the form of the dashboard means what it meant, and problems find the row they speak of."""

import json

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from dashboard.condition_rows import (
    Compared,
    Did,
    Group,
    Kept,
    Member,
    Row,
    Rows,
    document_of,
    is_complete,
    placed,
    rows_of,
)
from targeting.conditions import Scope, compile_condition, validate_condition
from tests.property.condition_language import NOW, attributes, everything, histories, memberships

people = st.tuples(attributes, histories, memberships)
often = settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])

paths = st.sampled_from(["country", "age", "address.city", "seen at", "größe"])
scalars = st.text(max_size=5) | st.integers(-9, 9) | st.floats(-9, 9) | st.booleans()
of_one_type = st.one_of(
    st.lists(st.text(max_size=5), min_size=1, max_size=3), st.lists(st.integers(), min_size=1, max_size=3)
)
compared = st.one_of(
    st.builds(Compared, paths, st.sampled_from(["is", "$eq", "$ne"]), scalars),
    st.builds(
        Compared, paths, st.sampled_from(["$gt", "$gte", "$lt", "$lte"]), st.integers() | st.text(max_size=5)
    ),
    st.builds(Compared, paths, st.sampled_from(["$in", "$nin", "$all"]), of_one_type),
    st.builds(Compared, paths, st.sampled_from(["known", "unknown"])),
    st.builds(
        Compared, paths, st.sampled_from(["$olderThan", "$newerThan"]), st.sampled_from(["30d", "12h"])
    ),
    st.builds(Compared, paths, st.just("$regexi"), st.just("^a")),
)
did = st.builds(
    Did,
    st.sampled_from(["Opened", "Order Completed"]),
    st.sampled_from(["at_least", "fewer", "exactly"]),
    st.integers(1, 5),
    st.none() | st.sampled_from(["7d", "90m"]),
)
member = st.builds(
    Member,
    st.lists(st.sampled_from(["vip", "staff"]), min_size=1, max_size=2, unique=True).map(tuple),
    st.booleans(),
)
kept = st.sampled_from([{"$nor": [{"a": 1}]}, {"age": {"$size": 2}}, {"$not": {"a": 1}}, {"plan": None}]).map(
    Kept
)
rows: st.SearchStrategy[Row] = compared | did | member | kept
groups = st.lists(rows, min_size=2, max_size=3).map(lambda some: Group(tuple(some)))
forms = st.one_of(
    st.builds(Rows, st.just(False), st.lists(rows | groups, max_size=4).map(tuple)).filter(
        lambda form: not (len(form.items) == 1 and isinstance(form.items[0], Group))
    ),
    st.builds(Rows, st.just(True), st.lists(rows | groups, min_size=2, max_size=4).map(tuple)),
)


def _all_rows(form: Rows) -> list[tuple[tuple[int, ...], Row]]:
    return [
        place
        for at, item in enumerate(form.items)
        for place in (
            [((at, index), row) for index, row in enumerate(item.rows)]
            if isinstance(item, Group)
            else [((at,), item)]
        )
    ]


@often
@given(condition=everything, person=people)
def test_a_condition_that_goes_through_the_form_means_the_same(condition, person):
    assume(validate_condition(condition) == [])
    known, history, lists = person
    scope = Scope(NOW, events=history, segments=lists)
    again = document_of(rows_of(condition))
    assert validate_condition(again) == []
    assert compile_condition(again)(known, scope) is compile_condition(condition)(known, scope)


@often
@given(condition=everything)
def test_the_second_time_nothing_changes_and_every_row_is_complete(condition):
    form = rows_of(condition)
    assert all(is_complete(row) for _, row in _all_rows(form))
    once = document_of(form)
    assert json.dumps(document_of(rows_of(once))) == json.dumps(once)


@often
@given(form=forms)
def test_a_form_is_read_back_as_it_was_filled_in(form):
    assert all(is_complete(row) for _, row in _all_rows(form))
    assert rows_of(document_of(form)) == form


@often
@given(form=forms, data=st.data())
def test_a_problem_finds_its_row(form, data):
    assume(form.items and validate_condition(document_of(form)) == [])
    spot = data.draw(st.sampled_from([place for place, _ in _all_rows(form)]))
    bad = data.draw(
        st.sampled_from(
            [
                Kept({"odd": {"$nope": 1}}),
                Compared("x..y", "is", 1),
                Compared("big", "$regexi", "("),
                Did("e" * 201, "at_least", 1, None),
            ]
        )
    )
    items = list(form.items)
    if len(spot) == 1:
        items[spot[0]] = bad
    else:
        group = list(items[spot[0]].rows)
        group[spot[1]] = bad
        items[spot[0]] = Group(tuple(group))
    found = placed(Rows(form.any_of, tuple(items)))
    problems = validate_condition(found.document, field="condition")
    assert problems
    assert {found.row_of(problem.field) for problem in problems} == {spot}
