"""Variants one by one and crossed, and what stays on the way from one to the other."""

from typing import Any

import pytest

from dashboard.campaign import arms
from dashboard.campaign.documents import at

MESSAGE = {"template": "spring", "language": "en_US"}
ONE_BY_ONE: dict[str, Any] = {
    "variants": [
        {"key": "silence", "control": True, "weight": 1},
        {"key": "coupon", "weight": 2, "message": MESSAGE, "send_time": {"local_time": "18:30"}},
    ]
}


def test_crossing_makes_levels_of_the_messages_and_leaves_silence_alone() -> None:
    found = arms.crossed(ONE_BY_ONE)
    assert found == {
        "factors": [
            {
                "key": "content",
                "levels": [
                    {"key": "coupon", "weight": 2, "message": MESSAGE},
                    {"key": "message-1", "message": {}},
                ],
            }
        ],
        "treatment": {"send_time": {"local_time": "18:30"}},
        "variants": [{"key": "silence", "control": True, "weight": 1}],
    }
    assert [(cell.key, cell.share, cell.silent) for cell in arms.cells(found)] == [
        ("coupon", 0.5, False),
        ("message-1", 0.25, False),
        ("silence", 0.25, True),
    ]


def test_varying_another_part_starts_from_what_all_had() -> None:
    found = arms.vary(arms.crossed(ONE_BY_ONE), "send_time")
    levels = at(found, ("factors", 1, "levels"))
    assert at(found, ("factors", 1, "key")) == "hour"
    assert [level["send_time"] for level in levels] == [{"local_time": "18:30"}] * 2
    assert "send_time" not in found["treatment"]
    assert arms.varied_parts(found) == ["message", "send_time"]
    assert [cell.key for cell in arms.cells(found)] == [
        "coupon.morning",
        "coupon.evening",
        "message-1.morning",
        "message-1.evening",
        "silence",
    ]
    twice = arms.vary(arms.vary({"factors": []}, "frequency"), "frequency")
    assert [factor["key"] for factor in twice["factors"]] == ["frequency", "frequency-1"]


def test_writing_out_keeps_weights_and_the_control() -> None:
    crossed = {
        "factors": [
            {"key": "content", "levels": [{"key": "a", "message": MESSAGE}, {"key": "b", "weight": 3}]},
        ],
        "treatment": {"message": {"text": "Hello"}},
    }
    assert arms.uncrossed(crossed)["variants"] == [
        {"key": "a", "control": True, "message": MESSAGE},
        {"key": "b", "weight": 3, "message": {"text": "Hello"}},
    ]
    assert arms.uncrossed(ONE_BY_ONE) == ONE_BY_ONE


def test_one_arm_is_the_control() -> None:
    moved = arms.with_control(ONE_BY_ONE, "coupon")
    assert [variant.get("control") for variant in moved["variants"]] == [None, True]
    assert arms.with_control(ONE_BY_ONE, "silence") is ONE_BY_ONE
    assert arms.control_of(arms.with_control(ONE_BY_ONE, None)) is None


@pytest.mark.parametrize("weight", ["much", None, True])
def test_a_weight_that_is_none_leaves_the_shares_unknown(weight: Any) -> None:
    document = {"variants": [{"key": "a", "weight": weight}, {"key": "b", "weight": 1}]}
    shares = [cell.share for cell in arms.cells(document)]
    assert shares == ([0.5, 0.5] if weight is None else [None, None])


def test_a_combination_comes_first_with_its_levels() -> None:
    found = arms.vary(arms.crossed(ONE_BY_ONE), "send_time")
    moved = arms.with_first(found, "message-1.evening")
    assert next(cell.key for cell in arms.cells(moved)) == "message-1.evening"
    assert {cell.key for cell in arms.cells(moved)} == {cell.key for cell in arms.cells(found)}
    assert arms.with_first(moved, "coupon.morning") == found
    assert arms.with_first(found, "silence") is found
