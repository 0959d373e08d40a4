"""Slices: which are shown, which are merged, what is told of those that are too small, and how they read."""

import json
import math
from io import StringIO

import pytest
from rich.console import Console

from analysis.facts.slice_facts import OTHERS, UNKNOWN
from analysis.inputs import AnalysisPlan, ArmFacts, MetricSpec
from analysis.reports.evidence import ReportInputs
from analysis.reports.segment_effects import FEWEST_USERS, MOST_SHOWN, segment_effects
from analysis.reports.segment_findings import ATTRIBUTES_OF_NOW, NO_SLICE_DIFFERS, SegmentReport
from analysis.reports.segment_text import render_segments
from analysis.stats.aggregates import Aggregate
from analysis.stats.sequential import spending_rule
from experiments.vocabulary import Method, MetricKind, MetricRole
from tests.unit.analysis.facts_of import AS_OF, FINAL, SPEND, VISIT, arm

ARMS = (arm("a", 3000, control=True), arm("b", 3000), arm("c", 3000))
Counts = dict[str, tuple[tuple[int, int], ...]]


def shares(counts: Counts) -> dict[str, dict[str, Aggregate]]:
    """(n, x) of each arm by slice."""
    return {
        name: {"abc"[i]: Aggregate.from_counts(n, x) for i, (n, x) in enumerate(pairs)}
        for name, pairs in counts.items()
    }


def told(
    counts: Counts,
    *,
    metrics: tuple[MetricSpec, ...] = (VISIT,),
    plan: AnalysisPlan = FINAL,
    by: str = "country",
    arms: tuple[ArmFacts, ...] = ARMS,
) -> SegmentReport:
    inputs = ReportInputs(experiment="spring", as_of=AS_OF, plan=plan, metrics=metrics, arms=arms)
    return segment_effects(inputs, {metrics[0].key: shares(counts)}, by=by, report=3)


DIFFERENT: Counts = {
    "NL": ((1000, 100), (1000, 250), (1000, 100)),
    "BR": ((900, 90), (900, 90), (900, 91)),
    "DE": ((60, 30), (60, 10), (60, 20)),
}


def test_one_variant_differs_and_the_other_does_not() -> None:
    (metric,) = told(DIFFERENT).metrics
    b, c = metric.heterogeneity
    assert (b.variant, b.slices, b.differs, c.differs) == ("b", 2, True, False)
    assert c.says == NO_SLICE_DIFFERS
    assert b.adjusted_p_value == pytest.approx(2 * (b.p_value or math.nan))  # Holm over two variants
    # Four comparisons in the family: the two of the small slice were never made.
    nl_b = metric.slices[0].effect
    assert nl_b.adjusted_p_value == pytest.approx(4 * (nl_b.p_value or math.nan))
    small = [each for each in metric.slices if each.slice == "DE"]
    assert [(each.n, each.n_control, each.effect.p_value) for each in small] == [(60, 60, None)] * 2
    assert {reason for each in small for reason in each.reasons} == {
        f"an arm has fewer than {FEWEST_USERS} users in this slice"
    }


def test_secondary_metrics_are_adjusted_by_benjamini_and_hochberg() -> None:
    secondary = MetricSpec(key="visit", kind=MetricKind.PROPORTION, role=MetricRole.SECONDARY)
    counts: Counts = {f"s{i}": ((500, 50), (500, 50 + 10 * i), (500, 50)) for i in range(4)}
    effects = [each.effect for each in told(counts, metrics=(secondary,)).metrics[0].slices]
    p = sorted(effect.p_value for effect in effects if effect.p_value is not None)
    largest = max(effects, key=lambda effect: -(effect.p_value or 0))
    assert largest.adjusted_p_value == pytest.approx(min(8 * p[j] / (j + 1) for j in range(8)))


