"""More coverage and other weights while an experiment runs: some join, nobody moves, and the counts stay right."""

import math
from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlmodel import select

from analysis.reports import service as reports
from delivery.planning import planner
from delivery.watch.summary import summary
from experiments import repository, service
from experiments.audit import AuditEntry
from experiments.clock import SteppedClock
from experiments.database import Database
from experiments.errors import Conflict, Invalid, NotFound
from experiments.lifecycle import Move
from experiments.models import Epoch, Experiment
from experiments.settings import Settings
from targeting import campaigns, enrolment
from targeting.bucketing import hash_unit
from targeting.models import Enrolment
from tests.conftest import START
from tests.integration.enrolling import assignments, begin, counts, enrol, variants
from tests.integration.people import COUPON, REMINDER, SILENCE, add_people, campaign, start_campaign

TWO = {"variants": [SILENCE, REMINDER]}


def ramp(database: Database, clock: SteppedClock, coverage: float, key: str = "spring") -> Experiment:
    with database.transaction() as session:
        return campaigns.ramp(session, clock, actor="ann", key=key, coverage=coverage)


def weigh(
    database: Database, clock: SteppedClock, weights: dict[str, float], *, reason: str = "coupon looks good"
) -> Epoch:
    with database.transaction() as session:
        return service.set_weights(session, clock, actor="ann", key="spring", weights=weights, reason=reason)


def covered(coverage: float, numbers: range) -> set[int]:
    return {n for n in numbers if (hash_unit("coverage:spring", f"user-{n}", 2) or 0.0) < coverage}


def test_more_coverage_adds_users_and_moves_none(database: Database, clock: SteppedClock) -> None:
    numbers = range(1, 401)
    with database.transaction() as session:
        add_people(session, clock, numbers)
        experiment = begin(session, clock, audience={"coverage": 0.2})
    enrol(database, clock, experiment)
    before = variants(database, experiment)
    assert set(before) == covered(0.2, numbers)
    for coverage in (0.5, 1.0):
        ramp(database, clock, coverage)
        enrol(database, clock, experiment, limit=70)
        after = variants(database, experiment)
        assert set(after) == covered(coverage, numbers)
        assert before.items() <= after.items()
        left_out = {"coverage": 400 - len(after)} if len(after) < 400 else {}
        assert counts(database, experiment) == {"assigned": len(after), "excluded": left_out}
        before = after


def test_a_second_walk_counts_everybody_once(database: Database, clock: SteppedClock) -> None:
    """Also those who have been assigned and could not be any more, and those who lost their reason meanwhile."""
    numbers = range(1, 201)
    with database.transaction() as session:
        add_people(session, clock, numbers)
        add_people(session, clock, range(201, 211), consent=[])
        experiment = begin(session, clock, audience={"coverage": 0.5, "holdout": 0.1})
    enrol(database, clock, experiment)
    first = assignments(database, experiment)
    lost = sorted(first)[:20]
    with database.transaction() as session:
        session.connection().exec_driver_sql(
            f"UPDATE consents SET granted = {'0' if database.is_sqlite else 'false'} WHERE user_pk IN ({','.join(map(str, lost))})"
        )
    ramp(database, clock, 1.0)
    enrol(database, clock, experiment, limit=33)
    after = assignments(database, experiment)
    held = {n for n in numbers if (hash_unit("holdout:spring", f"user-{n}", 2) or 0.0) < 0.1}
    assert set(after) == set(numbers) - held
    assert counts(database, experiment) == {
        "assigned": 200 - len(held),
        "excluded": {"consent": 10, "holdout": len(held)},
    }
    assert {pk: row.id for pk, row in first.items()}.items() <= {
        pk: row.id for pk, row in after.items()
    }.items()


