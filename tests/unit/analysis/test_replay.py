import math

import pytest

from analysis.inputs import AnalysisPlan, Messages, Reached
from analysis.reports.canonical import canonical
from analysis.reports.evidence import Evidence, ReportInputs, made_with
from analysis.reports.replay import replay
from analysis.stats.aggregates import Aggregate
from analysis.stats.quantiles import Quantile
from experiments.errors import Conflict, Invalid
from experiments.vocabulary import Method, MetricKind
from tests.unit.analysis.facts_of import AS_OF, OPTED_OUT, SPEND, VISIT, arm, two, visits

WAIT = type(SPEND)(key="wait", kind=MetricKind.QUANTILE, quantile=0.9)


def inputs(method=Method.SPENDING, **more):
    spend = {"spend": Aggregate.from_sums(1000, 5000.0, 90_000.0, x=40.0, xx=90.0, xy=200.0, maximum=77.5)}
    wait = {"wait": Quantile.from_values(range(1000), 0.9)}
    out = {"opted_out": Aggregate.from_counts(1000, 3)}
    arms = two(100, 150, extra_c={**spend, **wait, **out}, extra_t={**spend, **wait, **out})
    return ReportInputs(
        experiment="spring",
        as_of=AS_OF,
        plan=AnalysisPlan(method=method, planned_n=4000, looks=(0.1, 0.25)),
        metrics=(VISIT, SPEND, WAIT, OPTED_OUT),
        arms=tuple(arms),
        **more,
    )


@pytest.mark.parametrize("method", list(Method))
def test_a_report_is_made_again_byte_for_byte(method):
    made = Evidence.of(inputs(method, warnings=("ünicode <b>",)), specification={"plan": str(method)})
    found = replay(made.exported())
    assert found.same
    assert found.size == len(canonical(made.body))
    assert any("byte for byte" in line for line in found.lines())
    assert made.body == inputs(method, warnings=("ünicode <b>",)).report().to_json()


def test_broken_numbers_are_kept_as_they_came():
    broken = {"visit": Aggregate(n=10, mean=math.nan, variance=math.inf)}
    arms = (arm("a", control=True, aggregates=broken), arm("b", aggregates=visits(1000, 3)))
    made = Evidence.of(
        ReportInputs(experiment="x", as_of=AS_OF, plan=AnalysisPlan(), metrics=(VISIT,), arms=arms),
        specification={},
    )
    assert replay(made.exported()).same


def test_messages_and_those_who_were_reached_are_kept():
    funnel = (
        Messages(accepted=900, delivered=800, suppressed={"cap": 3}),
        Reached(accepted=900, delivered=800),
    )
    arms = (
        arm("a", control=True, aggregates=visits(1000, 90), messages=funnel[0], reached=funnel[1]),
        arm("b", aggregates=visits(1000, 90), messages=funnel[0], reached=funnel[1]),
    )
    made = Evidence.of(
        ReportInputs(experiment="x", as_of=AS_OF, plan=AnalysisPlan(), metrics=(VISIT,), arms=arms),
        specification={},
    )
    assert made.body["arms"][0]["messages"]["suppressed"] == {"cap": 3}
    assert replay(made.exported()).same


def test_hashes_are_of_what_they_name():
    one, other = (Evidence.of(inputs(), specification={"alpha": alpha}) for alpha in (0.05, 0.1))
    assert one.hashes["specification"] != other.hashes["specification"]
    assert (one.hashes["data"], one.hashes["report"]) == (other.hashes["data"], other.hashes["report"])
    assert one.made_with == made_with()
    assert {"touchstone", "report", "python", "numpy", "scipy"} <= one.made_with.keys()


def exported():
    return Evidence.of(inputs(), specification={"name": "Spring"}).exported()


def test_another_code_version_is_said_whether_or_not_the_report_is_the_same():
    document = exported()
    versions = {**document["provenance"]["made_with"], "touchstone": "0.0.9", "report": 0}
    document["provenance"] = {**document["provenance"], "made_with": versions}
    found = replay(document)
    assert found.same
    assert any(
        "made with another code version: report's schema 0, now 1" in line.replace("the ", "")
        for line in found.lines()
    )
    assert any("touchstone 0.0.9, now" in line for line in found.lines())


def test_nothing_is_computed_from_altered_data():
    document = exported()
    document["inputs"]["data"]["arms"] = []
    found = replay(document)
    assert (found.same, found.altered, found.difference) == (False, ("data",), None)


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        ({"arms": None}, Invalid, "is not a report"),
        ({"as_of": 3}, Invalid, "is not a report"),
        ({"provenance": None, "inputs": None}, Conflict, "cannot be replayed: made before"),
        ({"provenance": None}, Invalid, "provenance: must be an object"),
        ({"provenance": {"hashes": 1, "made_with": {}}}, Invalid, "provenance: must be an object"),
        ({"inputs": None}, Invalid, "inputs: must be an object"),
        ({"inputs": {"specification": {}, "data": []}}, Invalid, "inputs: must be an object"),
    ],
)
def test_what_is_no_report_or_has_nothing_kept_is_refused(change, error, says):
    with pytest.raises(error, match=says):
        replay({**exported(), **change})


def rehashed(**changes):
    """As somebody would who alters the data and the hash with it."""
    from analysis.reports.evidence import hashes_of

    document = exported()
    document["inputs"]["data"] |= changes
    document["provenance"]["hashes"] |= hashes_of(document["inputs"])
    return document


def test_altered_data_with_a_hash_to_match_still_give_another_report():
    arms = exported()["inputs"]["data"]["arms"]
    arms[1]["assigned"] = 1001
    found = replay(rehashed(arms=arms))
    assert found.difference == ("arms[1].assigned", "1000", "1001")
    assert not found.same


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"arms": []}, "exactly one arm"),
        ({"later": 1}, "inputs.data.later: is not known by this version"),
        ({"metrics": [{"key": "visit", "kind": "vibes"}]}, "inputs.data.metrics"),
        ({"plan": {"looks": ["soon"]}}, "inputs.data.plan.looks"),
    ],
)
def test_data_that_cannot_be_read_are_refused_by_their_path(changes, says):
    with pytest.raises(Invalid, match=says):
        replay(rehashed(**changes))
