"""What the form of a condition offers for an attribute, and how values are typed in."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboard.condition_fields import (
    asks_for_type,
    entered,
    operators_for,
    spelled,
    value_type,
    with_operator,
)
from dashboard.condition_rows import Compared


@given(
    st.text(min_size=1)
    | st.integers(-(10**30), 10**30)
    | st.booleans()
    | st.floats(allow_nan=False, allow_infinity=False)
)
def test_what_is_spelled_is_read_back(value: Any) -> None:
    row = Compared("x", "is", value)
    again = entered(spelled(value), value_type(row, "mixed"))
    assert (again, type(again)) == (value, type(value))


@pytest.mark.parametrize("text", ["", "many", "1,5", "1e999", "NaN", "[1]", "true", '"1"', "null"])
def test_what_is_no_number_is_refused(text: str) -> None:
    assert entered(text, "number") is None


def test_the_question_that_is_asked_now_is_offered_whatever_the_kind() -> None:
    assert operators_for("boolean", "$gte") == ["is", "known", "unknown", "$gte"]
    assert operators_for("boolean", "known") == ["is", "known", "unknown"]
    assert "$olderThan" in operators_for("mixed", "is")


@pytest.mark.parametrize(
    ("value", "kind", "wanted", "asks"),
    [
        (None, "number", "number", False),
        (None, "text", "text", False),
        (5, "text", "number", True),
        ("5", "number", "text", True),
        (None, "mixed", "text", True),
        (None, "", "text", True),
        ("2026-01-01", "time", "text", False),
        ([1, 2], "number", "number", False),
    ],
)
def test_the_type_is_asked_for_only_where_the_attribute_does_not_say(
    value: Any, kind: str, wanted: str, asks: bool
) -> None:
    row = Compared("x", "$in" if isinstance(value, list) else "is", value)
    assert (value_type(row, kind), asks_for_type(row, kind)) == (wanted, asks)


def test_a_value_stays_as_far_as_the_next_question_can_have_it() -> None:
    row = Compared("plan", "is", "pro")
    several = with_operator(row, "$in")
    assert several == Compared("plan", "$in", ["pro"])
    assert with_operator(several, "$ne") == Compared("plan", "$ne", "pro")
    assert with_operator(row, "known") == Compared("plan", "known")
    assert with_operator(row, "$olderThan") == Compared("plan", "$olderThan")
    assert with_operator(Compared("plan", "$olderThan", "3d"), "$newerThan").value == "3d"
    assert with_operator(Compared("plan", "$in", []), "is") == Compared("plan", "is")
