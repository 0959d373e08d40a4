import copy
from datetime import timedelta
from typing import Any

import pytest

from experiments.design import ExperimentDesign, Layer, read_design
from experiments.errors import Invalid
from experiments.metrics import MetricDefinition
from experiments.timing import last_send_offset
from experiments.vocabulary import MetricKind

CAMPAIGN: dict[str, Any] = {
    "key": "spring-wakeup",
    "name": "Wake up customers who have gone quiet",
    "hypothesis": "A coupon brings back more buyers than a reminder, and both more than silence",
    "category": "marketing",
    "audience": {
        "condition": {"country": {"$in": ["NL", "BR"]}, "last_order_at": {"$olderThan": "60d"}},
        "coverage": 0.5,
        "holdout": 0.05,
        "layer": "promotions",
    },
    "trigger": {"type": "once", "at": "2026-12-01T10:00:00Z"},
    "variants": [
        {"key": "silence", "control": True, "weight": 1},
        {
            "key": "reminder",
            "weight": 1,
            "message": {
                "template": "spring_reminder",
                "language": "en_US",
                "parameters": ["{{ user.first_name }}"],
            },
        },
        {
            "key": "coupon",
            "weight": 2,
            "message": {
                "template": "spring_coupon",
                "language": "en_US",
                "parameters": ["{{ user.first_name }}", "{{ coupon }}"],
            },
            "send_time": {"local_time": "18:30"},
            "frequency": {"steps": 2, "min_interval": "72h"},
        },
    ],
    "metrics": [
        {
            "key": "bought",
            "role": "primary",
            "kind": "proportion",
            "event": "Order Completed",
            "window": "7d",
        },
        {
            "key": "revenue",
            "role": "secondary",
            "kind": "mean",
            "event": "Order Completed",
            "value": "revenue",
            "window": "7d",
            "covariate": "28d",
        },
        {"key": "opted_out", "role": "guardrail", "margin": 0.002},
    ],
    "plan": {"method": "spending", "alpha": 0.05, "power": 0.8, "mde": 0.1, "ends_after": "14d"},
    "allocation": {"policy": "fixed"},
}


def problems(**changes: Any) -> dict[str, str]:
    """What is wrong with the campaign after `changes`, given as dotted paths with __ for a dot."""
    document = copy.deepcopy(CAMPAIGN)
    for path, value in changes.items():
        target: Any = document
        *way, last = [int(part) if part.isdigit() else part for part in path.split("__")]
        for part in way:
            target = target[part]
        if value is ...:
            del target[last]
        else:
            target[last] = value
    try:
        read_design(document, library={})
    except Invalid as error:
        return {problem.field: problem.message for problem in error.problems}
    return {}


def test_a_good_campaign_is_read_whole_and_survives_storing() -> None:
    design = read_design(CAMPAIGN, library={})
    assert design.shares == {"silence": 0.25, "reminder": 0.25, "coupon": 0.5}
    assert design.control.key == "silence"
    assert design.variant("coupon").message is not None
    assert ExperimentDesign.model_validate(design.model_dump(mode="json")) == design
    assert design.metric_definitions()["opted_out"].event == "Opted Out"


