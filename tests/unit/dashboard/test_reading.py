import math
from datetime import UTC, datetime

import pytest

from dashboard.documents import Interval, Outbox
from dashboard.reading import Unreadable, read_experiment, read_outbox, read_report
from tests.unit.dashboard import samples


def test_a_report_is_read_with_direction_and_margin_from_the_design() -> None:
    report = read_report(samples.winning_report(), design=samples.experiment()["design"])
    assert report.as_of == datetime(2026, 12, 15, 10, tzinfo=UTC)
    assert (report.users, report.messages) == (64000, 40119)
    assert report.primary is not None
    assert report.primary.effects[1].absolute == Interval(0.07658956, 0.06995315, 0.08322598)
    guardrail = report.metrics[2]
    assert (guardrail.higher_is_better, guardrail.limit) == (False, 0.002)
    assert report.arms[1].suppressed == {"cap": 1071, "consent": 208}


def test_nulls_and_impossible_numbers_become_none() -> None:
    report = read_report(samples.early_report(), design={})
    effect = report.metrics[0].effects[0]
    assert (effect.absolute, effect.p_value, effect.significant) == (None, None, None)
    document = samples.winning_report()
    document["metrics"][0]["effects"][0]["absolute"] = {"estimate": math.nan, "lower": 0, "upper": 1}
    document["metrics"][0]["effects"][1]["p_value"] = True
    report = read_report(document, design={})
    assert report.metrics[0].effects[0].absolute is None
    assert report.metrics[0].effects[1].p_value is None


def test_a_bare_report_is_a_report() -> None:
    report = read_report({"arms": []}, design={})
    assert (report.users, report.primary, report.warnings, report.decision.action) == (0, None, (), "")


def test_unknown_keys_and_wrong_shapes_are_passed_over() -> None:
    report = read_report(
        {"arms": [7, {"variant": "a", "assigned": "many"}], "metrics": {}, "new": 1, "health": None},
        design={},
    )
    assert [(arm.variant, arm.assigned) for arm in report.arms] == [("a", 0)]


@pytest.mark.parametrize("document", [None, [], "report", {"arms": "none"}, {"detail": "no"}])
def test_something_else_is_not_a_report(document: object) -> None:
    with pytest.raises(Unreadable):
        read_report(document if not isinstance(document, dict) else {**document, "arms": None}, design={})


def test_an_experiment_knows_its_silent_arms() -> None:
    experiment = read_experiment(samples.experiment())
    assert experiment.silent_variants == {"silence"}
    with pytest.raises(Unreadable):
        read_experiment({"name": "no key"})


def test_the_outbox_has_whole_numbers_by_state_and_says_whether_the_books_hold() -> None:
    states = {"planned": 3, "sure": True, "reasons": {}, "share": 0.5}
    assert read_outbox({"states": states, "holds": True}) == Outbox({"planned": 3}, holds=True)
    assert read_outbox([]) == Outbox({}, holds=None)


def test_a_split_that_could_not_be_compared_is_neither_good_nor_bad() -> None:
    checks = [
        samples.srm("assigned", p_value=None, detail="cannot tell: fewer than two arms to compare"),
        {"check": "unknown_variant", "stage": None, "p_value": None, "ok": True, "detail": "none"},
    ]
    report = read_report({"arms": [], "health": checks}, design={})
    assert [check.ok for check in report.health] == [None, True]
