"""Plans on real rows: the audience as enrolment would find it, its past as a report would count it, how users come in."""

import math
from typing import Any

import numpy as np
import pytest

from analysis.stats.exact_power import ExactPower
from analysis.stats.margin_power import MarginPower
from analysis.stats.monitoring import Monitoring
from analysis.stats.power import Outcome, Shares, minimum_detectable_effect, power, sample_size
from experiments.clock import SteppedClock
from experiments.database import Database
from experiments.errors import Invalid
from experiments.metrics import MetricDefinition
from experiments.settings import Settings
from tests.integration.analysis_rows import Assigned, Happened, outcomes
from tests.integration.enrolling import assignments, begin, enrol
from tests.integration.people import add_people, start_campaign
from tests.integration.planned_world import (
    ABLE,
    DAY,
    HOUR,
    METRICS,
    PLAN,
    document,
    plan,
    record,
    send,
    settle,
)

THIRDS = Shares(control=1 / 3, treatment=1 / 3)


@pytest.fixture
def past(database: Database, clock: SteppedClock) -> list[Happened]:
    with database.transaction() as session:
        return settle(session, clock)


def metric(made: Any, key: str) -> Any:
    return next(each for each in made.metrics if each.metric == key)


def test_the_audience_its_past_and_what_follows(
    database: Database, clock: SteppedClock, past: list[Happened]
) -> None:
    made = plan(database, clock, document())
    assert made.audience.matched == 350
    assert made.audience.exact
    assert made.audience.left_out == {"consent": 40, "phone": 10}
    assert made.audience.taking_part == made.entry.by_the_end == ABLE
    then = clock.now() - 14 * DAY
    people = [Assigned(user, "past", then) for user in range(1, ABLE + 1)]
    definition = MetricDefinition.model_validate(
        {k: v for k, v in METRICS[1].items() if k not in {"key", "role"}}
    )
    y, x = outcomes(definition, people, past, as_of=clock.now(), variant="past")
    bought, revenue = metric(made, "bought"), metric(made, "revenue")
    assert bought.base.mean == pytest.approx((y > 0).mean())
    assert (revenue.base.mean, revenue.base.sd) == pytest.approx((y.mean(), y.std(ddof=1)))
    assert revenue.base.rho == pytest.approx(np.corrcoef(x, y)[0, 1])
    assert revenue.base.users == ABLE
    # Everybody counts at the same moment, so spending has one look, and all of alpha for it.
    assert (made.method, made.looks) == ("spending", 1)
    watched = Monitoring(method="spending", comparisons=2)
    outcome = Outcome.rate(bought.base.mean)
    assert bought.power == pytest.approx(power(outcome, watched, effect=0.5, n=ABLE, shares=THIRDS))
    assert bought.minimum_effect == pytest.approx(
        minimum_detectable_effect(outcome, watched, n=ABLE, power=0.8, shares=THIRDS)
    )
    assert bought.users_needed == sample_size(outcome, watched, effect=0.5, power=0.8, shares=THIRDS)
    assert bought.days_needed is None
    assert (
        f"too few: {bought.users_needed:,} users are needed to find +50%, and 300 take part"
        in made.verdict[0]
    )
    opted_out = metric(made, "opted_out")
    assert opted_out.base is None
    assert opted_out.reasons == (
        "it comes of messages, and earlier campaigns of this category have 0 users to learn from (at least 100): give its baseline",
    )
    # Two arms of three are written to; the coupon goes out twice.
    assert made.sending is not None
    assert (made.sending.people, made.sending.messages) == (200, 300)


def test_a_plan_agrees_with_the_enrolment_that_follows(
    database: Database, clock: SteppedClock, past: list[Happened]
) -> None:
    audience = {
        "condition": {"country": "NL"},
        "coverage": 0.6,
        "holdout": 0.1,
        "forced": {"user-7": "coupon"},
    }
    made = plan(database, clock, document(audience=audience))
    with database.transaction() as session:
        experiment = start_campaign(session, clock, document(audience=audience))
    enrol(database, clock, experiment)
    drawn = [row for row in assignments(database, experiment).values() if not row.forced]
    assert made.audience.taking_part == len(drawn) < 200
    assert set(made.audience.left_out) == {"consent", "phone", "holdout", "coverage"}
    assert any("outside of the coverage" in limit for limit in made.limits)
    # The past is that of all who could take part, whatever chance decides.
    assert metric(made, "bought").base.users == ABLE - 1


