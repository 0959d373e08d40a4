"""The `allocation` part of a design: what it may say, and what each mistake is told as."""

from datetime import timedelta
from typing import Any

import pytest

from experiments.allocation import BanditAllocation, BurnIn, Cost, FixedAllocation, Waves
from experiments.design import ExperimentDesign, read_design
from experiments.errors import Invalid

BOUGHT = {"key": "bought", "role": "primary", "kind": "proportion", "event": "Order Completed"}
REVENUE = {
    "key": "revenue",
    "role": "secondary",
    "kind": "mean",
    "event": "Order Completed",
    "value": "revenue",
}
BASKET = {
    "key": "basket",
    "role": "primary",
    "kind": "ratio",
    "numerator": {"event": "Order Completed", "value": "revenue"},
    "denominator": {"event": "Order Completed"},
}
EVENT = {"type": "event", "event": "Cart Abandoned"}


def read(allocation: Any = ..., **changes: Any) -> ExperimentDesign:
    document = {
        "key": "spring",
        "name": "Spring",
        "trigger": EVENT,
        "variants": [
            {"key": "silence", "control": True},
            {"key": "reminder", "message": {"text": "Hello"}},
            {"key": "coupon", "message": {"text": "Hello"}},
        ],
        "metrics": [BOUGHT, REVENUE],
        **changes,
    }
    if allocation is not ...:
        document["allocation"] = allocation
    return read_design(document, library={})


def problems(allocation: Any, **changes: Any) -> dict[str, str]:
    try:
        read(allocation, **changes)
    except Invalid as error:
        return {problem.field: problem.message for problem in error.problems}
    return {}


def bandit(allocation: Any, **changes: Any) -> BanditAllocation:
    found = read(allocation, **changes).bandit
    assert found is not None
    return found


@pytest.mark.parametrize("allocation", [..., {}, {"policy": "fixed"}])
def test_weights_are_fixed_unless_a_bandit_is_asked_for(allocation: Any) -> None:
    design = read(allocation)
    assert design.allocation == FixedAllocation()
    assert design.bandit is None


def test_a_bandit_fills_in_what_is_left_out() -> None:
    assert bandit({"policy": "thompson"}) == BanditAllocation(
        policy="thompson",
        metric="bought",
        interval=timedelta(days=1),
        floor=0.05,
        burn_in=BurnIn(users=100, conversions=10),
        leader=None,
        cost=None,
        waves=None,
    )
    assert bandit({"policy": "top_two"}).leader == 0.5
    assert bandit({"policy": "top_two", "leader": 0.7}).leader == 0.7


def test_an_audience_that_is_met_at_once_goes_out_in_waves() -> None:
    once = {"type": "once"}
    assert bandit({"policy": "thompson"}, trigger=once).waves == Waves(share=0.1)
    assert bandit({"policy": "thompson", "waves": {"users": 50}}, trigger=once).waves == Waves(users=50)
    assert bandit({"policy": "thompson"}, trigger=EVENT).waves is None


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        (250, BurnIn(users=250, conversions=10)),
        ({"users": 250}, BurnIn(users=250, conversions=10)),
        ({"conversions": 3}, BurnIn(users=100, conversions=3)),
        (0, BurnIn(users=0, conversions=10)),
    ],
)
def test_a_burn_in_of_a_number_means_users(written: Any, meant: BurnIn) -> None:
    assert bandit({"policy": "thompson", "burn_in": written}).burn_in == meant


def test_money_needs_no_price_of_a_conversion_and_a_share_does() -> None:
    cost = {"message": 0.07}
    assert bandit({"policy": "thompson", "metric": "revenue", "cost": cost}).cost == Cost(message=0.07)
    assert problems({"policy": "thompson", "cost": cost}).keys() == {"allocation.cost.conversion"}
    assert bandit({"policy": "thompson", "cost": {**cost, "conversion": 12}}).cost == Cost(
        message=0.07, conversion=12.0
    )


@pytest.mark.parametrize(
    "allocation",
    [
        {"policy": "fixed"},
        {"policy": "thompson", "interval": "6h", "floor": 0.1, "burn_in": 50},
        {"policy": "thompson", "interval": "1m"},
        {"policy": "top_two", "metric": "revenue", "cost": {"message": 0.07}},
    ],
)
def test_what_is_stored_is_read_back_and_may_be_sent_again(allocation: dict[str, Any]) -> None:
    design = read(allocation)
    stored = design.model_dump(mode="json")
    assert ExperimentDesign.model_validate(stored) == design
    assert read_design(stored, library={}) == design


