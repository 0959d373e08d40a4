"""A bandit over the whole path: import, sign-ups, messages, receipts, clicks, orders, reallocations, reports.

Everything is seeded and time is stepped, so a run is the same each time. That the claims would hold with other luck too was tried
in simulated campaigns of the same rates, delays and policy, with the production `weights` after every day: in 0 of 10,000 was the best arm
not the largest, or had it half of the second week's users or less. In 0 of 3,900, compared by the production `compare_by_epoch` at the end, did one of
the three 99.8 % intervals of `bought` miss its truth, or that of the best arm reach down to 0. What remains is the alarm of the sample-ratio
test, which goes off by mistake in 1 of 1,000 campaigns at most (an e-value of 1000).
"""

from collections import Counter, defaultdict
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any, Final

import pytest

from analysis.bandits.evidence import arms_of, evidence_of, fingerprint, policy_of, weights_of
from analysis.facts.allocation_facts import gather_allocation
from analysis.facts.engines import SessionFacts
from analysis.reports.replay import replay
from analysis.stats.allocation import weights
from dashboard import charts, verdicts
from dashboard.headline import headline
from dashboard.reading import read_report
from experiments.design import ExperimentDesign
from experiments.repository import get_experiment
from experiments.service import design_of
from tests.conftest import START
from tests.e2e import bandit_campaign as world
from tests.e2e.bandit_campaign import BEST, KEY, Rows
from tests.e2e.stepped_campaign import SteppedCampaign, answer_of

DAY: Final = timedelta(days=1)
WEEK: Final = timedelta(days=7)
MESSAGED: Final = ("hello", "series", "coupon")
TRUE: Final = {"bought": "buy", "revenue": "revenue", "opted_out": "opted_out"}
"""What the simulator's truth calls each metric."""


@pytest.mark.slow
def test_a_bandit_over_the_whole_path(tmp_path: Any) -> None:
    _rehearse(f"sqlite:///{tmp_path}/touchstone.db")


@pytest.mark.slow
def test_the_same_on_postgresql(blank_postgres_url: str) -> None:
    _rehearse(blank_postgres_url)


def _rehearse(database_url: str) -> None:
    with world.campaign_on(database_url, start=START) as campaign:
        agreed = world.run(campaign)
        report = campaign.get(f"/v1/experiments/{KEY}/report", max_age=0)
        with campaign.wiring.database.snapshot() as session:
            rows = world.read_rows(session)
        assert sorted(rows.people[row.user_pk] for row in rows.assignments) == agreed
        _traffic_has_moved_to_the_best(campaign, rows)
        _propensities_are_the_weights(rows)
        _every_change_is_in_the_audit_log(campaign, rows)
        _the_same_data_give_the_same_weights(campaign, rows)
        _a_bandit_knows_what_the_rows_say(rows)
        _caps_hold(rows)
        _everything_is_accounted_for(campaign, rows)
        _intervals_contain_the_truth(report, campaign.truth())
        _the_report_says_how_it_compares(report)
        _the_report_can_be_made_again(campaign, report)
        _the_report_is_shown(campaign, report)


def _traffic_has_moved_to_the_best(campaign: SteppedCampaign, rows: Rows) -> None:
    days = world.DAYS + world.TAIL_DAYS
    assert [row.slot for row in rows.reallocations] == list(range(1, days + 1))
    moved = [row for row in rows.reallocations if row.outcome == "moved"]
    assert moved, [row.reason for row in rows.reallocations]
    assert [row.epoch for row in moved] == [epoch.number for epoch in rows.epochs[1:]]
    for row, epoch in zip(moved, rows.epochs[1:], strict=True):
        arms = row.numbers["arms"]
        assert {key: arm["new_weight"] for key, arm in arms.items()} == epoch.weights
        assert sum(epoch.weights.values()) == pytest.approx(1)
        assert min(epoch.weights.values()) >= world.FLOOR - 1e-12
        assert BEST in row.reason or arms[BEST]["p_best"] < 0.5
    assert all(row.reason for row in rows.reallocations)
    later = [row for row in rows.assignments if row.assigned_at > START + world.DAYS / 2 * DAY]
    of_later = Counter(row.variant for row in later)
    assert of_later[BEST] > len(later) / 2, of_later
    assert max(rows.users(), key=lambda key: len(rows.users()[key])) == BEST
    shown = campaign.get(f"/v1/experiments/{KEY}/allocation", limit=100)
    assert [each["outcome"] for each in reversed(shown["reallocations"])] == [
        row.outcome for row in rows.reallocations
    ]
    assert shown["weights"] == rows.epochs[-1].weights


