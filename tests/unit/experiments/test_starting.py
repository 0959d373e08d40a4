"""What can no longer be started, and what is only late."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from experiments.design import read_design
from experiments.starting import MOST_LATE, start_problems
from tests.unit.experiments.test_design import CAMPAIGN

NOW = datetime(2026, 12, 1, 10, tzinfo=UTC)
INSTANT = timedelta(microseconds=1)


def told(**changes: Any) -> list[str]:
    design = read_design({**CAMPAIGN, **changes}, library={})
    return [problem.field for problem in start_problems(design, now=NOW)]


@pytest.mark.parametrize(
    ("late", "fields"),
    [
        (-timedelta(days=1), []),
        (timedelta(0), []),
        (MOST_LATE, []),
        (MOST_LATE + INSTANT, ["trigger.at"]),
        (timedelta(days=20_000), ["trigger.at"]),
    ],
)
@pytest.mark.parametrize("more", [{}, {"local_time": "18:30"}], ids=str)
def test_a_moment_that_is_long_past(late: timedelta, fields: list[str], more: dict[str, str]) -> None:
    assert told(trigger={"type": "once", "at": (NOW - late).isoformat(), **more}) == fields


def test_a_rule_may_enrol_from_a_moment_that_is_past() -> None:
    assert told(trigger={"type": "rule", "at": "2020-01-01T00:00:00Z"}) == []


@pytest.mark.parametrize(
    ("changes", "fields"),
    [
        ({"trigger": {"type": "once", "local_time": "2026-11-30T09:59"}}, ["trigger.local_time"]),
        ({"trigger": {"type": "once", "local_time": "2026-12-01T10:00"}}, []),
        ({"trigger": {"type": "event", "event": "x", "until": "2026-12-01T10:00:00Z"}}, ["trigger.until"]),
        ({"trigger": {"type": "once"}, "expires": {"at": "2026-12-01T10:00:00Z"}}, ["expires.at"]),
    ],
    ids=str,
)
def test_other_moments_that_are_past(changes: dict[str, Any], fields: list[str]) -> None:
    assert told(**changes) == fields