@pytest.mark.parametrize(
    ("allocation", "field", "words"),
    [
        ({"policy": "softmax"}, "allocation.policy", "is none of fixed, thompson, top_two"),
        ({"policy": None}, "allocation.policy", "is none of fixed, thompson, top_two"),
        ("thompson", "allocation", "is not an object"),
        ({"policy": "thompson", "flor": 0.1}, "allocation.flor", "unknown field"),
        ({"policy": "fixed", "flor": 0.1}, "allocation.flor", "unknown field"),
        ({"policy": "fixed", "floor": 0.1}, "allocation.floor", "goes with policy thompson or top_two"),
        ({"interval": "1d"}, "allocation.interval", "goes with policy thompson or top_two"),
        ({"policy": "fixed", "waves": {"share": 0.1}}, "allocation.waves", "goes with policy thompson"),
        ({"policy": "thompson", "leader": 0.5}, "allocation.leader", "belongs to policy top_two"),
        ({"policy": "top_two", "leader": 1}, "allocation.leader", "less than 1"),
        ({"policy": "thompson", "floor": 0}, "allocation.floor", "greater than 0"),
        ({"policy": "thompson", "floor": "5%"}, "allocation.floor", "number"),
        (
            {"policy": "thompson", "floor": 0.34},
            "allocation.floor",
            "3 variants that keep 0.34 of the traffic each are more than all of it; at most 0.333 goes",
        ),
        ({"policy": "thompson", "interval": "daily"}, "allocation.interval", "not a duration"),
        ({"policy": "thompson", "interval": "1s"}, "allocation.interval", "is at least 1m, not 1s"),
        ({"policy": "thompson", "burn_in": -1}, "allocation.burn_in.users", "greater than or equal to 0"),
        ({"policy": "thompson", "burn_in": "7d"}, "allocation.burn_in", "write a number of users"),
        ({"policy": "thompson", "burn_in": True}, "allocation.burn_in", "write a number of users"),
        ({"policy": "thompson", "burn_in": {"user": 1}}, "allocation.burn_in.user", "unknown field"),
        ({"policy": "thompson", "metric": "sold"}, "allocation.metric", "there are bought, revenue"),
        ({"policy": "thompson", "cost": {"conversion": 5}}, "allocation.cost.message", "is required"),
        ({"policy": "thompson", "cost": {"message": -1}}, "allocation.cost.message", "or equal to 0"),
        (
            {"policy": "thompson", "cost": {"message": 0.07}},
            "allocation.cost.conversion",
            "is required: what one conversion of 'bought' is worth",
        ),
        ({"policy": "thompson", "waves": {"share": 0.1}}, "allocation.waves", "goes with trigger once"),
        ({"policy": "thompson", "waves": {}}, "allocation.waves", "give one of"),
        (
            {"policy": "thompson", "waves": 0.2},
            "allocation.waves",
            "write a share of the audience, {share: 0.2}, or a number of users, such as {users: 5000}",
        ),
        (
            {"policy": "thompson", "waves": 500},
            "allocation.waves",
            "{share: 0.1}, or a number of users, {users: 500}",
        ),
        ({"policy": "thompson", "waves": "10%"}, "allocation.waves", "write a share of the audience"),
        ({"policy": "thompson", "waves": {"share": 0.1, "users": 5}}, "allocation.waves", "give one of"),
        ({"policy": "thompson", "waves": {"share": 1}}, "allocation.waves.share", "less than 1"),
        ({"policy": "thompson", "waves": {"users": 0.5}}, "allocation.waves.users", "integer"),
    ],
)
def test_each_mistake_is_refused_by_the_name_of_its_field(allocation: Any, field: str, words: str) -> None:
    found = problems(allocation)
    assert found.keys() == {field}
    assert words in found[field]


@pytest.mark.parametrize(
    ("metric", "kind"),
    [
        (BASKET, "ratio"),
        ({**REVENUE, "kind": "quantile", "level": 0.9}, "quantile"),
        ({**BOUGHT, "key": "back", "kind": "retention", "after": "2d"}, "retention"),
    ],
)
def test_a_kind_that_arms_cannot_be_compared_by_is_refused_by_name(metric: dict[str, Any], kind: str) -> None:
    primary = {**metric, "role": "primary"}
    found = problems({"policy": "thompson"}, metrics=[primary])
    assert found.keys() == {"allocation.metric"}
    assert f"the first primary metric, '{metric['key']}' is of kind {kind}" in found["allocation.metric"]
    found = problems(
        {"policy": "thompson", "metric": metric["key"]}, metrics=[{**BOUGHT, "key": "x"}, primary]
    )
    assert found["allocation.metric"].startswith(f"'{metric['key']}' is of kind {kind}; traffic follows one")
    assert problems({"policy": "thompson", "metric": "x"}, metrics=[primary, {**BOUGHT, "key": "x"}]) == {}


def test_a_metric_that_is_wrong_in_itself_is_told_at_its_own_place_only() -> None:
    broken = {**BOUGHT, "value": "revenue"}
    found = problems({"policy": "thompson", "metric": "bought", "floor": 0.4}, metrics=[broken])
    assert found.keys() == {"metrics[0].value", "allocation.floor"}
    found = problems({"policy": "thompson"}, metrics=[{**BOUGHT, "role": "secondary"}])
    assert found.keys() == {"metrics"}