def test_who_is_at_the_cap_and_how_many_messages_arrive(
    database: Database, clock: SteppedClock, past: list[Happened]
) -> None:
    with database.transaction() as session:
        earlier = begin(session, clock, key="earlier")
        for user in range(1, 121):
            state = "failed" if user % 4 == 0 else "read"
            for step in range(3 if user <= 5 else 1):
                send(
                    session,
                    user=user,
                    at=clock.now() - 3 * DAY,
                    state=state,
                    experiment_id=earlier.id or 0,
                    step=step,
                )
    made = plan(database, clock, document())
    assert made.audience.left_out["cap"] == 5
    assert made.audience.taking_part == ABLE - 5
    arrived = 130 - 30 - 2
    assert made.reach == pytest.approx(arrived / 130)
    assert made.reach_source == (
        f"of 130 marketing messages of all campaigns that went out in the last month, without its last day, {arrived} arrived"
    )
    assert metric(made, "bought").assigned_effect == pytest.approx(
        0.5 * made.reach * metric(made, "bought").base.mean
    )
    assert plan(database, clock, document(), reach=0.9).reach == 0.9


def test_experiments_of_one_layer_keep_their_users(
    database: Database, clock: SteppedClock, past: list[Happened]
) -> None:
    other = document(key="other", audience={"condition": {"number": {"$lte": 30}}, "layer": "promotions"})
    with database.transaction() as session:
        experiment = start_campaign(session, clock, other)
    enrol(database, clock, experiment)
    made = plan(database, clock, document(audience={"condition": {"country": "NL"}, "layer": "promotions"}))
    assert made.audience.left_out["layer"] == 30


def test_what_is_given_replaces_what_is_measured(
    database: Database, clock: SteppedClock, past: list[Happened]
) -> None:
    given = {
        "baseline": {"bought": 0.1, "opted_out": 0.01},
        "sd": {"revenue": 25.0},
        "rho": {"revenue": 0.6},
        "users": 40_000,
    }
    made = plan(database, clock, document(plan={**PLAN, "mde": 0.1}), half_life="7d", **given)
    bought, guard = metric(made, "bought"), metric(made, "opted_out")
    outcome = Outcome.rate(0.1, reach=0.75)
    assert made.entry.by_the_end == 40_000
    assert bought.power == pytest.approx(
        power(outcome, Monitoring(method="spending", comparisons=2), effect=0.1, n=40_000, shares=THIRDS)
    )
    assert bought.base.source == "given"
    assert metric(made, "revenue").base.sd == 25.0
    assert metric(made, "revenue").base.rho == 0.6
    # The report clears a margin by the boundary of its looks, with all of alpha on one side.
    cleared = MarginPower(monitoring=Monitoring(method="spending", alpha=0.1))
    assert guard.users_needed == cleared.size(
        Outcome.rate(0.01, reach=0.75), margin=0.002, power=0.8, shares=THIRDS
    )
    assert not any("e-process" in reason for reason in guard.reasons)
    assert guard.effect is None
    assert any(
        line.startswith("opted_out: enough") or "to show that the harm" in line for line in made.verdict
    )


def test_an_audience_that_is_chosen_by_what_it_did_not_do_has_no_base(
    database: Database, clock: SteppedClock, past: list[Happened]
) -> None:
    condition = {"country": "NL", "$event": {"name": "Order", "within": "30d", "count": 0}}
    made = plan(database, clock, document(audience={"condition": condition}))
    bought = metric(made, "bought")
    assert bought.base is None
    assert bought.power is None
    assert "none of" in bought.reasons[0]
    assert "cannot tell" in made.verdict[0]
    assert metric(
        plan(database, clock, document(audience={"condition": condition}), baseline={"bought": 0.05}),
        "bought",
    ).power


def test_an_empty_database_can_be_planned_for(database: Database, clock: SteppedClock) -> None:
    made = plan(database, clock, document(), simulate=100)
    assert made.audience.matched == 0
    assert made.verdict[0].startswith("bought: cannot tell: 'Order' has never happened")
    assert made.simulation is None
    assert any("no simulation" in warning for warning in made.warnings)


