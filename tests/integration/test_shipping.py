"""A variant is shipped: the rest gets it, whoever was drawn stays, and the report keeps to those who were drawn; on both databases."""

from collections import Counter
from datetime import timedelta
from typing import Any

import pytest
from sqlmodel import select

from analysis.reports import shipping
from analysis.reports.service import current_report, is_due, refresh_report
from delivery.models import Message
from delivery.planning import planner
from delivery.watch.books import Books
from delivery.watch.why import why
from experiments import arms as experiment_arms
from experiments import service
from experiments.clock import SteppedClock, format_moment
from experiments.database import Database
from experiments.errors import Conflict, Invalid, NotFound, TouchstoneError
from experiments.lifecycle import Move
from experiments.stopped_arms import release_arm
from targeting import campaigns
from tests.integration.analysis_rows import DAY
from tests.integration.broadcast import (
    COUPON,
    KEY,
    ORDER,
    WINS,
    arms,
    assigned,
    audited,
    experiment,
    people_buy,
)
from tests.integration.outbox import settings
from tests.integration.people import REMINDER, SILENCE, add_people, campaign, start_campaign
from tests.integration.rule_world import happens, tick

CONTINUE = {"action": "continue", "variant": None, "because": "more data may decide"}
SHIP = {"action": "ship", "variant": "coupon", "because": "it is better"}
KEEP = {"action": "keep_control", "variant": None, "because": "all are worse"}


def begin(database: Database, clock: SteppedClock, *, people: int = 900, **changes: Any) -> None:
    """A campaign with fixed weights that covers half of its audience, planned."""
    with database.transaction() as session:
        add_people(session, clock, range(1, people + 1))
        document = campaign(
            variants=[SILENCE, REMINDER, COUPON],
            metrics=[ORDER],
            audience={"coverage": 0.5, "holdout": 0.1},
            **changes,
        )
        start_campaign(session, clock, document)
    plan(database, clock)


def plan(database: Database, clock: SteppedClock) -> None:
    planner.plan_tick(database, clock, settings=settings())


def ship(database: Database, clock: SteppedClock, decision: dict[str, Any], **asked: Any) -> bool:
    with database.transaction() as session:
        return shipping.ship(
            session, clock, actor="ann", key=KEY, decision=decision, as_of=clock.now(), **asked
        )[1]


def report(database: Database, clock: SteppedClock) -> dict[str, Any]:
    with database.transaction() as session:
        return dict(refresh_report(session, clock, key=KEY).body)


def test_the_winner_goes_to_the_rest_and_the_numbers_stay(database: Database, clock: SteppedClock) -> None:
    begin(database, clock, people=2000)
    people_buy(database, clock, WINS)
    drawn = assigned(database)
    clock.advance(2 * DAY)
    before = report(database, clock)
    assert before["decision"]["action"] == "ship"
    assert ship(database, clock, before["decision"])
    assert not ship(database, clock, before["decision"])
    plan(database, clock)
    after = assigned(database)
    rest = {pk: row for pk, row in after.items() if pk not in drawn}
    assert len(after) > 1.9 * len(drawn)
    assert {row.variant for row in rest.values()} == {"coupon"}
    # They buy all the time, and nobody hears of it.
    people_buy(database, clock, {"coupon": 1.0})
    clock.advance(3 * DAY)
    frozen = report(database, clock)
    for part in ("arms", "metrics"):
        # Messages that waited have not gone out; the sums of the outcomes are those of the drawn.
        assert frozen[part] == before[part], part
    assert frozen["decision"]["variant"] == "coupon"
    assert frozen["health"] == before["health"]
    assert any("coupon was shipped at" in warning for warning in frozen["warnings"])
    assert frozen["warnings"] != before["warnings"]
    Books(database, clock).tick()
    with database.snapshot() as session:
        found = why(
            session, clock, user_id=f"user-{min(rest)}", experiment=KEY, settings=settings()
        ).experiments[0]
        messages = Counter(message.user_pk for message in session.exec(select(Message)))
    assert found.because.startswith("Given variant 'coupon' on")
    assert "it was shipped to all who were not drawn before" in found.because
    assert set(messages.values()) == {1}
    held = 2000 - len(after)
    # The holdout stays held out: a tenth.
    assert abs(held - 200) < 4.5 * 14


def test_reports_are_made_until_the_windows_of_the_drawn_have_closed(
    database: Database, clock: SteppedClock
) -> None:
    begin(database, clock)
    ship(database, clock, SHIP)
    found, hour = experiment(database), timedelta(hours=1)
    shipped = found.shipped_at
    assert shipped is not None
    assert is_due(found, None, last=shipped, now=shipped + hour, every=hour)
    assert not is_due(found, None, last=shipped + DAY, now=shipped + 9 * DAY, every=hour)
    current_report(database, clock, key=KEY, max_age=timedelta(0))


