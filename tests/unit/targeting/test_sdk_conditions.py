"""What is said to SDKs, and what is not; that the meaning stays the same is shown in tests/property and with the real SDKs."""

from datetime import UTC, datetime
from typing import Any

import pytest
from growthbook.core import evalCondition

from targeting.sdk_conditions import NotPortableError, translate

NOON = datetime(2026, 12, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize("time", ["2026-11-01T12:00", "2026-11-01T12:00:00", "2026-11-01T12:00:00.000Z"])
def test_a_time_exactly_that_old_is_newer_however_it_is_written(time: str) -> None:
    older = translate({"x": {"$olderThan": "30d"}}, now=NOON).condition
    newer = translate({"x": {"$newerThan": "30d"}}, now=NOON).condition
    assert (evalCondition({"x": time}, older), evalCondition({"x": time}, newer)) == (False, True)


def test_what_needs_no_guard_stays_as_it_is() -> None:
    condition = {"country": {"$in": ["NL", "BR"]}, "plan": {"$exists": True}}
    assert translate(condition, now=NOON).condition == condition


def test_lists_become_saved_groups_of_ids() -> None:
    translated = translate({"$not": {"$inSegment": ["vip", "staff"]}}, now=NOON)
    either = [{"id": {"$inGroup": "segment:vip"}}, {"id": {"$inGroup": "segment:staff"}}]
    assert translated.condition == {"$not": {"$or": either}}
    assert translated.segments == {"vip", "staff"}


@pytest.mark.parametrize(
    ("condition", "why"),
    [
        ({"$or": [{"$event": {"name": "Order Completed"}}]}, r"\$event"),
        ({"id": "u1"}, "the user's id"),
        ({"x": {"$gt": 5, "$lt": "z"}}, "both as text and as a number"),
        ({"x": {"$gt": None}}, "no number and no text"),
        ({"x": {"a": 1}}, "whole object"),
        ({"x": {"$all": [5]}}, "plain words"),
        ({"x": {"$inGroup": "g"}}, r"\$inGroup"),
        ({"x": {"$elemMatch": {"age": {"$gt": 5}}}}, "by type"),
        ({"x": {"$elemMatch": {"$olderThan": "1d"}}}, "with the present"),
        ({"x": {"$olderThan": "1d", "$regex": "^2026"}}, "of one time"),
        ({"x": {"$olderThan": "400000d"}}, "before the year 1000"),
        ({"x": {"$olderThan": "4000000d"}}, "before the year 1000"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_cannot_be_said_is_refused_with_the_reason(condition: dict[str, Any], why: str) -> None:
    with pytest.raises(NotPortableError, match=why):
        translate(condition, now=NOON)