def test_users_who_come_by_an_event_come_as_in_the_past(
    database: Database, clock: SteppedClock, past: list[Happened]
) -> None:
    now = clock.now()
    carts = [
        Happened(user, "Cart", now - (user % 60) * DAY - HOUR, {"value": user % 2 * 100})
        for user in range(1, 201)
    ]
    with database.transaction() as session:
        record(session, carts)
    trigger = {"type": "event", "event": "Cart"}
    said = document(trigger=trigger, plan={**PLAN, "ends_after": "24d"})
    made = plan(database, clock, said)
    # 24 days, of which the window leaves 10 in which users can enter and still count.
    assert made.entry.days == 10
    assert made.entry.by_the_end == sum(row.at > now - 10 * DAY for row in carts)
    assert made.entry.per_day == pytest.approx(made.entry.by_the_end / 10)
    assert (made.method, made.looks) == ("always_valid", 10)
    assert any("instead of spending" in said for said in made.assumptions)
    # What a user is like is counted from their own first cart, of those whose window has closed.
    first = [Assigned(row.user, "past", row.at) for row in carts if row.at <= now - 14 * DAY]
    definition = MetricDefinition.model_validate(
        {k: v for k, v in METRICS[1].items() if k not in {"key", "role"}}
    )
    y, _ = outcomes(definition, first, past, as_of=now, variant="past")
    revenue = metric(made, "revenue")
    assert revenue.base.users == len(first) < 200
    assert (revenue.base.mean, revenue.base.sd) == pytest.approx((y.mean(), y.std(ddof=1)))
    worthy = plan(
        database, clock, document(trigger={**trigger, "properties": {"value": {"$gte": 50}}}, plan=PLAN)
    )
    assert worthy.entry.days == 28
    assert worthy.entry.by_the_end == sum(row.at > now - 28 * DAY and row.user % 2 == 1 for row in carts)
    simulated = plan(database, clock, said, simulate=200, baseline={"bought": 0.3}, per_day=500).simulation
    assert simulated is not None
    assert set(simulated.found) == {"reminder", "coupon"}
    assert 14 < simulated.mean_days <= 25


def test_the_event_that_lets_a_user_in_is_no_outcome(
    database: Database, clock: SteppedClock, past: list[Happened]
) -> None:
    trigger = {"type": "event", "event": "Order"}
    base = metric(plan(database, clock, document(trigger=trigger)), "bought").base
    closed = clock.now() - 14 * DAY
    first = {
        row.user: row.at for row in sorted(past, key=lambda row: row.at, reverse=True) if row.at <= closed
    }
    mine = {user: at for user, at in first.items() if user <= ABLE}
    again = {
        row.user for row in past if row.user in mine and mine[row.user] < row.at < mine[row.user] + 14 * DAY
    }
    assert base.users == len(mine)
    assert base.mean == pytest.approx(len(again) / len(mine))
    assert 0 < base.mean < 1


def test_an_event_that_nobody_knows_yet(
    database: Database, clock: SteppedClock, past: list[Happened]
) -> None:
    said = document(trigger={"type": "event", "event": "Cart"})
    assert "fewer than two users" in metric(plan(database, clock, said), "bought").reasons[0]
    made = plan(database, clock, said, baseline={"bought": 0.1})
    assert made.entry.by_the_end is None
    assert made.sending is None
    bought = metric(made, "bought")
    assert bought.users_needed is not None
    assert bought.power is None
    assert "how many will come, nobody knows" in made.verdict[0]
    by_rule = plan(database, clock, document(trigger={"type": "rule"}), per_day=20.0, days=30)
    assert by_rule.entry.by_the_end == 600
    assert (
        metric(by_rule, "bought").days_needed == math.ceil(metric(by_rule, "bought").users_needed / 20) + 14
    )


def test_users_who_fall_silent_and_users_who_are_new(
    database: Database, clock: SteppedClock, past: list[Happened]
) -> None:
    now = clock.now()
    seen = [Happened(user, "Visit", now - user * 12 * HOUR) for user in range(1, 201)]
    with database.transaction() as session:
        record(session, seen)
        add_people(session, SteppedClock(now - 7 * DAY), range(400, 414))
    silent = plan(database, clock, document(trigger={"type": "inactivity", "after": "30d", "event": "Visit"}))
    assert silent.entry.at_once == sum(row.at <= now - 30 * DAY for row in seen)
    assert silent.entry.per_day == pytest.approx(2.0)
    # A window ago they had been silent for 30 days: last seen 44 days ago or before.
    assert metric(silent, "bought").base.users == sum(row.at <= now - 44 * DAY for row in seen)
    weekly = plan(database, clock, document(trigger={"type": "recurring", "cron": "0 9 * * 1"}))
    assert weekly.entry.at_once == 314
    assert weekly.entry.per_day == pytest.approx(314 / 28)


