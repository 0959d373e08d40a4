"""What a reader is warned of."""

from datetime import UTC, datetime

import pytest

from analysis.reports import cautions, service
from experiments.models import Epoch
from targeting.models import Enrolment
from tests.unit.analysis.test_service import arm, design, found

NOW = datetime(2026, 12, 1, 10, tzinfo=UTC)
EVEN = {"silence": 0.25, "reminder": 0.25, "coupon": 0.5}
UNEVEN = {"silence": 0.5, "reminder": 0.25, "coupon": 0.25}


def epochs(*weights: dict[str, float]) -> list[Epoch]:
    return [
        Epoch(experiment_id=1, number=number, weights=each, opened_at=NOW, reason="test")
        for number, each in enumerate(weights, 1)
    ]


@pytest.mark.parametrize(
    ("weights", "told"),
    [
        ([EVEN], False),
        ([EVEN, EVEN], False),
        ([EVEN, UNEVEN], True),
        ([UNEVEN, EVEN, EVEN], True),
    ],
)
def test_users_drawn_with_different_weights_are_told_and_block_nothing(
    weights: list[dict[str, float]], told: bool
) -> None:
    drawn = {f"e{number}": 10 for number in range(1, len(weights) + 1)}
    checks = cautions.changed_weights(design(), found(silence=arm(**drawn)), epochs(*weights))
    assert [(check.ok, check.blocking) for check in checks] == ([(True, False)] if told else [])
    assert cautions.have_weights_changed(found(silence=arm(**drawn)), epochs(*weights)) == told


def test_an_epoch_in_which_nobody_was_drawn_does_no_harm() -> None:
    assert cautions.changed_weights(design(), found(silence=arm(e1=5)), epochs(EVEN, UNEVEN)) == ()
    assert cautions.changed_weights(design(), found(), []) == ()


def test_weights_that_nobody_knows_are_an_alarm() -> None:
    (check,) = cautions.changed_weights(design(), found(silence=arm(e1=5, e2=3)), epochs(EVEN))
    assert (check.ok, check.blocking) == (False, True)
    assert "epoch 2: not known" in check.detail


def test_of_many_epochs_the_first_and_the_last_are_told() -> None:
    drawn = {f"e{number}": 10 for number in range(1, 31)}
    (check,) = cautions.changed_weights(design(), found(silence=arm(**drawn)), epochs(*[EVEN, UNEVEN] * 15))
    assert "26 more" in check.detail
    assert all(f"epoch {number}:" in check.detail for number in (1, 2, 29, 30))


def test_the_weights_are_told_in_the_order_of_the_design() -> None:
    facts = found(coupon=arm(e1=5, e2=7))
    (check,) = cautions.changed_weights(design(), facts, epochs({**UNEVEN}, dict(reversed(EVEN.items()))))
    assert "epoch 2: silence 0.25, reminder 0.25, coupon 0.5" in check.detail


def test_shared_units_are_told_and_users_of_their_own_are_not() -> None:
    assert cautions.shared_units(design()) == ()
    (warning,) = cautions.shared_units(design(audience={"hash_attribute": "household"}))
    assert "drawn by household, and" in warning
    (warning,) = cautions.shared_units(
        design(audience={"hash_attribute": "household", "fallback_attribute": "user_id"})
    )
    assert "household (else by user_id)" in warning


def test_a_second_walk_expects_what_the_ramp_promises() -> None:
    progress = Enrolment(
        experiment_id=1, last_user_pk=10, started_at=NOW, counts={"assigned": 300, "expected": 600}
    )
    for assigned, is_over, expected in ((300, False, 600), (700, False, 700), (580, True, 580)):
        assert service.expected_users(assigned, progress, is_over=is_over, highest_user=2000) == expected
