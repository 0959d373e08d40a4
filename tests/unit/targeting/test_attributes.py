"""What attributes are: their kinds, how many users have them, and examples that tell of nobody."""

from typing import Any

import pytest

from targeting.segments.attributes import MAX_NAMES, MAX_VALUES, SHARED_BY, survey


def kind_of(*values: Any) -> str:
    (found,) = survey([{"x": value} for value in values])
    return str(found["kind"])


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (("a", ""), "text"),
        ((1, 2.5), "number"),
        ((True, False), "boolean"),
        (("2026-01-01", "2026-01-01T10:00:00Z"), "time"),
        (("2026-01-01", "soon"), "mixed"),
        (([], ["a"]), "list"),
        (({"a": 1},), "object"),
        ((1, "1"), "mixed"),
        ((1, True), "mixed"),
    ],
)
def test_kinds(values: tuple[Any, ...], kind: str) -> None:
    assert kind_of(*values) == kind
    assert kind_of(*values, None) == kind


def test_shares_are_of_all_users_and_null_is_not_there() -> None:
    found = survey([{"a": 1, "b": None}, {"a": 2}, {}, {"c": "x"}])
    assert [(one["name"], one["share"]) for one in found] == [("a", 0.5), ("c", 0.25)]
    assert survey([]) == []


def test_values_that_many_share_are_shown_and_no_others() -> None:
    people: list[dict[str, Any]] = [
        {
            "plan": ("free", "pro")[n % 2],
            "vip": n % 2 == 0,
            "tags": ["new", "sale"],
            "email": f"person{n}@example.org",
            "age": 20 + n,
            "note": "the same very long remark about everybody who is here",
            "where": {"city": "Utrecht"},
        }
        for n in range(MAX_VALUES * 2)
    ]
    people[0]["plan"] = "secret"
    people[1]["one"] = 1
    examples = {one["name"]: one["examples"] for one in survey(people)}
    assert sorted(examples["plan"]) == ["free", "pro"]
    assert examples["vip"] == [True, False]
    assert sorted(examples["tags"]) == ["new", "sale"]
    assert {name for name, shown in examples.items() if not shown} == {"email", "age", "note", "where", "one"}


def test_true_is_not_one() -> None:
    (found,) = survey([{"x": 1}] * SHARED_BY + [{"x": True}] * (SHARED_BY - 1))
    assert [type(one) for one in found["examples"]] == [int]


def test_the_number_of_names_is_bounded() -> None:
    assert len(survey([{f"n{n}": 1 for n in range(MAX_NAMES + 100)}])) == MAX_NAMES