def test_what_goes_out_too_slowly_reaches_fewer(
    database: Database, clock: SteppedClock, past: list[Happened]
) -> None:
    slow = Settings(messages_per_second=1, quiet_hours="20:00-08:00")
    made = plan(database, clock, document(), settings=slow, users=3_000_000)
    assert made.sending is not None
    assert made.sending.days == pytest.approx(3_000_000 / 43_200)
    assert made.reach == pytest.approx(14 / made.sending.days)
    assert any("has closed: widen it" in warning for warning in made.warnings)


WRONG: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    ({"audience": {"condition": {"country": {"$in": "NL"}}}}, {}, "audience.condition"),
    ({"plan": {"power": 0.04}}, {}, "plan.power"),
    ({}, {"baseline": {"sold": 0.1}}, "assumptions.baseline.sold"),
    ({}, {"baseline": {"bought": 5}}, "assumptions.baseline.bought"),
    ({}, {"sd": {"bought": 0.3}}, "assumptions.sd.bought"),
    ({}, {"rho": {"bought": 0.3}}, "assumptions.rho.bought"),
]


def test_what_cannot_be_is_refused_by_the_name_of_its_field(database: Database, clock: SteppedClock) -> None:
    for changes, assumptions, field in WRONG:
        with pytest.raises(Invalid) as refused:
            plan(database, clock, document(**changes), **assumptions)
        assert field in [problem.field[: len(field)] for problem in refused.value.problems]


def test_factors_are_simulated_as_factors(
    database: Database, clock: SteppedClock, past: list[Happened]
) -> None:
    message = {"template": "spring", "language": "en_US"}
    factors = [
        {
            "key": "text",
            "levels": [{"key": "plain", "message": message}, {"key": "coupon", "message": message}],
        },
        {
            "key": "hour",
            "levels": [
                {"key": "early", "send_time": {"local_time": "09:30"}},
                {"key": "late", "send_time": {"local_time": "18:30"}},
            ],
        },
    ]
    said = document(variants=[], factors=factors, plan={**PLAN, "mde": 0.1})
    made = plan(database, clock, said, simulate=400, users=60_000, baseline={"bought": 0.1})
    assert made.simulation is not None
    # Each level is compared over all of the users, so that it is found far more surely than one cell of four.
    assert set(made.simulation.found) == {"text.coupon", "hour.late"}
    assert min(made.simulation.found.values()) > metric(made, "bought").power + 0.1
    by_name = {each.levels: each for each in made.factors}
    assert set(by_name) == {("coupon",), ("late",), ("coupon", "late")}
    # Half of the users against the other half, at alpha / 2: Bonferroni's bound of what Holm finds.
    coupon, both = by_name["coupon",], by_name["coupon", "late"]
    assert coupon.power == pytest.approx(
        power(
            Outcome.rate(0.1),
            Monitoring(method="spending", comparisons=2),
            effect=0.1,
            n=60_000,
            shares=Shares(control=0.5, treatment=0.5),
        )
    )
    assert coupon.power <= made.simulation.found["text.coupon"] + 0.03
    # An interaction takes four times the users of a main effect as large.
    alone = sample_size(Outcome.rate(0.1), Monitoring(method="spending"), effect=0.1, power=0.8)
    assert both.users_needed == pytest.approx(4 * alone, rel=1e-3)


def test_the_exact_method_is_planned_by_simulation(
    database: Database, clock: SteppedClock, past: list[Happened]
) -> None:
    made = plan(database, clock, document(plan={**PLAN, "method": "exact"}))
    assert made.method == "exact"
    bought, revenue = metric(made, "bought"), metric(made, "revenue")
    exact = ExactPower(monitoring=Monitoring(method="always_valid", comparisons=2))
    outcome = Outcome.rate(bought.base.mean)
    assert bought.users_needed == exact.sample_size(outcome, effect=0.5, power=0.8, shares=THIRDS)
    assert bought.power == exact.power(outcome, effect=0.5, n=ABLE, shares=THIRDS)
    assert any("simulated, 4,000 runs" in reason for reason in bought.reasons)
    # A mean is no share: there `always_valid` stands in, as in the report.
    assert not revenue.reasons
    assert revenue.users_needed is not None


def test_days_are_counted_from_the_start(
    database: Database, clock: SteppedClock, past: list[Happened]
) -> None:
    made = plan(database, clock, document(plan={**PLAN, "ends_after": "7d"}), users=100_000)
    assert metric(made, "bought").days_needed == 14
    assert any("nobody counts by then" in warning for warning in made.warnings)