def test_a_ramp_in_the_middle_of_the_walk_starts_it_again(database: Database, clock: SteppedClock) -> None:
    with database.transaction() as session:
        add_people(session, clock, range(1, 101))
        experiment = begin(session, clock, audience={"coverage": 0.3})
    with database.transaction() as session:
        enrolment.enrol_batch(
            session, clock, experiment=experiment, limit=40, ineligible={}, global_holdout=0.0
        )
    ramp(database, clock, 0.6)
    # The stale `experiment` still says 0.3; what is stored counts.
    enrol(database, clock, experiment, limit=40)
    assert set(assignments(database, experiment)) == covered(0.6, range(1, 101))
    found = counts(database, experiment)
    assert found["assigned"] + found["excluded"]["coverage"] == 100


def test_a_paused_experiment_is_ramped_and_joins_when_it_goes_on(
    database: Database, clock: SteppedClock
) -> None:
    with database.transaction() as session:
        add_people(session, clock, range(1, 101))
        experiment = begin(session, clock, audience={"coverage": 0.3}, **TWO)
    planner.plan_tick(database, clock, settings=Settings())
    with database.transaction() as session:
        service.move(session, clock, actor="ann", key="spring", move=Move.PAUSE)
    ramp(database, clock, 1.0)
    assert planner.plan_tick(database, clock, settings=Settings()).assigned == 0
    with database.transaction() as session:
        service.move(session, clock, actor="ann", key="spring", move=Move.RESUME)
    planner.plan_tick(database, clock, settings=Settings(), batch=30)
    assert len(assignments(database, experiment)) == 100
    assert planner.plan_tick(database, clock, settings=Settings()).experiments == 0
    with database.snapshot() as session:
        assert summary(session).holds


def test_what_a_ramp_refuses(database: Database, clock: SteppedClock) -> None:
    with database.transaction() as session:
        add_people(session, clock, range(1, 11))
        campaigns.create(session, clock, actor="ann", document=campaign("draft"))
        begin(session, clock, audience={"coverage": 0.5})
    for key, coverage, error, field, words in [
        ("spring", 0.4, Conflict, "coverage", "cannot be lowered"),
        ("spring", 1.5, Invalid, "coverage", "at most 1"),
        ("spring", 0.0, Invalid, "coverage", "above 0"),
        ("spring", float("nan"), Invalid, "coverage", "share"),
        ("draft", 1.0, Conflict, "status", "redesign"),
        ("nobody", 1.0, NotFound, "key", "no experiment"),
    ]:
        with pytest.raises(error, match=words) as caught:
            ramp(database, clock, coverage, key)
        assert [problem.field for problem in caught.value.problems] == [field]
    ramp(database, clock, 0.5)
    with database.transaction() as session:
        service.move(session, clock, actor="ann", key="spring", move=Move.STOP)
    with pytest.raises(Conflict, match="stopped"):
        ramp(database, clock, 1.0)
    with database.snapshot() as session:
        assert not session.exec(select(AuditEntry).where(AuditEntry.action == "experiment.ramp")).all()


def test_a_ramp_is_in_the_audit_log(database: Database, clock: SteppedClock) -> None:
    with database.transaction() as session:
        add_people(session, clock, range(1, 11))
        begin(session, clock, audience={"coverage": 0.5})
    assert service.design_of(ramp(database, clock, 0.75)).audience.coverage == 0.75
    with database.snapshot() as session:
        entry = session.exec(select(AuditEntry).where(AuditEntry.action == "experiment.ramp")).one()
        assert not session.exec(select(Enrolment)).all()  # nothing to walk again
    assert entry.actor == "ann"
    assert [side["definition"]["audience"]["coverage"] for side in (entry.before, entry.after) if side] == [
        0.5,
        0.75,
    ]


def test_while_it_is_walked_again_the_report_knows_what_is_to_come(
    database: Database, clock: SteppedClock
) -> None:
    with database.transaction() as session:
        add_people(session, clock, range(1, 401))
        experiment = begin(session, clock, audience={"coverage": 0.25})
    enrol(database, clock, experiment)
    before = len(assignments(database, experiment))
    ramp(database, clock, 0.5)
    ramp(database, clock, 1.0)
    assert counts(database, experiment)["expected"] == pytest.approx(4 * before, abs=1)
    with database.snapshot() as session:
        progress = session.get_one(Enrolment, experiment.id)
        assert reports.expected_users(before, progress, is_over=False, highest_user=400) == pytest.approx(
            4 * before, abs=1
        )
    enrol(database, clock, experiment)
    assert "expected" not in counts(database, experiment)