def test_what_the_report_does_not_say_is_shipped_by_force_only(
    database: Database, clock: SteppedClock
) -> None:
    begin(database, clock)

    def refused(decision: dict[str, Any], **asked: Any) -> TouchstoneError:
        with pytest.raises(TouchstoneError) as error:
            ship(database, clock, decision, **asked)
        return error.value

    error = refused(CONTINUE)
    assert isinstance(error, Conflict)
    assert "the report's decision is continue, which ships nothing: more data may decide" in str(error)
    assert f"the report is of {format_moment(clock.now())}: look anew (`touchstone report {KEY}`)" in str(
        error
    )
    assert isinstance(refused(SHIP, variant="reminder"), Conflict)
    assert isinstance(refused(KEEP), Conflict)
    assert isinstance(refused(KEEP, variant="coupon"), Conflict)
    error = refused(CONTINUE, force=True, variant="coupon")
    assert isinstance(error, Invalid)
    assert [each.field for each in error.problems] == ["reason"]
    error = refused(CONTINUE, force=True, reason="the boss says so")
    assert [each.field for each in error.problems] == ["variant"]
    assert isinstance(refused(SHIP, variant="voucher", force=True, reason="why not"), NotFound)
    assert experiment(database).shipped is None
    assert ship(database, clock, CONTINUE, force=True, variant="reminder", reason="the boss says so")
    assert isinstance(refused(SHIP, variant="coupon"), Conflict)
    assert isinstance(refused(SHIP, variant="coupon", force=True, reason="no"), Conflict)
    assert not ship(database, clock, CONTINUE, variant="reminder")
    (entry,) = audited(database, "experiment.ship")
    assert entry.actor == "ann"
    assert entry.before == {
        "status": "running", "coverage": 0.5, "ends_after": None, "released": None
    }  # fmt: skip
    assert entry.after is not None
    assert {name: entry.after[name] for name in ("variant", "reason", "decision", "forced")} == {
        "variant": "reminder",
        "reason": "the boss says so",
        "decision": CONTINUE,
        "forced": True,
    }


def test_shipping_the_silent_control_ends_the_messages(database: Database, clock: SteppedClock) -> None:
    begin(database, clock)
    before = arms(database)
    assert ship(database, clock, KEEP, variant="silence")
    assert not ship(database, clock, KEEP, variant="silence")
    found = experiment(database)
    assert (found.status, found.shipped) == ("stopped", "silence")
    assert found.stopped_at == found.shipped_at
    plan(database, clock)
    assert arms(database) == before
    with database.snapshot() as session:
        assert {str(message.state) for message in session.exec(select(Message))} == {"cancelled"}
    Books(database, clock).tick()


def test_a_shipped_experiment_is_paused_and_stopped_and_not_changed(
    database: Database, clock: SteppedClock
) -> None:
    begin(database, clock)
    with database.transaction() as session:
        service.move(session, clock, actor="ann", key=KEY, move=Move.PAUSE)
    ship(database, clock, SHIP)
    assert experiment(database).status == "paused"
    half = len(assigned(database))
    plan(database, clock)
    assert len(assigned(database)) == half
    weights = {"silence": 1, "reminder": 1, "coupon": 1}

    def attempts() -> list[Any]:
        return [
            lambda s: campaigns.ramp(s, clock, actor="ann", key=KEY, coverage=1.0),
            lambda s: service.set_weights(s, clock, actor="ann", key=KEY, weights=weights, reason="again"),
            lambda s: experiment_arms.retire_variant(
                s, clock, actor="ann", key=KEY, variant="reminder", reason="x", silence=False
            ),
        ]

    for attempt in attempts():
        with database.transaction() as session, pytest.raises(Conflict, match="has shipped 'coupon'"):
            attempt(session)
    with database.transaction() as session:
        service.move(session, clock, actor="ann", key=KEY, move=Move.RESUME)
    plan(database, clock)
    assert len(assigned(database)) > half
    with database.transaction() as session:
        planner.stop(session, clock, actor="ann", key=KEY)
    assert experiment(database).status == "stopped"
    with database.snapshot() as session:
        assert {str(message.state) for message in session.exec(select(Message))} == {"cancelled"}


def test_a_draft_and_a_stopped_experiment_ship_nothing(database: Database, clock: SteppedClock) -> None:
    with database.transaction() as session:
        add_people(session, clock, range(1, 50))
        campaigns.create(session, clock, actor="test", document=campaign(variants=[SILENCE, COUPON]))
    with pytest.raises(Conflict, match="is draft"):
        ship(database, clock, SHIP)
    with database.transaction() as session:
        campaigns.start(session, clock, actor="test", key=KEY)
        planner.stop(session, clock, actor="test", key=KEY)
    with pytest.raises(Conflict, match="is stopped"):
        ship(database, clock, SHIP)


