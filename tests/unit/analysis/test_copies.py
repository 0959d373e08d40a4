"""What a report allows for when its facts come from a copy."""

from datetime import timedelta
from typing import Any

import pytest

from analysis.reports import copies
from analysis.warehouse.tables import Copied
from experiments.errors import Unavailable
from experiments.metrics import MetricDefinition
from targeting.models import Enrolment
from tests.integration.analysis_rows import DAY, HOUR, START

WEEK = timedelta(days=7)
PLAIN = {"bought": MetricDefinition(kind="proportion", event="Order", window=WEEK)}
LOOKING_BACK = {"orders": MetricDefinition(kind="count", event="Order", window=WEEK, covariate=28 * DAY)}


def told(copied: Copied | None, definitions: Any = PLAIN) -> tuple[str, ...]:
    return copies.told(copied, as_of=START + 9 * DAY, begun=START, definitions=definitions)


def test_a_database_that_is_read_as_it_is_needs_no_word() -> None:
    assert told(None) == ()
    assert copies.known_until(None, START) == START


def test_facts_are_told_as_of_the_copy_and_never_of_the_future() -> None:
    assert copies.known_until(Copied(START), START + HOUR) == START
    assert copies.known_until(Copied(START + HOUR), START) == START
    assert copies.known_until(Copied(None), START) == START


def test_a_copy_older_than_an_hour_is_told_of_by_its_moment() -> None:
    hour_old = START + 9 * DAY - HOUR
    assert told(Copied(hour_old)) == ()
    (said,) = told(Copied(hour_old - timedelta(microseconds=1)))
    assert said.startswith("data as of 2026-12-10T08:59:59.999999Z")
    assert "TOUCHSTONE_FACTS_URL" in said


def test_an_empty_copy_says_so() -> None:
    assert told(Copied(None)) == ("the copy of the facts that TOUCHSTONE_FACTS_URL names is empty",)


def test_a_copy_that_begins_too_late_is_refused() -> None:
    fresh = START + 9 * DAY
    assert told(Copied(fresh, since=START)) == ()
    with pytest.raises(Unavailable, match=r"events since 2026-12-01T11:00:00Z only.*--since"):
        told(Copied(fresh, since=START + HOUR))


def test_covariates_that_look_back_less_far_are_told_of() -> None:
    fresh = START + 9 * DAY
    assert told(Copied(fresh, since=START - 28 * DAY), LOOKING_BACK) == ()
    (said,) = told(Copied(fresh, since=START - 27 * DAY), LOOKING_BACK)
    assert "covariates look back to 2026-11-04T10:00:00Z only" in said


def test_who_was_assigned_by_now_is_known_from_enrolment() -> None:
    assert copies.assigned_by_now(None) == 0
    enrolment = Enrolment(experiment_id=1, counts={"assigned": 7}, started_at=START)
    assert copies.assigned_by_now(enrolment) == 7
    assert copies.assigned_by_now(Enrolment(experiment_id=1, started_at=START)) == 0
