"""The page Planner: its form as the API's question, and the answer as figures that explain themselves."""

from typing import Any

import pytest

from dashboard.reading import Unreadable
from dashboard.sizes import Asked, figures, guard_question, question, read_size

ANSWER: dict[str, Any] = {
    "users_needed": 55_983,
    "arms": [18_661, 18_661, 18_661],
    "days_needed": 19,
    "power": None,
    "minimum_effect": None,
    "comparisons": 2,
    "level": 0.025,
    "messages": 37_322,
    "cost": 1_866.1,
    "looking": [
        {"method": "fixed", "looks": 1, "users_needed": 52_800, "times": 1.0},
        {"method": "spending", "looks": 14, "users_needed": 55_983, "times": 1.06},
    ],
    "reasons": [],
}


def test_percent_becomes_shares_and_a_mean_keeps_its_unit() -> None:
    asked = Asked(baseline=5.5, lift=-10.0, arms=3, reach=90.0, price=0.05)
    body = question(asked)
    assert (body["baseline"], body["sd"], body["mde"]) == (0.055, None, -0.1)
    assert (body["weights"], body["reach"], body["alpha"], body["power"]) == ([1.0] * 3, 0.9, 0.05, 0.8)
    assert (body["window"], body["message_price"]) == ("7d", 0.05)
    mean = question(Asked(baseline=40.0, sd=90.0, lift=None, users=1000))
    assert (mean["baseline"], mean["sd"], mean["mde"], mean["users"]) == (40.0, 90.0, None, 1000)


def test_a_guardrail_is_asked_about_with_the_users_of_the_plan() -> None:
    asked = Asked(baseline=10.0, lift=10.0, sd=None, guard_base=1.0, guard_margin=0.2)
    body = guard_question(asked, 31_230)
    assert body is not None
    assert (body["baseline"], body["margin"], body["users"]) == (0.01, 0.002, 31_230)
    assert "mde" not in body
    assert guard_question(Asked(baseline=10.0, lift=10.0, guard_base=1.0), 31_230) is None


def test_every_figure_says_what_it_means() -> None:
    asked = Asked(baseline=10.0, lift=10.0, arms=3, per_day=5000, price=0.05)
    found = {figure.label: figure for figure in figures(read_size(ANSWER), asked)}
    assert list(found) == ["Users needed", "Days", "Price of looking", "Error rate of a comparison", "Cost"]
    assert found["Users needed"].value == "55,983"
    assert "18,661 in each, to find a lift of +10% with a chance of 80%" in found["Users needed"].words
    assert "5,000 users a day" in found["Days"].words
    assert found["Price of looking"].value == "× 1.060"
    assert found["Error rate of a comparison"].value == "2.5%"
    assert (found["Cost"].value, "37,322 messages" in found["Cost"].words) == ("1,866.10", True)


def test_what_so_many_users_find_and_what_cannot_be_told() -> None:
    there = read_size({**ANSWER, "users_needed": None, "arms": [], "power": 0.61, "minimum_effect": None})
    asked = Asked(baseline=10.0, lift=10.0, users=20_000, method="fixed", price=0.05)
    found = {figure.label: figure for figure in figures(there, asked)}
    assert found["Users needed"].value == "–"
    assert found["Users needed"].words.startswith("It cannot be told")
    assert found["Power"].value == "61%"
    assert found["Smallest lift found"].value == "–"
    # One look costs what one look costs; and the messages are those to the users there are.
    assert "Price of looking" not in found
    assert "user there is" in found["Cost"].words


def test_the_guardrail_beside_the_plan() -> None:
    guard = read_size({**ANSWER, "users_needed": 65_802, "power": 0.52})
    asked = Asked(baseline=10.0, lift=10.0, guard_base=1.0, guard_margin=0.2)
    found = {figure.label: figure for figure in figures(read_size(ANSWER), asked, guard)}
    assert found["Users for the guardrail"].value == "65,802"
    assert found["Power of the guardrail"].value == "52%"
    assert "With 55,983 users" in found["Power of the guardrail"].words
    assert "0.2 points" in found["Power of the guardrail"].words


@pytest.mark.parametrize("document", [None, [], {}, {"users_needed": 5}, {"comparisons": 1}])
def test_what_is_no_answer_is_not_read_as_one(document: Any) -> None:
    with pytest.raises(Unreadable):
        read_size(document)
