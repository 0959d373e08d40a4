"""Plans of ratios and of metrics that come of messages, over past users: caps, non-delivery, and how users come in. On both databases."""

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from fastapi.testclient import TestClient

from analysis.stats.aggregates import Aggregate
from analysis.stats.difference import linearise_ratio
from analysis.stats.margin_power import MarginPower
from analysis.stats.monitoring import Monitoring
from analysis.stats.power import Outcome, Shares, power, sample_size
from delivery.models import Message
from experiments.clock import SteppedClock, SystemClock
from experiments.database import Database
from experiments.vocabulary import OPTED_OUT_EVENT
from targeting.models import Assignment
from tests.integration.analysis_rows import Happened
from tests.integration.command_line import CommandLine
from tests.integration.enrolling import begin
from tests.integration.people import REMINDER, SILENCE
from tests.integration.planned_world import ABLE, DAY, HOUR, PLAN, document, plan, record, send, settle

WINDOW = {"window": "7d"}
READ = {"key": "read", "role": "primary", **WINDOW}
COST = {"key": "cost", "role": "secondary", "price": 0.07, **WINDOW}
CLICKED = {"key": "clicked", "role": "secondary", **WINDOW}
OPTED_OUT = {"key": "opted_out", "role": "guardrail", "margin": 0.02, **WINDOW}
BASKET = {
    "key": "basket",
    "role": "primary",
    "kind": "ratio",
    "numerator": {"event": "Order", "value": "revenue"},
    "denominator": {"event": "Order"},
    "window": "14d",
}
TWO = [REMINDER | {"control": True}, REMINDER | {"key": "other"}]
HALVES = Shares(control=0.5, treatment=0.5)
CLEARING = MarginPower(monitoring=Monitoring(method="spending").one_sided())
"""How a margin is cleared in a plan of one look."""
MESSAGED = 200
"""Users of the earlier campaign whose variant sends; 80 more were left alone."""


def messaged(session: Any, clock: SteppedClock) -> dict[str, np.ndarray]:
    """A campaign of 20 days ago. Of 200 messages 160 arrived, 80 were read, 20 clicked; 6 opted out, and of 80 silent users one."""
    earlier = begin(session, clock, key="earlier")
    assert earlier.id is not None
    earlier.started_at = at = clock.now() - 20 * DAY
    for user in range(1, MESSAGED + 81):
        sends = user <= MESSAGED
        session.add(
            Assignment(
                experiment_id=earlier.id, user_pk=user, variant="reminder" if sends else "silence", epoch=1, propensity=0.5,
                assigned_at=at, unit=f"user-{user}", source="audience",
            )
        )  # fmt: skip
        if sends:
            session.add(_message(earlier.id, user, at))
    out = [*range(1, 7), MESSAGED + 1]
    record(session, [Happened(user, OPTED_OUT_EVENT, at + DAY, {}) for user in out])
    users = np.arange(1, MESSAGED + 1)
    return {"delivered": users % 5 != 0, "read": (users % 5 != 0) & (users % 2 == 0)}


def _message(experiment_id: int, user: int, at: datetime) -> Message:
    arrived = user % 5 != 0
    was_read = arrived and user % 2 == 0
    clicked = was_read and user % 8 == 0
    state = "read" if was_read else "delivered" if arrived else "failed"
    return Message(
        experiment_id=experiment_id, user_pk=user, variant="reminder", step=0, category="marketing", state=state,
        first_due_at=at, due_at=at, slot_at=at, accepted_at=at, delivered_at=at + HOUR if arrived else None,
        read_at=at + 2 * HOUR if was_read else None, clicked_at=at + 3 * HOUR if clicked else None,
    )  # fmt: skip


@pytest.fixture
def past(database: Database, clock: SteppedClock) -> list[Happened]:
    with database.transaction() as session:
        happened = settle(session, clock)
        messaged(session, clock)
    return happened


def metric(made: Any, key: str) -> Any:
    return next(each for each in made.metrics if each.metric == key)


