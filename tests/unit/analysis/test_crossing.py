"""Crossed variants in a report: what is said by factor, its families, and what an incomplete crossing says."""

from dataclasses import replace

import pytest
from statsmodels.stats.multitest import multipletests

from analysis.inputs import AnalysisPlan, FactorSpec, MetricSpec
from analysis.reports.report_html import render_html
from analysis.stats.aggregates import Aggregate
from analysis.stats.quantiles import Quantile
from experiments.vocabulary import Method, MetricKind, MetricRole
from tests.unit.analysis.facts_of import FINAL, SPEND, VISIT, arm, report, visits
from tests.unit.analysis.test_report_text import shown

FACTORS = (
    FactorSpec(key="content", levels=("plain", "coupon")),
    FactorSpec(key="hour", levels=("am", "noon", "pm")),
)
N = 2000
RATES = {"plain": 0.10, "coupon": 0.15}
HOURS = {"am": 0.0, "noon": 0.01, "pm": 0.02}


def arms(extra=lambda content, hour: 0.0, **more):
    made = [arm("silence", N, control=True, aggregates=visits(N, 160))]
    for content, base in RATES.items():
        for hour, add in HOURS.items():
            count = round(N * (base + add + extra(content, hour)))
            levels = {"content": content, "hour": hour}
            made.append(
                arm(f"{content}.{hour}", N, aggregates=visits(N, count), levels=levels, **more),
            )
    return made


def by_factor(found, metric=0):
    return {(e.kind, *e.levels): e for e in found.metrics[metric].factors}


def test_main_effects_and_interactions_stand_beside_the_comparisons_of_variants():
    found = report(arms(), factors=FACTORS)
    effects = by_factor(found)
    assert list(effects) == [
        ("main", "coupon"), ("main", "noon"), ("main", "pm"), ("interaction", "coupon", "noon"), ("interaction", "coupon", "pm"),
    ]  # fmt: skip
    coupon = effects["main", "coupon"]
    assert coupon.absolute.estimate == pytest.approx(0.05)
    assert coupon.relative.estimate == pytest.approx(0.05 / 0.11)
    assert (coupon.factors, coupon.against, coupon.significant) == (("content",), ("plain",), True)
    assert effects["main", "pm"].absolute.estimate == pytest.approx(0.02)
    both = effects["interaction", "coupon", "pm"]
    assert both.absolute.estimate == pytest.approx(0.0, abs=1e-12)
    assert (both.factors, both.against, both.relative, both.significant) == (
        ("content", "hour"),
        ("plain", "am"),
        None,
        False,
    )
    assert len(found.metrics[0].effects) == 6
    said = found.to_json()["metrics"][0]["factors"][0]
    assert said["kind"] == "main"
    assert said["absolute"].keys() == {"estimate", "lower", "upper"}


def test_a_main_effect_is_surer_than_one_variant_against_another():
    found = report(arms(), factors=FACTORS)
    single = found.metrics[0].effect_of("coupon.am").absolute
    whole = by_factor(found)["main", "coupon"].absolute
    assert whole.upper - whole.lower < 0.7 * (single.upper - single.lower)


def test_families_are_holm_for_main_effects_and_benjamini_hochberg_for_interactions():
    other = MetricSpec(key="other", kind=MetricKind.PROPORTION)
    second = replace(other, key="second", role=MetricRole.SECONDARY)
    base = arms(lambda content, hour: 0.012 * (content == "coupon" and hour == "pm"))
    more = [
        replace(
            a,
            aggregates={
                **a.aggregates,
                **dict.fromkeys(("other", "second"), Aggregate.from_counts(N, 300 + 9 * i)),
            },
        )
        for i, a in enumerate(base)
    ]
    found = report(more, metrics=(VISIT, other, second), factors=FACTORS)
    for kind, method in (("main", "holm"), ("interaction", "fdr_bh")):
        family = [e for m in found.metrics[:2] for e in m.factors if e.kind == kind]
        expected = multipletests([e.p_value for e in family], method=method)[1]
        assert [e.adjusted_p_value for e in family] == pytest.approx(list(expected))
    for kind in ("main", "interaction"):
        family = [e for e in found.metrics[2].factors if e.kind == kind]
        expected = multipletests([e.p_value for e in family], method="fdr_bh")[1]
        assert [e.adjusted_p_value for e in family] == pytest.approx(list(expected))
    for metric in found.metrics:
        for e in metric.factors:
            outside = e.interval_adjusted.lower > 0 or e.interval_adjusted.upper < 0
            assert outside == e.significant == (e.adjusted_p_value < 0.05)


