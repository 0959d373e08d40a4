"""What makes a campaign doubtful though its form is right."""

from typing import Any

import pytest

from analysis.facts.event_facts import OUR_OWN
from dashboard.campaign import doubts, messages, metrics
from dashboard.campaign.doubts import TRIGGER
from experiments.metrics import BUILT_IN
from experiments.plan import DecisionRules
from experiments.vocabulary import SHARE_KINDS, TEMPLATE_VARIABLES, MetricKind

KNOWN = ("Cart Viewed", "Order Completed", "Order Refunded Partially", "Signed Up")


def planned(**changes: Any) -> dict[str, Any]:
    metric = {
        "metric": "bought",
        "role": "primary",
        "base": {"mean": 0.04},
        "power": 0.05,
        "effect": 0.1,
        "users_needed": 460_776,
        "reasons": [],
    }
    return {"power": 0.8, "audience": {"taking_part": 78}, "metrics": [metric | changes]}


def test_every_event_that_something_rests_on_is_named_with_what_does() -> None:
    document = {
        "trigger": {"type": "event", "event": "Cart"},
        "metrics": [
            {"key": "bought", "kind": "proportion", "event": "Order"},
            {
                "key": "share",
                "kind": "ratio",
                "numerator": {"event": "Order"},
                "denominator": {"event": "Cart"},
            },
            {"key": "kept", "role": "secondary"},
            {"key": "opted_out"},
            {"key": "read", "kind": "proportion", "message": "read"},
            {"key": "none", "kind": "count", "event": 7},
        ],
    }
    library = {"kept": {"kind": "retention", "event": "Visit"}}
    assert doubts.events_used(document, library) == {
        "Cart": [TRIGGER, "share"],
        "Order": ["bought", "share"],
        "Visit": ["kept"],
    }
    assert doubts.events_used({"metrics": "none", "trigger": 3}, {}) == {}


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("Order", ["Order Completed", "Order Refunded Partially"]),
        ("order completed", ["Order Completed"]),
        ("Signd Up", ["Signed Up"]),
        ("Xyz", []),
        ("  ", []),
        ("Cart Viewed", []),
    ],
)
def test_the_nearest_known_events_are_named(typed: str, meant: list[str]) -> None:
    assert doubts.nearest(typed, KNOWN) == meant


def test_events_that_are_recorded_by_themselves_are_no_slip() -> None:
    assert doubts.RECORDED == OUR_OWN


def test_a_plan_whose_users_are_too_few_is_weak() -> None:
    [weak] = doubts.weak_metrics(planned())
    assert (weak.metric, weak.power, weak.users, weak.needed) == ("bought", 0.05, 78, 460_776)
    assert doubts.weak_metrics(planned(power=0.76)) == []
    assert len(doubts.weak_metrics(planned(power=0.74))) == 1
    assert doubts.weak_metrics(planned(role="guardrail")) == []
    # Nobody knows how many will come.
    assert doubts.weak_metrics(planned(power=None)) == []
    assert doubts.weak_metrics({}) == []


def test_a_plan_that_cannot_tell_says_why_unless_that_is_said_already() -> None:
    plan = planned(base=None, power=None, reasons=["nothing is known"])
    assert doubts.weak_metrics(plan)[0].reasons == ("nothing is known",)
    assert doubts.weak_metrics(plan, told={"bought"}) == []


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("user.first_name", "user.first_name"),
        ("{user.first_name}", "user.first_name"),
        ("Hi user.first_name!", "user.first_name"),
        ('events["Order"].total', 'events["Order"]'),
        ("coupon", "coupon"),
        ("{{ user.first_name }}", None),
        ("{% if user.vip %}Hi{% endif %}", None),
        ("Your coupon", None),
        ("https://shop.example/user.name", None),
        ("write to user.name@shop.example", None),
        ("Ask any user. Thanks", None),
        ("", None),
    ],
)
def test_what_lacks_its_braces_is_found(text: str, path: str | None) -> None:
    assert messages.unbraced(text) == path


def test_every_variable_of_a_template_is_known_to_lack_its_braces() -> None:
    samples = {"user": "user.x", "content": "content.x", "events": "events['x']"}
    for name in TEMPLATE_VARIABLES:
        sample = samples.get(name, name)
        assert messages.unbraced(sample) == sample


def test_a_share_is_known_wherever_the_metric_is_defined() -> None:
    for key, definition in BUILT_IN.items():
        assert metrics.is_share({"key": key}, {}) == (definition.kind in SHARE_KINDS)
    for kind in MetricKind:
        assert metrics.is_share({"kind": str(kind)}, {}) == (kind in SHARE_KINDS)
        assert metrics.is_share({"key": "kept"}, {"kept": {"kind": str(kind)}}) == (kind in SHARE_KINDS)
    assert not metrics.is_share({"key": "unheard"}, {})
    assert not metrics.is_share({}, {})


def test_messages_for_nobody_come_first_with_their_most_frequent_reason() -> None:
    reasons = [
        {"field": "text", "reason": "is missing", "users": 3},
        {"field": "link", "reason": "x", "users": 1},
    ]
    messages = [
        {"variant": "some", "checked": 40, "failed": 4, "reasons": reasons},
        {"variant": "fine", "checked": 40, "failed": 0, "reasons": []},
        {"variant": "unknown", "checked": 0, "failed": None, "reasons": [], "unknown": "it reads content"},
        {"variant": "none", "checked": 40, "failed": 40, "reasons": reasons},
        {"variant": "too", "checked": 40, "failed": 40, "reasons": reasons},
    ]
    found = doubts.unwritten({"messages": messages})
    assert [(each.variants, each.is_for_nobody) for each in found] == [
        (("none", "too"), True),
        (("some",), False),
    ]
    assert found[1].reason == "text: is missing"
    assert doubts.unwritten({"messages": "none"}) == doubts.unwritten({}) == []


def test_the_smallest_arm_is_held_against_what_the_report_asks_for() -> None:
    plan = {"entry": {"by_the_end": 500}, "arms": {"a": 0.85, "b": 0.15}}
    assert doubts.small_arms(plan, {}) == doubts.SmallArms(users=75, arms=2, least=100)
    assert doubts.small_arms(plan, {"plan": {"rules": {"min_users": 75}}}) is None
    assert doubts.small_arms({**plan, "entry": {"by_the_end": None}}, {}) is None
    assert doubts.small_arms({}, {}) is None
    assert DecisionRules().min_users == doubts.MIN_USERS


def test_a_guardrail_that_cannot_be_cleared_is_told_where_what_is_usual_is_known() -> None:
    guardrail = {"metric": "opted_out", "role": "guardrail", "margin": 0.002, "kind": "proportion"}
    [weak] = doubts.weak_metrics(planned(**guardrail))
    assert (weak.metric, weak.margin, weak.needed) == ("opted_out", 0.002, 460_776)
    assert doubts.weak_metrics(planned(**guardrail, base=None, power=None)) == []
    assert doubts.weak_metrics(planned(**{**guardrail, "margin": None})) == []


def test_the_best_base_tells_what_no_base_could() -> None:
    [weak] = doubts.weak_metrics(planned(base=None, power=None, least_users=79))
    assert weak.least == 79
    [open_] = doubts.weak_metrics(planned(base=None, power=None, least_users=78))
    assert open_.least is None
