"""The arithmetic of looks: how much information is in, which earlier looks count, who was meant to be where."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from analysis.facts.facts import ArmCounts, ExperimentFacts
from analysis.inputs import Messages, Reached
from analysis.reports import arms, service
from analysis.stats.aggregates import Aggregate
from analysis.stats.spending import spending_boundaries
from experiments.design import ExperimentDesign, read_design
from experiments.models import Experiment
from targeting.models import Enrolment
from tests.integration.analysis_rows import design as campaign

NOW = datetime(2026, 12, 1, 10, tzinfo=UTC)
DAY = timedelta(days=1)


def design(**changes: object) -> ExperimentDesign:
    return read_design(campaign(**changes), library={})


def arm(**assigned: int) -> ArmCounts:
    """arm(e1=10, e2=5): 10 users of epoch 1, 5 of epoch 2."""
    return ArmCounts(
        assigned={int(epoch[1:]): users for epoch, users in assigned.items()},
        messages=Messages(),
        reached=Reached(),
    )


def found(**arms: ArmCounts) -> ExperimentFacts:
    return ExperimentFacts(arms=arms, metrics={"bought": {}, "revenue": {}, "opted_out": {}})


def progress(last_user: int) -> Enrolment:
    return Enrolment(experiment_id=1, last_user_pk=last_user, started_at=NOW)


@pytest.mark.parametrize(
    ("assigned", "enrolment", "is_over", "expected"),
    [
        (300, progress(1000), False, 600),
        (300, progress(1000), True, 300),
        (300, progress(2000), False, 300),
        (300, progress(0), False, 300),
        (300, None, False, 300),
        (0, progress(1000), False, 0),
    ],
    ids=["half way", "stopped half way", "at the end", "not begun", "assigned by hand", "nobody joined"],
)
def test_expected_users(assigned: int, enrolment: Enrolment | None, is_over: bool, expected: int) -> None:
    assert service.expected_users(assigned, enrolment, is_over=is_over, highest_user=2000) == expected


@pytest.mark.parametrize(
    ("mature", "expected", "known", "fraction"),
    [(0, 0, 0.0, 0.0), (0, 10, 0.0, 0.0), (5, 10, 0.0, 0.5), (5, 100, 0.3, 0.3), (12, 10, 0.0, 1.0)],
)
def test_information_only_grows_and_ends_at_one(
    mature: int, expected: int, known: float, fraction: float
) -> None:
    assert service.information_fraction(mature, expected, known=known) == fraction


@pytest.mark.parametrize(
    ("stored", "now", "counted"),
    [
        ([], 0.3, ()),
        ([0.0], 0.3, ()),
        ([0.0, 0.1, 0.2], 0.3, (0.1, 0.2)),
        ([0.1, 0.2], 0.2, (0.1,)),
        ([0.1, 0.2], 0.2004, (0.1,)),
        ([0.1, 0.1004, 0.1008, 0.1012], 0.2, (0.1, 0.1012)),
        ([0.9995], 1.0, ()),
        ([0.5, 1.0], 1.0, (0.5,)),
    ],
    ids=[
        "first",
        "a look without information",
        "all",
        "no news",
        "hardly any news",
        "a crowd of looks",
        "last step",
        "after the end",
    ],
)
def test_earlier_looks(stored: list[float], now: float, counted: tuple[float, ...]) -> None:
    assert service.earlier_looks(stored, now) == pytest.approx(counted)


def test_no_crowd_of_looks_is_too_dense_for_the_boundaries() -> None:
    rng = np.random.default_rng(4)
    stored = sorted(np.concatenate([rng.uniform(0, 1, 300), 0.7 + rng.uniform(0, 1e-3, 300)]))
    for now in (stored[100], 0.7005, 1.0):
        looks = [*service.earlier_looks(stored, now), now]
        assert np.diff(looks).min() >= service.SMALLEST_STEP * (1 - 1e-9)
        assert np.isfinite(spending_boundaries(looks, 0.05)).all()


def test_shares_follow_the_epochs_that_users_were_drawn_in() -> None:
    facts = found(silence=arm(e1=100, e2=10), coupon=arm(e1=100, e2=90))
    weights = {1: {"silence": 0.5, "coupon": 0.5}, 2: {"silence": 0.1, "coupon": 0.9}}
    assert arms.traffic_shares(
        design(), {key: arm.assigned for key, arm in facts.arms.items()}, weights
    ) == pytest.approx({"silence": 110 / 300, "coupon": 190 / 300})


def test_shares_are_the_designs_before_anybody_was_drawn() -> None:
    assert arms.traffic_shares(design(), {}, {}) == pytest.approx(design().shares)


def test_arms_keep_the_order_of_the_design_and_strangers_get_no_weight() -> None:
    facts = found(stranger=arm(e1=2), coupon=arm(e1=5))
    made = arms.arms_of(design(), facts, epochs=[])
    assert [one.variant for one in made] == ["silence", "reminder", "coupon", "stranger"]
    assert [one.assigned for one in made] == [0, 0, 5, 2]
    assert [one.weight for one in made] == pytest.approx([1 / 3, 1 / 3, 1 / 3, 0])
    assert [one.sends for one in made] == [False, True, True, False]
    assert [one.control for one in made] == [True, False, False, False]
    assert made[0].aggregates["bought"] == Aggregate(n=0, mean=0.0, variance=0.0)


def test_metrics_keep_role_direction_and_margin() -> None:
    bought, revenue, opted_out = service.metric_specs(design())
    assert (bought.role, revenue.kind, opted_out.direction, opted_out.margin) == (
        "primary",
        "mean",
        "decrease",
        0.002,
    )


@pytest.mark.parametrize(
    ("stopped", "last", "due"),
    [
        (None, None, True),
        (None, -timedelta(minutes=59), False),
        (None, -timedelta(minutes=60), True),
        (-6 * DAY, -2 * DAY, True),  # the last windows of 7 days are still open
        (-9 * DAY, -3 * DAY, True),  # they closed after the last look
        (-9 * DAY, -2 * DAY, False),
        (-9 * DAY, None, True),
    ],
)
def test_when_to_look_again(stopped: timedelta | None, last: timedelta | None, due: bool) -> None:
    experiment = Experiment(
        key="spring",
        name="",
        definition=design().model_dump(mode="json"),
        created_at=NOW,
        updated_at=NOW,
        stopped_at=None if stopped is None else NOW + stopped,
    )
    moment = None if last is None else NOW + last
    assert service.is_due(experiment, None, last=moment, now=NOW, every=timedelta(hours=1)) is due