def test_the_rule_of_the_look_levels_the_test_of_heterogeneity() -> None:
    plan = AnalysisPlan(method=Method.SPENDING, information=0.3, looks=(0.1,))
    b = told(DIFFERENT, plan=plan).metrics[0].heterogeneity[0]
    rule = spending_rule((0.1,), 0.3, 0.05)
    assert b.p_value == pytest.approx(rule.overall_p(b.p_value_of_this_look or math.nan))
    assert (b.p_value or 0) > (b.p_value_of_this_look or 1)


def test_rare_events_are_compared_exactly_and_left_out_of_the_test_of_heterogeneity() -> None:
    counts: Counts = {**DIFFERENT, "US": ((300, 1), (300, 2), (300, 3))}
    metric = told(counts).metrics[0]
    assert {each.effect.test for each in metric.slices if each.slice == "US"} == {"exact"}
    assert [each.slices for each in metric.heterogeneity] == [2, 2]


def test_the_largest_slices_are_shown_and_the_rest_is_together() -> None:
    pairs = {f"v{i:02}": ((200 + i, 20), (200 + i, 30), (200 + i, 25)) for i in range(MOST_SHOWN + 5)}
    found = told(pairs)
    assert found.slices == (*(f"v{i:02}" for i in range(MOST_SHOWN + 4, 4, -1)), OTHERS)
    rest = [each for each in found.metrics[0].slices if each.slice == OTHERS]
    assert [(each.n, each.effect.variant) for each in rest] == [(1010, "b"), (1010, "c")]
    absolute = rest[0].effect.absolute
    assert absolute is not None
    assert absolute.estimate == pytest.approx(50 / 1010)
    assert any(f"there are {MOST_SHOWN + 5} slices" in warning for warning in found.warnings)
    more = told({**pairs, OTHERS: ((5000, 1), (5000, 1), (5000, 1))})
    assert more.slices == found.slices
    assert any("there are more than 50 slices" in warning for warning in more.warnings)


def test_days_stand_in_their_order_and_say_nothing_of_attributes() -> None:
    days: Counts = {"2026-12-02": ((500, 9),) * 3, "2026-12-01": ((200, 9),) * 3}
    found = told(days, by="day")
    assert found.slices == ("2026-12-01", "2026-12-02")
    assert ATTRIBUTES_OF_NOW not in found.notes
    assert ATTRIBUTES_OF_NOW in told(days).notes


def test_what_has_no_answer_is_null_with_a_reason_and_never_nan() -> None:
    broken = {"NL": {v: Aggregate(n=500, mean=math.nan, variance=1.0) for v in "abc"}, "BR": {}}
    median = MetricSpec(key="delay", kind=MetricKind.QUANTILE)
    inputs = ReportInputs(experiment="spring", as_of=AS_OF, plan=FINAL, metrics=(SPEND, median), arms=ARMS)
    found = segment_effects(inputs, {"spend": broken}, by="country")
    json.dumps(found.to_json(), allow_nan=False)
    (metric,) = found.metrics
    assert [each.effect.p_value for each in metric.slices] == [None] * len(metric.slices)
    assert all(each.reasons for each in metric.slices)
    assert [each.differs for each in metric.heterogeneity] == [None, None]
    assert "delay: quantiles do not add up over slices, and are not told by slice" in found.warnings


def test_as_text_each_slice_is_named_once_with_its_counts() -> None:
    found = told({**DIFFERENT, UNKNOWN: ((100, 20), (120, 22), (130, 30))})
    page = StringIO()
    Console(file=page, width=120).print(render_segments(found.to_json()))
    text = page.getvalue()
    assert "spring by country · report 3 · fixed" in text
    lines = text.splitlines()
    assert [line.split()[0] for line in lines if " b " in line] == ["NL", "BR", "(none)", "DE"]
    assert "cannot tell" in next(line for line in lines if line.startswith("DE"))
    assert "b: the effect differs between the 3 slices by more than chance" in text
    assert f"c: {NO_SLICE_DIFFERS}"[:60] in text
    assert "for finding questions, not for deciding" in text
