"""Times, templates, metrics, steps and plans, as a form asks for them."""

from datetime import time
from typing import Any

import pytest

from dashboard.campaign import messages, metrics, plan_answers, steps, timing
from dashboard.campaign.bubbles import bubble, marked
from dashboard.campaign.messages import AskedButton
from dashboard.campaign.plan_answers import Reach
from dashboard.campaign.timing import WeeklyTime
from experiments.cron import check_cron
from experiments.design import ExperimentDesign
from experiments.metrics import BUILT_IN, GUARDED
from experiments.triggers import EventTrigger, InactivityTrigger, OnceTrigger, RecurringTrigger, RuleTrigger
from experiments.vocabulary import MessageStage, MetricKind, MetricRole
from tests.integration.registry import template


def test_the_form_offers_what_there_is() -> None:
    assert tuple(BUILT_IN) == metrics.BUILT_IN
    assert tuple(metrics.GUARDS) == GUARDED
    assert tuple(MetricKind) == metrics.KINDS
    assert tuple(MetricRole) == metrics.ROLES
    assert tuple(MessageStage) == metrics.STAGES
    kinds = (OnceTrigger, EventTrigger, InactivityTrigger, RecurringTrigger, RuleTrigger)
    assert tuple(kind.model_json_schema()["properties"]["type"]["const"] for kind in kinds) == timing.TRIGGERS
    assert steps.step_of("variants[0].key") == "variants"
    assert {name for name in ExperimentDesign.model_fields if steps.step_of(name) == "review"} == {"expires"}


@pytest.mark.parametrize("cron", ["30 9 * * 1,3", "0 18 * * *", "5 0 * * 7"])
def test_a_weekly_time_is_a_cron_text(cron: str) -> None:
    found = timing.weekly(cron)
    assert found is not None
    assert timing.cron_of(found) == cron
    check_cron(timing.cron_of(found))


@pytest.mark.parametrize(
    "cron", ["0 9 1 * *", "*/5 * * * *", "0 9 * * 1-5", "61 9 * * 1", "0 24 * * *", "0 9 * * 9"]
)
def test_a_cron_text_that_says_more_stays_a_text(cron: str) -> None:
    assert timing.weekly(cron) is None


def test_sunday_has_two_numbers() -> None:
    assert timing.weekly("0 9 * * 0") == timing.weekly("0 9 * * 7") == WeeklyTime(time(9), (6,))


def test_another_trigger_or_send_time_keeps_what_fits() -> None:
    event = {"trigger": {"type": "event", "event": "X", "until": "2027-01-01T00:00:00Z"}}
    assert timing.with_trigger(event, "event") is event
    assert timing.with_trigger(event, "inactivity")["trigger"] == {
        "type": "inactivity",
        "after": "30d",
        "until": "2027-01-01T00:00:00Z",
    }
    assert timing.with_trigger(event, "once")["trigger"] == {"type": "once"}
    evening = {"s": {"local_time": "18:30", "days": ["sat"], "after": "2h"}}
    assert timing.with_send_time(evening, ("s",), "best_hour")["s"] == {
        "best_hour": {"fallback": "18:30"},
        "days": ["sat"],
        "after": "2h",
    }
    assert timing.with_send_time(evening, ("s",), "none") == {}
    assert [timing.send_time_kind(value) for value in (None, {"after": "1h"}, evening["s"])] == [
        "none",
        "after",
        "local_time",
    ]
    kinds = [
        timing.once_kind({"trigger": {name: value}})
        for name, value in (
            ("at", "2027-01-01T00:00:00Z"),
            ("local_time", "18:30"),
            ("local_time", "2026-12-24T18:00"),
        )
    ]
    assert [timing.once_kind({}), *kinds] == list(timing.ONCE)


def shown(*components: dict[str, Any], **more: Any) -> dict[str, Any]:
    listed = template("spring", "en_US", *components, **more)
    return {"components": listed.components, "parameter_format": listed.parameter_format}


def test_a_template_says_what_it_asks_for() -> None:
    asked = messages.asked_by(
        shown(
            {"type": "HEADER", "format": "IMAGE"},
            {"type": "BODY", "text": "Hi {{1}}, {{2}}"},
            {
                "type": "BUTTONS",
                "buttons": [
                    {"type": "QUICK_REPLY", "text": "Not now"},
                    {"type": "URL", "text": "Home", "url": "https://shop.example"},
                    {"type": "URL", "text": "Shop", "url": "https://shop.example/r/{{1}}"},
                    {"type": "COPY_CODE"},
                ],
            },
        )
    )
    assert (asked.variables, asked.header, asked.named) == (("1", "2"), "image", False)
    assert asked.buttons == (
        AskedButton("quick_reply", 0, "Not now"),
        AskedButton("url", 2, "Shop"),
        AskedButton("copy_code", 3, ""),
    )
    named = messages.asked_by(
        shown(
            {"type": "HEADER", "format": "TEXT", "text": "For {{who}}"},
            {"type": "BODY", "text": "Hi {{who}}"},
            parameter_format="NAMED",
        )
    )
    assert (named.variables, named.header, named.header_variable) == (("who",), "text", "who")
    plain = messages.asked_by(
        shown({"type": "HEADER", "format": "TEXT", "text": "Hi"}, {"type": "BODY", "text": "x"})
    )
    assert (plain.variables, plain.header) == ((), None)


