import json
import re
from datetime import timedelta

import pytest

from analysis.inputs import AnalysisPlan, Messages, Reached
from analysis.reports.evidence import Evidence, ReportInputs
from analysis.reports.history import EffectPoint, LookPoint
from analysis.reports.report_html import render_html
from analysis.stats.aggregates import Aggregate
from experiments.vocabulary import Method
from tests.unit.analysis.facts_of import AS_OF, OPTED_OUT, SPEND, VISIT, arm, report, two, visits
from tests.unit.analysis.pages import Page

EVIL = '<script>alert("&")</script>'


def funnel(accepted, delivered):
    reached = {
        "accepted": accepted,
        "delivered": delivered,
        "read": delivered // 2,
        "clicked": delivered // 9,
    }
    return {"messages": Messages(**reached, suppressed={"cap": 12}), "reached": Reached(**reached)}


def evidence(names=("silence", "coupon", "reminder"), specification=None, **plan):
    spend = {"spend": Aggregate.from_sums(1000, 5000.0, 90_000.0)}
    out = {"opted_out": Aggregate.from_counts(1000, 3)}
    arms = (
        arm(names[0], control=True, sends=False, aggregates={**visits(1000, 100), **spend, **out}),
        arm(names[1], aggregates={**visits(1000, 180), **spend, **out}, **funnel(950, 930)),
        arm(names[2], aggregates={**visits(1000, 110), **out}, **funnel(950, 700)),
    )
    inputs = ReportInputs(
        experiment="spring",
        as_of=AS_OF,
        plan=AnalysisPlan(**{"planned_n": 4000, **plan}),
        metrics=(VISIT, SPEND, OPTED_OUT),
        arms=arms,
    )
    return Evidence.of(
        inputs, specification=specification or {"name": "Spring", "hypothesis": "Coupons help"}
    )


def looks(count, variants=("coupon",), metric="visit"):
    return [
        LookPoint(
            report=i,
            as_of=AS_OF + i * timedelta(hours=7),
            information=i / count,
            effects=tuple(
                EffectPoint(
                    metric=metric, variant=variant, control="silence", n=100 * i, n_control=100 * i,
                    estimate=0.05, lower=0.05 - 0.2 / (i + 1), upper=0.05 + 0.2 / (i + 1),
                    p_value=0.5, adjusted_p_value=0.5, significant=False,
                )
                for variant in variants
            ),
        )
        for i in range(count)
    ]  # fmt: skip


def test_the_page_says_what_is_decided_and_why_in_words_and_numbers():
    made = evidence()
    page = Page(render_html(made.exported(), looks=looks(9)))
    assert made.body["decision"]["action"] == "ship"
    for said in (
        "Spring", "Coupons help", "Ship coupon: it does better", made.body["decision"]["because"],
        "visit is 18.0% with coupon and 10.0% with silence: 8.0 points more, a lift of +80%.",
        "this cannot be told", "visit over time", "at 9 looks",
        "Skew first shows at 'delivered': delivery differs between the arms.",
        "Not sent: 12 cap.", "at most 5 in 100", "75% of the planned information",
    ):  # fmt: skip
        assert said in page.text, said
    for digest in made.hashes.values():
        assert digest in page.text
    assert page.text.count("Skew first shows") == 1


def test_nothing_outside_of_the_page_is_asked_for():
    source = render_html(evidence().exported(), looks=looks(5))
    page = Page(source)
    assert page.declared == "doctype html"
    assert not {"script", "link", "img", "iframe", "object", "embed", "base", "form"} & set(page.tags)
    assert not {"src", "href", "srcset", "action", "style", "xlink:href"} & {
        name for name, _ in page.attributes
    }
    assert not [name for name, _ in page.attributes if name.startswith("on")]
    assert not re.search(r"https?:|//|url\(|@import|javascript:", source)
    assert "default-src 'none'" in source
    assert {"prefers-color-scheme", "print"} <= set(re.findall(r"@media \(?([a-z-]+)", source))


@pytest.mark.parametrize("name", [EVIL, '"onload="x', "{{ 7*7 }}", "a&b<c>'d", "x" * 300, "ünï 😀"])
def test_names_are_text_wherever_they_stand(name):
    source = render_html(
        evidence(
            ("silence", name, "reminder"), {"name": name, "hypothesis": name}
        ).exported(),
        looks=looks(3, (name,)),
    )  # fmt: skip
    page = Page(source)
    assert "script" not in page.tags
    assert "49" not in re.findall(r"\b49\b", page.text)
    assert page.text.count(name) >= 5
    assert not [attribute for attribute, _ in page.attributes if attribute.startswith("on")]


@pytest.mark.parametrize("method", list(Method))
def test_every_method_says_when_its_numbers_count(method):
    text = Page(render_html(evidence(method=method).exported())).text
    assert ("one look" in text) == (method == Method.FIXED)
    assert "over time" not in text


def test_a_report_of_nobody_and_one_that_was_kept_long_ago_are_pages_too():
    nobody = [arm("a", 0, control=True), arm("b", 0)]
    body = report(nobody, plan=AnalysisPlan()).to_json()
    page = Page(render_html(body))
    assert "cannot be told" in page.text
    assert "made before reports kept what they were made from" in page.text
    # What older reports did not say.
    old = json.loads(json.dumps(report(two(100, 150)).to_json()))
    for effect in old["metrics"][0]["effects"]:
        for name in ("interval_adjusted", "guardrail", "bayes", "test", "variance_reduction"):
            del effect[name]
    del old["information"], old["metrics"][0]["direction"], old["decision"]["rule"]
    assert "Ship b" in Page(render_html(old)).text


def test_many_arms_are_a_table_and_only_clear_effects_have_sentences():
    arms = [arm(f"v{i}", control=not i, aggregates=visits(1000, 200 if i == 5 else 100)) for i in range(10)]
    body = report(arms).to_json()
    page = Page(render_html(body))
    assert page.tags.count("tr") == 11
    assert "visit is 20.0% with v5" in page.text
    assert "visit is 10.0% with v3" not in page.text
    fewer = Page(render_html(report(arms[:4]).to_json())).text
    assert "visit is 10.0% with v3" in fewer


def test_slices_stand_below_the_effects_and_say_why_not():
    body = report(two(100, 150)).to_json()
    effect = body["metrics"][0]["effects"][0]
    untold = {**effect, "absolute": None, "significant": None}
    slices = [
        {"slice": EVIL, "n": 1200, "n_control": 1300, "effect": effect, "reasons": []},
        {"slice": "", "n": 3, "n_control": 4, "effect": untold, "reasons": ["too few"]},
    ]
    differ = {
        "variant": "b",
        "says": "no slice differs",
        "q": 1.5,
        "degrees_of_freedom": 1,
        "differs": False,
        "adjusted_p_value": 0.2,
    }
    segments = {
        "by": "country", "control": "a", "warnings": ["quantiles are not told"], "notes": ["for questions"],
        "metrics": [{**body["metrics"][0], "slices": slices, "heterogeneity": [differ]}],
    }  # fmt: skip
    page = Page(render_html(body, segments=segments))
    assert "script" not in page.tags
    for said in (
        "By country",
        EVIL,
        "1,200",
        "(none): too few.",
        "Q 1.5 on 1 degrees",
        "quantiles are not told.",
        "For questions.",
    ):
        assert said in page.text, said
    assert "By country" not in Page(render_html(body)).text