def test_reads_and_opt_outs_are_learned_from_earlier_campaigns(
    database: Database, clock: SteppedClock, past: list[Happened]
) -> None:
    made = plan(database, clock, document(variants=TWO, metrics=[READ, COST, CLICKED, OPTED_OUT]))
    # As many arrive as last month, of the messages that everybody was sent.
    assert made.reach == pytest.approx(0.8)
    read, cost, out = metric(made, "read"), metric(made, "cost"), metric(made, "opted_out")
    assert (read.base.source, read.base.users) == ("campaigns", MESSAGED)
    assert read.base.mean == pytest.approx(80 / 200)
    assert metric(made, "clicked").base.mean == pytest.approx(20 / 200)
    assert cost.base.mean == pytest.approx(0.07 * 0.8)
    assert cost.base.sd == pytest.approx(0.07 * np.sqrt(0.8 * 0.2), rel=0.01)
    # Of the arms that send, for the control of this campaign sends too.
    assert out.base.mean == pytest.approx(6 / 200)
    # An effect on those reached is, relatively, the same in the arm: what does not arrive is missing from the base already.
    outcome, watched = Outcome.rate(read.base.mean), Monitoring(method="spending")
    assert read.assigned_effect == pytest.approx(0.5 * read.base.mean)
    assert read.power == pytest.approx(
        power(outcome, watched, effect=0.5, n=ABLE - 7, shares=HALVES), abs=0.02
    )
    assert any("earlier marketing campaigns" in said for said in made.assumptions)


def test_fewer_messages_that_arrive_are_fewer_reads(
    database: Database, clock: SteppedClock, past: list[Happened]
) -> None:
    said = document(variants=TWO, metrics=[READ, COST])
    usual, half = plan(database, clock, said), plan(database, clock, said, reach=0.4)
    assert metric(half, "read").base.mean == pytest.approx(80 / 200 / 2)
    assert metric(half, "cost").base.mean == pytest.approx(metric(usual, "cost").base.mean / 2)
    assert metric(half, "read").users_needed > 1.9 * metric(usual, "read").users_needed
    assert metric(half, "read").users_needed == sample_size(
        Outcome.rate(0.2), Monitoring(method="spending"), effect=0.5, power=0.8, shares=HALVES
    )


def test_a_silent_control_has_no_messages_to_count_and_its_own_opt_outs(
    database: Database, clock: SteppedClock, past: list[Happened]
) -> None:
    bought = {"key": "bought", "role": "primary", "kind": "proportion", "event": "Order", **WINDOW}
    variants = [SILENCE, REMINDER]
    made = plan(database, clock, document(variants=variants, metrics=[bought, CLICKED, OPTED_OUT]))
    clicked = metric(made, "clicked")
    assert clicked.base is None
    assert clicked.reasons == (
        "the control 'silence' gets no message, so it has none to count, and no effect is relative to it",
    )
    # 80 silent users are too few to learn from; with what is given it is planned.
    assert "have 80 users to learn from" in metric(made, "opted_out").reasons[0]
    given = plan(
        database, clock, document(variants=variants, metrics=[bought, OPTED_OUT]), baseline={"opted_out": 0.1}, users=4000
    )  # fmt: skip
    # Cleared by the boundary (tests/reference/test_planned_power.py draws such campaigns), at all of alpha on one side.
    cleared = CLEARING.power(Outcome.rate(0.1), margin=0.02, n=4000, shares=HALVES)
    assert 0.6 < cleared < 0.8
    assert metric(given, "opted_out").power == pytest.approx(cleared)


def test_campaigns_of_another_category_and_long_ago_teach_nothing(
    database: Database, clock: SteppedClock, past: list[Happened]
) -> None:
    said = document(variants=TWO, metrics=[READ], category="utility")
    assert metric(plan(database, clock, said), "read").base is None
    clock.advance(200 * DAY)
    assert metric(plan(database, clock, document(variants=TWO, metrics=[READ])), "read").base is None