def test_another_template_keeps_the_parameters_that_it_has() -> None:
    asked = messages.asked_by(shown({"type": "BODY", "text": "{{1}} {{2}}"}))
    assert messages.with_asked({"parameters": ["a", "b", "c"]}, asked) == {"parameters": ["a", "b"]}
    assert messages.with_asked({"text": "x"}, asked) == {"text": "x", "parameters": ["", ""]}
    none = messages.asked_by(shown({"type": "BODY", "text": "Hi"}))
    assert messages.with_asked({"parameters": ["a"], "link": "x"}, none) == {"link": "x"}


def test_a_bubble_shows_every_script_and_escapes_everything() -> None:
    html = bubble(
        {
            "language": "ar",
            "header_kind": "IMAGE",
            "header": "https://x.example/a.png",
            "body": "مرحبا *ليلى*\n<script>alert(1)</script> _你好 世界_",
            "footer": 'a "quoted" footer',
            "buttons": [{"kind": "url", "text": "<Shop>", "value": None}],
        },
        attachment="Picture",
    )
    assert '<div lang="ar"' in html
    assert html.count('dir="auto"') == 4  # two paragraphs, the footer, the button
    assert "<strong>ليلى</strong>" in html
    assert "<em>你好 世界</em>" in html
    assert "&lt;script&gt;" in html
    assert "&lt;Shop&gt;" in html
    assert "<script" not in html
    assert "Picture" in html
    assert "one, two" in bubble({"parameters": ["one, two"]}, attachment="")


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("5 * 3 * 2", "5 * 3 * 2"),
        ("snake_case_name", "snake_case_name"),
        ("*a* and ~b~", "<strong>a</strong> and <s>b</s>"),
        ("```<x>```", "<code>&lt;x&gt;</code>"),
    ],
)
def test_marks_are_those_of_whatsapp(text: str, html: str) -> None:
    assert marked(text) == html


def test_a_metric_of_another_kind_or_source_drops_what_does_not_fit() -> None:
    mean = {
        "key": "revenue",
        "role": "secondary",
        "kind": "mean",
        "event": "Order",
        "value": "revenue",
        "covariate": "28d",
        "window": "7d",
    }
    assert metrics.of_kind(mean, "proportion") == {
        "key": "revenue",
        "role": "secondary",
        "window": "7d",
        "kind": "proportion",
        "event": "Order",
        "covariate": "28d",
    }
    assert metrics.of_kind(mean, "ratio")["denominator"] == {"event": "Order"}
    assert "covariate" not in metrics.of_kind(mean, "quantile")
    assert metrics.of_kind(metrics.of_kind(mean, "ratio"), "count")["event"] == "Order"
    guard = metrics.with_role(metrics.from_source(mean, "opted_out"), "guardrail")
    assert guard == {"key": "opted_out", "role": "guardrail", "window": "7d", "margin": 0.002}
    assert "margin" not in metrics.with_role(guard, "secondary")
    assert metrics.from_source(guard, metrics.OWN)["kind"] == "proportion"
    assert [metrics.source_of(item) for item in (mean, guard)] == [metrics.OWN, "opted_out"]


PLAN: dict[str, Any] = {
    "power": 0.8,
    "audience": {"taking_part": 900},
    "sending": {"messages": 1200, "people": 600, "days": 0.001},
    "curve": [{"users": 100, "power": 0.1}, {"users": 1000, "power": 0.85}],
    "metrics": [
        {
            "metric": "bought",
            "role": "primary",
            "kind": "proportion",
            "base": {"mean": 0.04},
            "power": 0.67,
            "minimum_effect": 0.00001,
            "users_needed": 2435,
            "days_needed": None,
            "reasons": [],
        },
        {
            "metric": "revenue",
            "role": "secondary",
            "kind": "mean",
            "base": None,
            "power": None,
            "reasons": ["nothing is known"],
        },
    ],
}