@pytest.mark.parametrize(
    ("changes", "field", "words"),
    [
        ({"variants__0__weight": 0}, "variants[0].weight", "greater than 0"),
        ({"variants__0__weight": -1}, "variants[0].weight", "greater than 0, not -1"),
        ({"variants__0__weight": float("nan")}, "variants[0].weight", "finite"),
        ({"variants__0__weight": 0.3}, "variants", "sum to 3.3"),
        ({"variants__0__control": False}, "variants", "no variant is the control"),
        ({"variants__1__control": True}, "variants[1].control", "only one"),
        ({"variants__1__key": "silence"}, "variants[1].key", "used twice"),
        ({"variants": []}, "variants", "at least 2"),
        ({"variants__1__messages": {}}, "variants[1].messages", "unknown field"),
        ({"variants__0__send_time": {"local_time": "18:30"}}, "variants[0]", "need a `message`"),
        (
            {"variants__2__send_time__local_time": "18:30+02:00"},
            "variants[2].send_time.local_time",
            "own zone",
        ),
        (
            {"variants__2__frequency__min_interval": "soon"},
            "variants[2].frequency.min_interval",
            "not a duration",
        ),
        ({"variants__1__message__template": "Spring!"}, "variants[1].message.template", "pattern"),
        (
            {"variants__1__message__parameters": ["{{ usr.first_name }}"]},
            "variants[1].message.parameters[0]",
            "unknown template variable 'usr'",
        ),
        (
            {"variants__1__message__parameters": ["ok", "{{ user.first_name"]},
            "variants[1].message.parameters[1]",
            "not a valid template",
        ),
        ({"variants__1__message__link": "ftp://x"}, "variants[1].message.link", "pattern"),
        ({"metrics": []}, "metrics", "at least 1"),
        ({"metrics__0__role": "secondary"}, "metrics", "no metric is primary"),
        ({"metrics__0__kind": ...}, "metrics[0].key", "unknown metric 'bought'"),
        ({"metrics__1__value": ...}, "metrics[1].value", "a mean needs `value`"),
        ({"metrics__0__value": "revenue"}, "metrics[0].value", "belongs to kind sum, mean"),
        ({"metrics__0__kind": "quantile"}, "metrics[0].level", "is required for a quantile"),
        ({"metrics__0__margin": 0.1}, "metrics[0]", "belongs to a guardrail"),
        ({"metrics__0__window": "3d"}, "metrics[0].window", "before the last planned send"),
        ({"metrics__1__key": "bought"}, "metrics[1].key", "used twice"),
        ({"audience__coverage": 1.5}, "audience.coverage", "less than or equal to 1"),
        ({"audience__holdout": 1}, "audience.holdout", "less than 1"),
        (
            {"audience__layer": {"key": "l", "range": [0.5, 0.5]}},
            "audience.layer.range",
            "not after its start",
        ),
        (
            {"audience__layer": {"key": "l", "range": [0.9, 0.1]}},
            "audience.layer.range",
            "not after its start",
        ),
        ({"audience__layer": {"key": "l", "range": [0, 1.1]}}, "audience.layer.range[1]", "or equal to 1"),
        ({"audience__layer": {"key": "l", "range": [0.1]}}, "audience.layer.range[1]", "is required"),
        ({"audience__forced": {"user-1": "cupon"}}, "audience.forced.user-1", "no variant 'cupon'"),
        ({"audience__forced": {"user-1": 3}}, "audience.forced.user-1", "string"),
        ({"audience__hash_attribute": ""}, "audience.hash_attribute", "at least 1"),
        (
            {"audience__prerequisites": [{"experiment": "spring-wakeup", "variants": ["coupon"]}]},
            "audience.prerequisites[0].experiment",
            "itself",
        ),
        (
            {"audience__prerequisites": [{"experiment": "other", "variants": []}]},
            "audience.prerequisites[0].variants",
            "at least 1",
        ),
        ({"trigger__at": "2026-12-01T10:00:00"}, "trigger.at", "timezone"),
        ({"trigger__type": "cron"}, "trigger.type", "once"),
        ({"plan__alpha": 0}, "plan.alpha", "greater than 0"),
        ({"plan__method": "bayes"}, "plan.method", "always_valid"),
        ({"allocation__policy": "softmax"}, "allocation.policy", "is none of fixed, thompson, top_two"),
        ({"key": "Spring Wakeup"}, "key", "pattern"),
        ({"category": "spam"}, "category", "marketing"),
        ({"name": ...}, "name", "is required"),
    ],
)
def test_each_mistake_is_refused_by_the_name_of_its_field(
    changes: dict[str, Any], field: str, words: str
) -> None:
    found = problems(**changes)
    assert words in found.get(field, f"only {found}")


def test_every_problem_is_told_at_once() -> None:
    assert set(problems(variants__0__weight=-1, plan__alpha=2, name=...)) == {
        "variants[0].weight",
        "plan.alpha",
        "name",
    }


@pytest.mark.parametrize(
    ("one", "other", "overlap"),
    [
        (("l", (0.0, 0.5)), ("l", (0.5, 1.0)), False),
        (("l", (0.0, 0.5)), ("l", (0.4999, 1.0)), True),
        (("l", (0.0, 1.0)), ("l", (0.2, 0.3)), True),
        (("l", (0.0, 1.0)), ("m", (0.0, 1.0)), False),
        (("l", (0.0, 1.0)), ("l", None), False),
    ],
)
def test_ranges_of_one_layer_overlap_or_do_not(one: Any, other: Any, overlap: bool) -> None:
    first, second = (Layer(key=key, range=stretch) for key, stretch in (one, other))
    assert first.overlaps(second) is second.overlaps(first) is overlap


def test_shares_that_sum_to_one_are_taken_as_they_are() -> None:
    assert problems(variants__0__weight=0.2, variants__1__weight=0.3, variants__2__weight=0.5) == {}


def test_a_metric_comes_from_the_library_and_inline_fields_override_it() -> None:
    library = {"bought": MetricDefinition(kind=MetricKind.PROPORTION, event="Paid", window=timedelta(days=9))}
    document = {**CAMPAIGN, "metrics": [{"key": "bought", "role": "primary", "window": "8d"}]}
    bought = read_design(document, library=library).metric_definitions()["bought"]
    assert (bought.event, bought.window) == ("Paid", timedelta(days=8))


def test_the_last_send_of_a_daily_time_comes_after_whole_days_even_where_clocks_change() -> None:
    coupon = read_design(CAMPAIGN, library={}).variant("coupon")
    assert last_send_offset(coupon) == timedelta(days=5, hours=2)