@given(
    steps=st.lists(st.integers(5, 100).map(lambda hundredth: hundredth / 100), min_size=2, max_size=4),
    ratio=st.tuples(st.integers(1, 5), st.integers(1, 5)),
)
@settings(max_examples=8)
def test_any_ramp_ends_as_if_it_had_begun_there(
    sqlite_template: Any, tmp_path_factory: Any, steps: list[float], ratio: tuple[int, int]
) -> None:
    path = tmp_path_factory.mktemp("ramp") / "ramp.db"
    path.write_bytes(sqlite_template.read_bytes())
    database, clock = Database(f"sqlite:///{path}"), SteppedClock(START)
    arms = [{**SILENCE, "weight": ratio[0]}, {**REMINDER, "weight": ratio[1]}]
    with database.transaction() as session:
        add_people(session, clock, range(1, 61))
        experiment = start_campaign(
            session, clock, campaign(audience={"coverage": min(steps)}, variants=arms)
        )
    enrol(database, clock, experiment)
    before = variants(database, experiment)
    for coverage in sorted(steps)[1:]:
        ramp(database, clock, coverage)
        enrol(database, clock, experiment, limit=17)
        after = variants(database, experiment)
        assert before.items() <= after.items()
        before = after
    assert set(before) == covered(max(steps), range(1, 61))
    assert counts(database, experiment)["assigned"] == len(before)
    database.dispose()


def test_new_weights_decide_for_new_users_only_and_are_their_propensity(
    database: Database, clock: SteppedClock
) -> None:
    numbers = range(1, 1001)
    with database.transaction() as session:
        add_people(session, clock, numbers)
        experiment = begin(session, clock, audience={"coverage": 0.5}, **TWO)
    enrol(database, clock, experiment, limit=500)
    before = assignments(database, experiment)
    epoch = weigh(database, clock, {"silence": 1, "reminder": 4})
    assert (epoch.number, epoch.weights) == (2, {"silence": 0.2, "reminder": 0.8})
    ramp(database, clock, 1.0)
    enrol(database, clock, experiment, limit=500)
    after = assignments(database, experiment)
    assert all(
        (after[pk].variant, after[pk].epoch, after[pk].propensity) == (row.variant, 1, 0.5)
        for pk, row in before.items()
    )
    new = [row for pk, row in after.items() if pk not in before]
    assert {(row.epoch, row.variant, row.propensity) for row in new} == {
        (2, "silence", 0.2),
        (2, "reminder", 0.8),
    }
    share = Counter(row.variant for row in new)["silence"] / len(new)
    assert abs(share - 0.2) < 4 * (0.2 * 0.8 / len(new)) ** 0.5
    assert set(after) == set(numbers)


def test_shares_stay_as_they_were_said_to_the_last_digit(database: Database, clock: SteppedClock) -> None:
    with database.transaction() as session:
        add_people(session, clock, range(1, 11))
        begin(session, clock, **TWO)
    shares = {"silence": 0.3, "reminder": math.nextafter(0.7, 0)}
    assert math.fsum(shares.values()) < 1
    assert weigh(database, clock, shares).weights == shares


def test_a_variant_of_weight_0_gets_nobody_new(database: Database, clock: SteppedClock) -> None:
    with database.transaction() as session:
        add_people(session, clock, range(1, 51))
        experiment = begin(session, clock)
    weigh(database, clock, {"silence": 1, "reminder": 0, "coupon": 1})
    enrol(database, clock, experiment)
    assert set(variants(database, experiment).values()) == {"silence", "coupon"}


