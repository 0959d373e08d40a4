"""What a consent change must look like before the database is asked."""

from datetime import UTC, datetime
from typing import Any

import pytest

from experiments.clock import SteppedClock
from experiments.errors import Invalid
from targeting import consent

CLOCK = SteppedClock(datetime(2026, 12, 1, tzinfo=UTC))


class NoDatabase:
    """A session that must not be used: what is wrong by itself is refused before any statement."""

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"the database was asked: {name}")


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"category": "newsletters"}, "category"),
        ({"category": ""}, "category"),
        ({"source": ""}, "source"),
        ({"source": "x" * 101}, "source"),
        ({"evidence": "x" * 1001}, "evidence"),
        ({"evidence": "a\0b"}, "evidence"),
    ],
)
@pytest.mark.parametrize("change", [consent.grant, consent.withdraw])
def test_a_wrong_change_is_refused(change: Any, changes: dict[str, str], field: str) -> None:
    arguments = {"user_pk": 1, "category": "marketing", "source": "api"} | changes
    with pytest.raises(Invalid) as error:
        change(NoDatabase(), CLOCK, **arguments)
    assert error.value.problems[0].field == field


def test_no_changes_ask_nothing() -> None:
    assert consent.apply_changes(NoDatabase(), CLOCK, changes=[]) == consent.Applied()