def _propensities_are_the_weights(rows: Rows) -> None:
    by_number = {epoch.number: epoch for epoch in rows.epochs}
    starts = [epoch.opened_at for epoch in rows.epochs]
    for row in rows.assignments:
        assert row.propensity == by_number[row.epoch].weights[row.variant]
        # The epoch that was open then; where both have the same moment, users were drawn before it opened.
        assert row.epoch == max(1, sum(at < row.assigned_at for at in starts))
    assert set(by_number) == {row.epoch for row in rows.assignments}


def _every_change_is_in_the_audit_log(campaign: SteppedCampaign, rows: Rows) -> None:
    log = list(campaign.every("/v1/audit", subject_kind="experiment", subject_key=KEY))
    moves = [entry for entry in reversed(log) if entry["action"] == "experiment.weights"]
    assert len(moves) == len(rows.epochs) - 1
    assert {entry["actor"] for entry in moves} == {"bandit"}
    moved = [row for row in rows.reallocations if row.outcome == "moved"]
    for entry, row, before, after in zip(moves, moved, rows.epochs, rows.epochs[1:], strict=False):
        assert entry["before"]["weights"] == before.weights
        assert entry["after"]["weights"] == after.weights
        assert entry["after"] == {
            "epoch": after.number,
            "weights": after.weights,
            "reason": row.reason,
            **row.numbers,
        }


def _the_same_data_give_the_same_weights(campaign: SteppedCampaign, rows: Rows) -> None:
    """Every slot once more at the end: from what had happened by then come the counts, and the weights, to the last digit."""
    with campaign.wiring.database.snapshot() as session:
        design = design_of(get_experiment(session, KEY))
        assert design.bandit is not None
        metric = design.metric_definitions()["bought"]
        for row in rows.reallocations:
            facts = gather_allocation(
                SessionFacts(session),
                experiment_id=rows.experiment_id,
                metric=metric,
                variants=[variant.key for variant in design.variants],
                as_of=row.at,
            )
            assert fingerprint(facts) == row.numbers["data"]
            if row.outcome == "moved":
                assert (
                    _weights(facts, design, rows, number=row.epoch - 1) == rows.epochs[row.epoch - 1].weights
                )


def _weights(facts: Any, design: ExperimentDesign, rows: Rows, *, number: int) -> dict[str, float]:
    """What follows from the facts while epoch `number` was open."""
    bandit, metric = design.bandit, design.metric_definitions()["bought"]
    assert bandit is not None
    history = [epoch.weights for epoch in rows.epochs if epoch.number <= number]
    arms = arms_of(facts, history=history, burn_in=bandit.burn_in)
    return weights_of(
        weights(evidence_of(facts, design, metric, arms), policy_of(bandit, metric, arms)), arms
    )


def _a_bandit_knows_what_the_rows_say(rows: Rows) -> None:
    """Users and conversions behind each slot, counted one by one."""
    for slot in rows.reallocations:
        arms = slot.numbers["arms"]
        for variant, assigned in rows.users(until=slot.at).items():
            told = arms[variant]
            buyers = sum(_has_bought(rows, row.user_pk, row.assigned_at, slot.at) for row in assigned)
            assert told["users"] == len(assigned)
            # An age is rounded down to the edge of a bin, so the newest orders may still be left out.
            assert told["conversions"] <= buyers
        if slot is rows.reallocations[-1]:
            assert sum(arm["conversions"] for arm in arms.values()) == sum(
                _has_bought(rows, row.user_pk, row.assigned_at, slot.at) for row in rows.assignments
            )


def _has_bought(rows: Rows, user: int, assigned: datetime, until: datetime) -> bool:
    end = min(assigned + world.WINDOW, until)
    return any(assigned <= at < end for at in rows.orders.get(user, ()))


def _caps_hold(rows: Rows) -> None:
    """The ledger of every user, window by window."""
    slots: dict[int, list[datetime]] = defaultdict(list)
    for message in rows.messages:
        if message.slot_at is not None:
            slots[message.user_pk].append(message.slot_at)
    assert slots
    marketing = world.CAPS["marketing"]
    for taken in slots.values():
        for at in taken:
            # Half-open: a slot counts until exactly one window after it was taken.
            assert sum(at - DAY < other <= at for other in taken) <= marketing["day"]
            assert sum(at - WEEK < other <= at for other in taken) <= marketing["week"]
        taken.sort()
        assert all(later - earlier >= world.INTERVAL for earlier, later in pairwise(taken))
    # The policy has had something to hold back: a series asks for a message a day, and its third goes when a week has passed.
    series = {
        step: {
            m.user_pk: m.slot_at
            for m in rows.messages
            if m.slot_at is not None and (m.variant, m.step) == ("series", step)
        }
        for step in range(3)
    }
    both = set(series[0]) & set(series[2])
    assert len(both) > 100
    assert all(series[2][user] - series[0][user] >= WEEK for user in both)
    assert {message.user_pk for message in rows.messages} <= {row.user_pk for row in rows.assignments}