def test_whoever_comes_by_an_event_gets_the_winner_also_after_the_planned_end(
    database: Database, clock: SteppedClock
) -> None:
    with database.transaction() as session:
        add_people(session, clock, range(1, 301))
        document = campaign(
            variants=[SILENCE, REMINDER, COUPON],
            metrics=[ORDER],
            audience={"coverage": 0.5},
            trigger={"type": "event", "event": "Signed Up"},
            plan={"ends_after": "3d"},
        )
        start_campaign(session, clock, document)

    def sign_up(first: int, last: int) -> None:
        happens(database, clock, *(f"user-{n}" for n in range(first, last)), name="Signed Up")
        tick(database, clock)
        clock.advance(timedelta(minutes=5))

    sign_up(1, 101)
    drawn = assigned(database)
    assert len({row.variant for row in drawn.values()}) == 3
    ship(database, clock, SHIP)
    sign_up(101, 201)
    clock.advance(5 * DAY)
    sign_up(201, 301)
    came = {pk: row for pk, row in assigned(database).items() if pk not in drawn}
    assert set(came) == set(range(101, 301))
    assert {(row.variant, row.forced, row.source) for row in came.values()} == {("coupon", True, "ship")}
    plan(database, clock)
    assert report(database, clock)["decision"]["action"] in {"continue", "inconclusive"}
    assert sum(arm["assigned"] for arm in report(database, clock)["arms"]) == len(drawn)


def test_an_epoch_of_one_variant_alone_compares_nobody(database: Database, clock: SteppedClock) -> None:
    """Not shipped but weighted by hand, so its users are drawn (with certainty) and counted: no effect hears of them."""
    begin(database, clock, people=2000, plan={"method": "always_valid"})
    people_buy(database, clock, WINS)
    clock.advance(2 * DAY)
    before = report(database, clock)
    only = {"silence": 0, "reminder": 0, "coupon": 1}
    with database.transaction() as session:
        service.set_weights(session, clock, actor="ann", key=KEY, weights=only, reason="all of them")
        campaigns.ramp(session, clock, actor="ann", key=KEY, coverage=1.0)
    plan(database, clock)
    people_buy(database, clock, {"coupon": 0.9})
    clock.advance(2 * DAY)
    after = report(database, clock)
    assert sum(arm["assigned"] for arm in after["arms"]) > 1.8 * sum(
        arm["assigned"] for arm in before["arms"]
    )
    assert [
        check["ok"] for check in after["health"] if check["check"] == "srm" and check["stage"] == "assigned"
    ] == [True]
    for was, now in zip(before["metrics"][0]["effects"], after["metrics"][0]["effects"], strict=True):
        assert now["absolute"]["estimate"] == pytest.approx(was["absolute"]["estimate"], abs=0.005)
        assert now["significant"] == was["significant"]
    assert after["decision"]["variant"] == "coupon"


def test_a_stopped_variant_is_not_shipped_and_a_shipped_one_is_stopped(
    database: Database, clock: SteppedClock
) -> None:
    begin(database, clock)

    def harm(variant: str) -> bool:
        with database.transaction() as session:
            found = planner.stop_harmful(
                session,
                clock,
                actor="guard",
                key=KEY,
                variant=variant,
                guard="opted_out",
                reason="too many leave",
                numbers={},
            )
        return found is not None

    assert harm("reminder")
    with pytest.raises(Conflict, match="was stopped by a guardrail"):
        ship(database, clock, CONTINUE, variant="reminder", force=True, reason="all the same")
    ship(database, clock, SHIP)
    with database.transaction() as session:
        epoch = release_arm(session, clock, actor="ann", key=KEY, variant="reminder", reason="it was a bug")
    assert epoch.weights == {"silence": 0.0, "reminder": 0.0, "coupon": 1.0}
    plan(database, clock)
    assert harm("coupon")
    # Nobody is left who sends anything to anybody new, so it pauses.
    found = experiment(database)
    assert (found.status, found.silenced) == ("paused", ["coupon"])
    with (
        database.transaction() as session,
        pytest.raises(Conflict, match="has stopped 'coupon', which whoever comes would get"),
    ):
        campaigns.resume(session, clock, actor="ann", key=KEY)
    with database.snapshot() as session:
        mine = session.exec(select(Message).where(Message.variant == "coupon")).all()
    assert {str(message.state) for message in mine} == {"cancelled"}
    Books(database, clock).tick()
    with database.transaction() as session:
        release_arm(session, clock, actor="ann", key=KEY, variant="coupon", reason="it was a bug as well")
        assert campaigns.resume(session, clock, actor="ann", key=KEY).status == "running"