def test_an_interaction_is_pointed_out():
    found = report(arms(lambda content, hour: -0.1 * (content == "coupon" and hour == "pm")), factors=FACTORS)
    assert by_factor(found)["interaction", "coupon", "pm"].significant
    assert any("change each other's effect" in note for note in found.notes)
    assert not any("change each other" in note for note in report(arms(), factors=FACTORS).notes)


@pytest.mark.parametrize("method", [Method.SPENDING, Method.ALWAYS_VALID])
def test_a_look_before_the_end_is_judged_by_its_method(method):
    plan = AnalysisPlan(method=method, planned_n=50_000, looks=(0.1,))
    early, last = (
        by_factor(report(arms(), plan=plan, factors=FACTORS)),
        by_factor(report(arms(), factors=FACTORS)),
    )
    for key, effect in early.items():
        assert effect.absolute.estimate == last[key].absolute.estimate
        assert effect.absolute.lower < last[key].absolute.lower
        assert effect.p_value > last[key].p_value


def test_an_incomplete_crossing_says_which_variant_is_missing():
    found = report(arms()[:-1], factors=FACTORS)
    assert found.metrics[0].factors == ()
    assert any("no variant with coupon, pm" in warning for warning in found.warnings)


def test_a_variant_without_users_makes_its_contrasts_unknown():
    made = arms()
    made[-1] = replace(made[-1], assigned=0, mature=0, aggregates={"visit": Aggregate.from_counts(0, 0)})
    found = report(made, factors=FACTORS)
    effects = by_factor(found)
    assert effects["main", "coupon"].absolute is None
    assert effects["main", "coupon"].significant is None
    assert effects["main", "noon"].absolute is not None
    assert sum("no effects by factor" in warning for warning in found.warnings) == 1
    assert "cannot tell" in shown(found)


def test_too_few_events_and_quantiles_have_no_effects_by_factor():
    rare = [
        replace(a, aggregates={"visit": Aggregate.from_counts(N, 1 + i % 2)}) for i, a in enumerate(arms())
    ]
    found = report(rare, factors=FACTORS)
    assert all(e.p_value is None for e in found.metrics[0].factors)
    assert any("too few users with the event" in warning for warning in found.warnings)
    median = Quantile.from_values([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0], 0.5)
    times = [replace(a, aggregates={"spend": median}) for a in arms()]
    found = report(times, metrics=(replace(SPEND, kind=MetricKind.QUANTILE),), factors=FACTORS)
    assert all(e.p_value is None for e in found.metrics[0].factors)


def test_a_report_shows_them_as_words():
    text = shown(report(arms(), factors=FACTORS))
    assert "content: coupon against plain x hour: pm against am" in text
    assert "+0.05" in text


def test_a_page_shows_them_as_a_table():
    page = render_html(report(arms(), factors=FACTORS).to_json())
    assert "By factor" in page
    assert "content: coupon against plain × hour: pm against am" in page
    assert "By factor" not in render_html(report(arms()).to_json())


def test_variants_that_were_not_crossed_have_none():
    found = report(arms(), plan=FINAL)
    assert found.metrics[0].factors == ()
    assert found.to_json()["metrics"][0]["factors"] == []