def test_epochs_follow_each_other_and_say_why(database: Database, clock: SteppedClock) -> None:
    with database.transaction() as session:
        add_people(session, clock, range(1, 11))
        experiment = begin(session, clock, **TWO)
    weigh(database, clock, {"silence": 0.25, "reminder": 0.75}, reason="the reminder wins")
    same = weigh(database, clock, {"silence": 1, "reminder": 3}, reason="again")
    assert (same.number, same.reason) == (2, "the reminder wins")
    with database.snapshot() as session:
        epochs = session.exec(select(Epoch).order_by(Epoch.number)).all()
        assert [(row.number, row.closed_at, row.reason) for row in epochs] == [
            (1, clock.now(), "start"),
            (2, None, "the reminder wins"),
        ]
        assert repository.current_epoch(session, experiment.id or 0).number == 2
        entry = session.exec(select(AuditEntry).where(AuditEntry.action == "experiment.weights")).one()
    assert entry.before == {"epoch": 1, "weights": {"silence": 0.5, "reminder": 0.5}}
    assert entry.after == {
        "epoch": 2,
        "weights": {"silence": 0.25, "reminder": 0.75},
        "reason": "the reminder wins",
    }


@pytest.mark.parametrize(
    ("weights", "reason", "fields"),
    [
        ({"silence": 1}, "why", ["weights.reminder"]),
        ({"silence": 1, "reminder": 1, "coupon": 1}, "why", ["weights.coupon"]),
        ({"silence": 1, "reminder": -1}, "why", ["weights.reminder"]),
        ({"silence": 1, "reminder": float("nan")}, "why", ["weights.reminder"]),
        ({"silence": 1, "reminder": float("inf")}, "why", ["weights.reminder"]),
        ({"silence": 0.5, "reminder": 0.4}, "why", ["weights"]),
        ({"silence": 0, "reminder": 0}, "why", ["weights"]),
        ({"silence": 1, "reminder": 2}, "  ", ["reason"]),
        ({"silence": 1, "reminder": 2}, "x" * 501, ["reason"]),
    ],
    ids=["missing", "unknown", "negative", "nan", "infinite", "a slip", "all 0", "no reason", "long reason"],
)
def test_weights_that_are_refused_change_nothing(
    database: Database, clock: SteppedClock, weights: dict[str, float], reason: str, fields: list[str]
) -> None:
    with database.transaction() as session:
        add_people(session, clock, range(1, 3))
        begin(session, clock, **TWO)
    with pytest.raises(Invalid) as caught:
        weigh(database, clock, weights, reason=reason)
    assert [problem.field for problem in caught.value.problems] == fields
    with database.snapshot() as session:
        assert [row.number for row in session.exec(select(Epoch))] == [1]


def test_the_weights_of_a_draft_are_its_design(database: Database, clock: SteppedClock) -> None:
    with database.transaction() as session:
        campaigns.create(session, clock, actor="ann", document=campaign(**TWO))
    with pytest.raises(Conflict, match="draft"):
        weigh(database, clock, {"silence": 1, "reminder": 2})


def test_a_report_says_when_weights_have_changed(database: Database, clock: SteppedClock) -> None:
    with database.transaction() as session:
        add_people(session, clock, range(1, 201))
        experiment = begin(session, clock, audience={"coverage": 0.5}, variants=[SILENCE, REMINDER, COUPON])
    enrol(database, clock, experiment)
    weigh(database, clock, {"silence": 1, "reminder": 1, "coupon": 2})

    def notices() -> list[dict[str, Any]]:
        with database.transaction() as session:
            body = reports.refresh_report(session, clock, key="spring").body
        return [check for check in body["health"] if check["check"] == "weights_changed"]

    assert notices() == []  # nobody has been drawn with the new weights
    ramp(database, clock, 1.0)
    enrol(database, clock, experiment)
    (told,) = notices()
    assert (told["ok"], told["blocking"], told["p_value"]) == (True, False, None)
    assert "epoch 2: silence 0.25, reminder 0.25, coupon 0.5" in told["detail"]