def _everything_is_accounted_for(campaign: SteppedCampaign, rows: Rows) -> None:
    summary = campaign.get("/v1/delivery/summary", experiment=KEY)
    assert summary["holds"]
    (books,) = summary["books"]
    assert books["holds"]
    (told,) = summary["experiments"]
    assigned = {variant: len(users) for variant, users in rows.users().items()}
    owed = assigned["hello"] + assigned["coupon"] + world.STEPS_OF_SERIES * assigned["series"]
    states = ("sent", "inflight", "waiting", "suppressed", "failed", "unknown", "cancelled", "expired")
    assert told["slots"] == owed == len(rows.messages) == sum(told[state] for state in states)
    assert (told["inflight"], told["unknown"], told["failed"]) == (0, 0, 0)
    assert {message.variant for message in rows.messages} == set(MESSAGED)
    # The other side of the line has the same books.
    totals = answer_of(campaign.simulator.get("/simulator/ledger"))["totals"]
    status = answer_of(campaign.simulator.get("/simulator/status"))
    assert totals["doubled"] == totals["unanswered"] == 0
    assert (status["failed_calls"], status["webhooks_lost"]) == (0, 0)
    assert totals["accepted"] - totals["states"].get("failed", 0) == told["sent"]


def _intervals_contain_the_truth(report: dict[str, Any], truth: dict[str, Any]) -> None:
    checked = 0
    for metric in report["metrics"]:
        name = TRUE[metric["metric"]]
        for effect in metric["effects"]:
            of_template = truth["treatments"][f"welcome_{effect['variant']}"]
            true = of_template[name] if name == "opted_out" else of_template["difference"][name]
            interval = effect["absolute"]
            assert interval["lower"] <= true <= interval["upper"], (metric["metric"], effect["variant"], true)
            checked += 1
    assert checked == len(TRUE) * len(MESSAGED)


def _the_report_says_how_it_compares(report: dict[str, Any]) -> None:
    (told,) = [each for each in report["warnings"] if "different weights over time" in each]
    assert "batched least squares" in told
    assert "arms are not compared as one pool" in told
    tests = {effect["test"] for metric in report["metrics"] for effect in metric["effects"]}
    assert tests == {"exact_by_epoch", "welch_by_epoch"}
    assert sum("AW-AIPW" in note for note in report["notes"]) == len(MESSAGED)
    checks = {check["check"]: check for check in report["health"]}
    assert (checks["weights_changed"]["ok"], checks["srm"]["ok"]) == (True, True)
    assert report["decision"]["variant"] == BEST


def _the_report_can_be_made_again(campaign: SteppedCampaign, report: dict[str, Any]) -> None:
    kept = list(campaign.every(f"/v1/experiments/{KEY}/reports"))
    assert len(kept) >= world.DAYS
    for each in (kept[0], kept[len(kept) // 2]):
        again = replay(campaign.get(f"/v1/experiments/{KEY}/reports/{each['id']}"))
        assert again.same, again.lines()
    newest = campaign.get(f"/v1/experiments/{KEY}/reports/{kept[0]['id']}")
    assert newest["metrics"] == report["metrics"]


def _the_report_is_shown(campaign: SteppedCampaign, report: dict[str, Any]) -> None:
    page = campaign.http.get(f"/v1/experiments/{KEY}/report.html")
    assert page.is_success
    assert "Weights changed while it ran" in page.text
    assert not {"nan", "None"} & set(page.text.replace("<", " ").replace(">", " ").split())
    assert f"touchstone replay {report['provenance']['id']}" in page.text
    shown = read_report(report, design=campaign.get(f"/v1/experiments/{KEY}")["design"])
    title = headline(shown).title
    assert title.startswith(f"{BEST} brings ")
    assert "safe to ship" in title
    for metric in shown.metrics:
        assert charts.effects(metric, "absolute", alpha=shown.alpha) is not None
        assert all(verdicts.sentence(effect, metric, shown) for effect in metric.effects)
    table = campaign.http.get(f"/v1/experiments/{KEY}/report.csv")
    assert table.is_success
    assert len(table.text.splitlines()) == 1 + len(TRUE) * (1 + len(MESSAGED))