def test_a_ratio_is_planned_from_totals_over_past_users(
    database: Database, clock: SteppedClock, past: list[Happened]
) -> None:
    made = plan(database, clock, document(metrics=[BASKET], plan=PLAN | {"mde": 0.1}), reach=0.9)
    since = clock.now() - 14 * DAY
    orders = [[row for row in past if row.user == user and row.at >= since] for user in range(1, ABLE + 1)]
    d = np.array([len(each) for each in orders], dtype=float)
    y = np.array([sum(row.properties["revenue"] for row in each) for each in orders])
    whole = linearise_ratio(Aggregate.from_sums(ABLE, y.sum(), y @ y, d=d.sum(), dd=d @ d, yd=y @ d))
    basket = metric(made, "basket")
    assert basket.base.mean == pytest.approx(y.sum() / d.sum())
    assert basket.base.sd == pytest.approx(np.sqrt(whole.variance))
    outcome = Outcome(mean=basket.base.mean, sd=basket.base.sd, reach=0.9)
    thirds = Shares(control=1 / 3, treatment=1 / 3)
    watched = Monitoring(method="spending", comparisons=2)
    assert basket.power == pytest.approx(power(outcome, watched, effect=0.1, n=ABLE, shares=thirds))
    assert basket.users_needed == sample_size(outcome, watched, effect=0.1, power=0.8, shares=thirds)


def test_a_quantile_is_planned_from_the_order_statistics_of_the_past(
    database: Database, clock: SteppedClock, past: list[Happened]
) -> None:
    spent = {
        "key": "spent",
        "role": "primary",
        "kind": "quantile",
        "level": 0.9,
        "event": "Order",
        "value": "revenue",
        "window": "28d",
    }
    made = plan(database, clock, document(metrics=[spent]))
    since = clock.now() - 28 * DAY
    y = np.zeros(ABLE)
    for row in past:
        if row.user <= ABLE and row.at >= since:
            y[row.user - 1] += row.properties["revenue"]
    base = metric(made, "spent").base
    assert base.mean == pytest.approx(np.quantile(y, 0.9))
    # The spread of a quantile by the bootstrap, which knows nothing of order statistics.
    rng = np.random.default_rng(3)
    drawn = [np.quantile(rng.choice(y, ABLE), 0.9) for _ in range(2000)]
    assert base.sd == pytest.approx(np.std(drawn) * np.sqrt(ABLE), rel=0.35)
    assert "only to about" in metric(made, "spent").reasons[0]


def test_retention_is_planned_as_a_share(
    database: Database, clock: SteppedClock, past: list[Happened]
) -> None:
    back = {
        "key": "back",
        "role": "primary",
        "kind": "retention",
        "event": "Order",
        "after": "7d",
        "window": "14d",
    }
    made = plan(database, clock, document(metrics=[back]), users=20_000)
    since = clock.now() - 14 * DAY
    again = {row.user for row in past if row.user <= ABLE and since + 7 * DAY <= row.at}
    base = metric(made, "back").base
    assert base.mean == pytest.approx(len(again) / ABLE)
    watched = Monitoring(method="spending", comparisons=2)
    thirds = Shares(control=1 / 3, treatment=1 / 3)
    assert metric(made, "back").users_needed == sample_size(
        Outcome.rate(base.mean, reach=made.reach), watched, effect=0.5, power=0.8, shares=thirds
    )


def test_how_long_it_takes_for_users_who_come_by_an_event(
    database: Database, clock: SteppedClock, past: list[Happened]
) -> None:
    """Three carts a day, of whom all can take part; days until so many are there, and the window of the last."""
    now = clock.now()
    with database.transaction() as session:
        record(
            session, [Happened(user, "Cart", now - (user % 66) * DAY - HOUR, {}) for user in range(1, 199)]
        )
    trigger = {"type": "event", "event": "Cart"}
    said = document(
        trigger=trigger, metrics=[READ], variants=TWO, plan=PLAN | {"ends_after": "37d", "mde": 0.7}
    )
    made = plan(database, clock, said)
    assert made.entry.days == 30
    assert made.entry.per_day == pytest.approx(3.0)
    read = metric(made, "read")
    assert made.method == "always_valid"
    assert read.days_needed == np.ceil(read.users_needed / 3) + 7
    assert read.power < 0.8
    # Nobody enters who could not count by the planned end, so a longer one is enough for more.
    longer = plan(database, clock, document(**{**said, "plan": PLAN | {"ends_after": "90d", "mde": 0.7}}))
    assert metric(longer, "read").power > read.power + 0.2


