"""How long a campaign takes to go out."""

from datetime import time, timedelta

import pytest

from analysis.planning.plan_sending import open_share, sending_of, share_in_time
from delivery.limits.policy import DeliveryPolicy, QuietHours
from experiments.design import read_design
from tests.integration.people import campaign

DESIGN = read_design(campaign(), library={})


def sending(users, **changes):
    asked = {"policy": DeliveryPolicy(), "tier": None, "messages_per_second": 80, **changes}
    return sending_of(DESIGN, users=users, **asked)


def test_messages_are_those_of_the_arms_that_send():
    # Silence sends none, the reminder one, the coupon two.
    made = sending(30_000)
    assert (made.people, made.messages) == (20_000, 30_000)
    assert made.days == pytest.approx(30_000 / (80 * 86_400))
    assert made.limited_by == "80 messages a second"
    assert sending(None) is None


def test_a_bound_on_people_takes_days():
    made = sending(30_000, tier=1000)
    assert made.days == pytest.approx(20.0)
    assert made.per_day == 1500
    assert made.limited_by == "WhatsApp's bound of 1,000 people in 24 hours"
    assert share_in_time(made, days=0, window=timedelta(days=7)) == pytest.approx(0.35)
    assert share_in_time(made, days=30, window=timedelta(days=7)) == 1.0
    assert share_in_time(None, days=0, window=timedelta(days=7)) == 1.0


def test_nothing_goes_out_in_quiet_hours():
    night = DeliveryPolicy(quiet_hours=QuietHours(start=time(21), end=time(9)))
    assert open_share(night, "marketing") == pytest.approx(0.5)
    assert open_share(night, "utility") == 1.0
    assert sending(30_000, policy=night).days == pytest.approx(2 * sending(30_000).days)
