"""Reports hand on how much users varied at their look; those from before go on as they were."""

import copy
from datetime import timedelta

import pytest

from analysis.reports import history, service
from analysis.reports.evidence import hashes_of, read_inputs
from analysis.reports.replay import replay
from experiments.clock import SteppedClock
from experiments.database import Database
from tests.integration.looks import campaign, look_often


def test_every_look_knows_the_variances_of_those_before_it(database: Database, clock: SteppedClock) -> None:
    key = campaign(database, clock, users=300)
    kept = look_often(database, clock, key, looks=5, every=timedelta(hours=31))
    seen = [read_inputs((report.inputs or {})["data"]).plan.variances for report in kept]
    assert seen[0] == {}
    with_users = [report for report in kept if report.information > 0]
    assert len(with_users) >= 3
    last = seen[-1]
    assert last is not None
    assert set(last) == {"bought", "revenue", "opted_out"}
    before = [report for report in with_users[:-1] if report.information < with_users[-1].information - 0.01]
    assert [fraction for fraction, _ in last["bought"]] == [report.information for report in before]
    for report, (_, variance) in zip(before, last["bought"], strict=True):
        (shown,) = [each for each in report.body["metrics"] if each["metric"] == "bought"]
        spread = [(arm["n"], arm["sd"] ** 2) for arm in shown["arms"] if arm["n"]]
        assert variance == pytest.approx(sum(n * each for n, each in spread) / sum(n for n, _ in spread))
    assert all(replay(history.exported(report)).same for report in kept)


def test_a_report_from_before_is_made_again_as_it_was_and_read_by_the_next(
    database: Database, clock: SteppedClock
) -> None:
    key = campaign(database, clock, users=300)
    *_, last = look_often(database, clock, key, looks=4, every=timedelta(hours=31))
    document = copy.deepcopy(history.exported(last))
    del document["inputs"]["data"]["plan"]["variances"]
    old = read_inputs(document["inputs"]["data"])
    assert old.plan.variances is None
    body = old.report().to_json()
    document = {**document, **body}
    document["provenance"]["hashes"] |= hashes_of(document["inputs"])
    assert replay(document).difference is None
    with database.transaction() as session:
        row = history.find(session, report_id=last.id or 0, key=key)
        row.inputs = document["inputs"]
        session.add(row)
    clock.advance(timedelta(hours=31))
    with database.snapshot() as session:
        following = service.prepare(session, clock, key=key)
    known = read_inputs(following.evidence.inputs["data"]).plan.variances
    assert known is not None
    assert [fraction for fraction, _ in known["bought"]] == [last.information]