def test_the_exposed_share_shrinks_with_the_cap_and_with_what_does_not_arrive(
    database: Database, clock: SteppedClock, past: list[Happened]
) -> None:
    with database.transaction() as session:
        other = begin(session, clock, key="yesterday")
        for user in range(1, 31):
            for step in range(3):
                at = clock.now() - (2 + step) * DAY
                session.add(
                    Message(
                        experiment_id=other.id or 0, user_pk=user, variant="reminder", step=step, category="marketing",
                        state="failed" if user <= 15 else "delivered", first_due_at=at, due_at=at,
                        slot_at=at, delivered_at=None if user <= 15 else at,
                    )
                )  # fmt: skip
    made = plan(database, clock, document(variants=TWO, metrics=[BASKET]))
    assert made.audience.left_out["cap"] > 0
    assert made.audience.taking_part == ABLE - made.audience.left_out["cap"]
    assert made.reach == pytest.approx((160 + 45) / 290)
    assert metric(made, "basket").assigned_effect == pytest.approx(
        0.5 * made.reach * metric(made, "basket").base.mean
    )


def test_over_http(http: TestClient, keys: dict[str, str], database: Database, past: list[Happened]) -> None:
    http.headers["Authorization"] = f"Bearer {keys['read']}"
    said = document(
        variants=TWO, metrics=[{**BASKET, "role": "primary"}, {**READ, "role": "secondary"}, OPTED_OUT]
    )
    made = http.post("/v1/plan", json={"campaign": said}).json()
    basket, read, out = made["metrics"]
    assert basket["kind"] == "ratio"
    assert basket["base"]["source"] == "history"
    assert basket["power"] > 0
    assert read["base"] == {
        "mean": 0.4,
        "sd": pytest.approx(0.24**0.5),
        "rho": 0.0,
        "users": 200,
        "source": "campaigns",
    }
    # 6 of 200 messaged users opted out.
    assert out["users_needed"] == CLEARING.size(Outcome.rate(0.03), margin=0.02, power=0.8, shares=HALVES)
    assert CLEARING.words in out["reasons"]
    assert made["factors"] == []


def test_on_the_command_line(touchstone: CommandLine, tmp_path: Path) -> None:
    assert touchstone("migrate").returncode == 0
    database = Database(f"sqlite:///{tmp_path}/touchstone.db")
    with database.transaction() as session:
        settle(session, SystemClock())
        messaged(session, SystemClock())
    database.dispose()
    said = document(variants=TWO, metrics=[BASKET, {**READ, "role": "secondary"}])
    (tmp_path / "campaign.yaml").write_text(yaml.safe_dump(said))
    made = json.loads(touchstone("plan", "campaign.yaml", "--json", "--reach", "0.4").stdout)
    assert made["metrics"][1]["base"]["mean"] == pytest.approx(0.2)
    shown = touchstone("plan", "campaign.yaml", "--reach", "0.9")
    assert "basket (primary)" in shown.stdout
    assert "earlier marketing campaigns" in " ".join(shown.stdout.split())


def test_messages_of_the_last_day_may_still_arrive_and_are_told(
    database: Database, clock: SteppedClock
) -> None:
    with database.transaction() as session:
        settle(session, clock)
        earlier = begin(session, clock, key="earlier")
        for user in range(1, 121):
            send(
                session,
                user=user,
                at=clock.now() - 3 * HOUR,
                state="read",
                experiment_id=earlier.id or 0,
                step=0,
            )
    made = plan(database, clock, document())
    assert (made.reach, made.reach_source) == (
        1.0,
        "assumed: 0 marketing messages of the last month, without its last day, are too few to tell; the 120 of the last day may still arrive",
    )
