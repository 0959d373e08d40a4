"""Where the report shows an effect per user reached, and what it says where it does not."""

from dataclasses import replace

import pytest

from analysis.inputs import AnalysisPlan
from analysis.reports.report_html import render_html
from analysis.stats.aggregates import Aggregate
from analysis.stats.iv import complier_effect
from experiments.vocabulary import Method
from tests.unit.analysis.facts_of import FINAL, SPEND, VISIT, report, two
from tests.unit.analysis.test_report_text import shown

N = 5000
NONE = Aggregate.from_sums(N, 500, 500, d=0, dd=0, yd=0)
MOST = Aggregate.from_sums(N, 700, 700, d=4000, dd=4000, yd=650)


def made(control=NONE, treated=MOST, plan=FINAL, metrics=(VISIT,)):
    a, b = two(500, 700, N)
    arms = [replace(a, compliance={"visit": control}), replace(b, compliance={"visit": treated})]
    return report(arms, plan=plan, metrics=metrics)


def cace(said):
    return said.metrics[0].effects[0].cace


def test_it_is_the_effect_by_assignment_over_the_share_reached():
    said = made()
    effect = said.metrics[0].effects[0]
    assert effect.cace.estimate == pytest.approx(effect.absolute.estimate / 0.8, rel=1e-12)
    assert effect.cace == complier_effect(NONE, MOST).interval(0.05)
    assert effect.cace.lower > 0
    assert any("takes for granted" in note and "visit, b 80.0%" in note for note in said.notes)
    assert not said.warnings
    assert said.to_json()["metrics"][0]["effects"][0]["cace"].keys() == {"estimate", "lower", "upper"}
    assert "per user reached, b: +0.05" in shown(said)
    assert "takes for granted" in " ".join(shown(said).split())


def test_a_page_says_it_with_its_assumption():
    page = render_html(made().to_json())
    assert "Per user reached: +5.0 points" in page
    assert "takes for granted" in page
    assert "Taken for granted" not in render_html(report(two(500, 700, N)).to_json())


@pytest.mark.parametrize("method", [Method.SPENDING, Method.ALWAYS_VALID])
def test_a_sequential_method_widens_it_as_it_widens_the_effect(method):
    early = made(plan=AnalysisPlan(method=method, planned_n=40_000, looks=(0.1,)))
    ratio = (cace(early).upper - cace(early).lower) / (cace(made()).upper - cace(made()).lower)
    plain, wide = (each.metrics[0].effects[0].absolute for each in (made(), early))
    assert ratio == pytest.approx((wide.upper - wide.lower) / (plain.upper - plain.lower), rel=1e-2)
    assert ratio > 1.3


@pytest.mark.parametrize(
    ("control", "treated", "words"),
    [
        (replace(NONE, mean_d=0.9, variance_d=0.09), MOST, "were sent messages too"),
        (NONE, Aggregate.from_sums(N, 700, 700, d=0, dd=0, yd=0), "as many users were reached"),
        (NONE, Aggregate.from_sums(N, 700, 700, d=12, dd=12, yd=2), "weak instrument"),
        (NONE, replace(MOST, n=N + 1), "changed between two queries"),
        (NONE, replace(MOST, mean=0.15), "changed between two queries"),
    ],
)
def test_a_reason_stands_where_it_cannot_be_told(control, treated, words):
    said = made(control, treated)
    assert cace(said) is None
    assert [words in note for note in said.notes] == [True]
    assert said.to_json()["notes"] == list(said.notes)


def test_small_counts_have_none():
    few = Aggregate.from_sums(N, 5, 5, d=4000, dd=4000, yd=5)
    none = Aggregate.from_sums(N, 3, 3, d=0, dd=0, yd=0)
    a, b = two(3, 5, N)
    said = report([replace(a, compliance={"visit": none}), replace(b, compliance={"visit": few})])
    assert cace(said) is None
    assert "too few users" in said.notes[0]


def test_without_facts_about_delivery_nothing_is_said():
    said = report(two(500, 700, N), metrics=(VISIT, SPEND))
    assert cace(said) is None
    assert said.notes == ()
