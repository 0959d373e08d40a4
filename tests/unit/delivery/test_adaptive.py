"""The factor of the adaptive cap: its bounds, and what moves it."""

from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta

import pytest

from delivery.limits.adaptive import EVIDENCE, Evidence, Signal, evidence_at, factor, forgotten_at
from delivery.limits.policy import AdaptiveCap

NOW = datetime(2026, 12, 8, 12, tzinfo=UTC)
TICK = timedelta(microseconds=1)
CAP = AdaptiveCap()
LIVELY = Evidence(reads=3, clicks=1, delivered=4, refused=0, opted_out=0)


def test_without_evidence_nothing_changes() -> None:
    assert factor(Evidence(), CAP) == 1.0


def test_the_formula_by_hand() -> None:
    # (5 * 0.6 + 3 + 2) / (5 + 4) = 8/9; over 0.6 that is 1.481..
    assert factor(LIVELY, CAP) == pytest.approx(8 / 9 / 0.6)
    assert factor(replace(LIVELY, refused=2, opted_out=1), AdaptiveCap(lowest=0)) == pytest.approx(
        8 / 9 / 0.6 * 0.64 * 0.5
    )


def test_it_stays_within_its_bounds() -> None:
    assert factor(Evidence(reads=100, clicks=100, delivered=100), CAP) == 1.5
    assert factor(Evidence(delivered=1000), CAP) == 0.5
    assert factor(Evidence(opted_out=9), AdaptiveCap(lowest=0.2)) == 0.2


@pytest.mark.parametrize("name", [field.name for field in fields(Evidence)])
def test_one_more_of_each_moves_it_its_own_way(name: str) -> None:
    more = replace(LIVELY, **{name: getattr(LIVELY, name) + 1})
    change = factor(more, AdaptiveCap(lowest=0, highest=10)) - factor(
        LIVELY, AdaptiveCap(lowest=0, highest=10)
    )
    assert change > 0 if name in ("reads", "clicks") else change < 0


def test_a_signal_is_forgotten_exactly_after_90_days() -> None:
    old, new = Signal(1, NOW - EVIDENCE, read=True), Signal(1, NOW - EVIDENCE + TICK, opted_out=True)
    assert evidence_at([old, new], NOW) == Evidence(opted_out=1)
    assert forgotten_at([old, new], NOW) == NOW + TICK
    assert evidence_at([old, new], NOW + TICK) == Evidence()
    assert forgotten_at([old, new], NOW + TICK) is None