def test_a_plan_says_whom_a_start_would_reach() -> None:
    document = {
        "variants": [{"key": "silence"}, {"key": "a", "message": {}}, {"key": "b", "message": {}}],
        "metrics": [{"key": "cost", "price": 0.5}],
    }
    assert plan_answers.reach_of(PLAN, document) == Reach(900, 600, 1200, 0.001, 600.0)
    unsent = {**PLAN, "sending": None}
    assert plan_answers.reach_of(unsent, document) == Reach(900, 600, None, None, None)
    assert plan_answers.reach_of({}, {"variants": []}) == Reach(None, None, None, None, None)
    assumed = {**PLAN, "entry": {"source": "given", "by_the_end": 5000}}
    assert plan_answers.reach_of(assumed, document).taking_part == 5000
    assert plan_answers.taking_part_of({**PLAN, "entry": {"source": "given", "by_the_end": None}}) == 900


def test_what_a_plan_cannot_tell_is_a_dash() -> None:
    bought, revenue = plan_answers.metric_rows(PLAN)
    assert [bought[name] for name in ("base", "power", "finds", "users_needed", "days_needed")] == [
        "4%",
        "67%",
        "<\u00a00.01%",
        "2,435",
        "–",
    ]
    assert [revenue[name] for name in ("base", "power", "users_needed")] == ["–", "–", "–"]


def test_the_power_curve_has_its_points_and_both_rules() -> None:
    chart = plan_answers.power_curve(PLAN, users="Users", power="Power")
    assert chart is not None
    line, power, users = (layer.data.to_dict()["values"] for layer in chart.layer)
    assert (len(line), power, users) == (2, [{"power": 0.8}], [{"users": 900}])
    far = {**PLAN, "audience": {"taking_part": 5000}}
    found = plan_answers.power_curve(far, users="Users", power="Power")
    assert found is not None
    assert len(found.layer) == 2
    assert plan_answers.power_curve({"curve": PLAN["curve"][:1]}, users="", power="") is None
    assert plan_answers.curve_rows(PLAN) == [("100", "10%"), ("1,000", "85%")]


def test_mistakes_find_their_step_and_field() -> None:
    found = steps.mistakes_of(
        [("campaign.variants[1].weight", "is wrong"), ("expires.at", "too"), ("", "all")]
    )
    assert {name: len(each) for name, each in steps.by_step(found).items()} == {
        "audience": 0,
        "variants": 1,
        "metrics": 0,
        "plan": 0,
        "review": 2,
    }
    assert steps.is_about(found[0], "variants[1]")
    assert steps.is_about(found[0], "variants[1].weight")
    assert not steps.is_about(found[0], "variants[1].w")


def test_power_by_the_effect_and_what_looks_cost() -> None:
    plan = {
        "power": 0.8,
        "effect": -0.1,
        "effects": [{"effect": -0.05, "power": 0.3}, {"effect": -0.2, "power": 0.99}],
        "looking": [
            {"method": "fixed", "looks": 1, "users_needed": 1000, "times": 1.0},
            {"method": "spending", "looks": 1, "users_needed": 1000, "times": 1.0},
            {"method": "spending", "looks": 14, "users_needed": 1059, "times": 1.059},
            {"method": "always_valid", "looks": 14, "users_needed": 1760, "times": 1.76},
        ],
    }
    chart = plan_answers.effect_curve(plan, effect="Effect", power="Power")
    assert chart is not None
    # The effect that is planned for lies between the points of a fall, which go downwards.
    assert chart.layer[2].data.to_dict()["values"] == [{"effect": -0.1}]
    assert plan_answers.effect_rows(plan) == [("−5%", "30%"), ("−20%", "99%")]
    one, fourteen = plan_answers.looking_rows(plan)
    assert one == (1, "1,000 (×\u00a01.000)", "–")
    assert fourteen == (14, "1,059 (×\u00a01.059)", "1,760 (×\u00a01.760)")
    assert plan_answers.effect_curve({}, effect="", power="") is None
    assert plan_answers.looking_rows({}) == []


def test_a_change_inside_a_field_leaves_open_what_was_said_of_it() -> None:
    said = steps.Mistake("variants[1].message", "give a template")
    assert steps.is_touched(said, "variants[1].message.template")
    assert steps.is_touched(said, "variants[1]")
    assert not steps.is_touched(said, "variants[1].weight")
    assert not steps.is_touched(steps.Mistake("", "cannot be told"), "variants[1].weight")


def test_a_row_is_named_by_its_key_where_it_has_one() -> None:
    document = {"variants": [{"key": "silence"}, {}]}
    assert steps.place_of(document, "variants[0].weight") == "silence.weight"
    assert steps.place_of(document, "variants[1].weight") == "variants[1].weight"
    assert steps.place_of(document, "plan.mde") == "plan.mde"
