"""What a metric may say, and each mistake refused at its field."""

from datetime import timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from experiments.design import read_design
from experiments.errors import Invalid
from experiments.metrics import BUILT_IN, MetricDefinition, MetricUse
from experiments.mistakes import problems_of
from experiments.vocabulary import Direction, MetricKind
from tests.unit.experiments.test_design import CAMPAIGN

ORDER = {"event": "Order", "window": "7d"}
RATIO: dict[str, Any] = {
    "kind": "ratio",
    "numerator": {"event": "Order", "value": "revenue"},
    "denominator": {"event": "Order"},
}
BACK = {"kind": "retention", "event": "Visit", "after": "3d", "window": "7d"}


def refused(definition: dict[str, Any]) -> dict[str, str]:
    try:
        MetricDefinition.model_validate(definition)
    except ValidationError as error:
        return {problem.field: problem.message for problem in problems_of(error.errors())}
    return {}


@pytest.mark.parametrize(
    "definition",
    [
        {"kind": "proportion", **ORDER},
        {"kind": "count", "where": {"country": "NL"}, "cap": {"quantile": 0.99}, "covariate": "28d", **ORDER},
        {"kind": "sum", "value": "revenue", "cap": {"value": 500, "quantile": 0.999}, **ORDER},
        {"kind": "mean", "value": "revenue", "covariate": "28d", **ORDER},
        {"kind": "sum", "message": "delivered", "price": 0.07},
        {"kind": "count", "message": "blocked"},
        {**RATIO, "covariate": "28d"},
        {**RATIO, "denominator": {"message": "delivered", "price": 0.07}},
        {"kind": "quantile", "level": 0.9, "value": "revenue", **ORDER},
        {"kind": "quantile", "level": 0.5, "message": "read"},
        {**BACK, "covariate": "7d"},
        {"kind": "count", "where": {"a b": {"$in": [1, "x", True, None]}, "c": None, "d": {"$exists": False}}, **ORDER},
    ],
    ids=str,
)  # fmt: skip
def test_every_kind_is_read_and_survives_storing(definition: dict[str, Any]) -> None:
    read = MetricDefinition.model_validate(definition)
    assert MetricDefinition.model_validate(read.model_dump(mode="json")) == read


@pytest.mark.parametrize(
    ("definition", "field", "words"),
    [
        ({"kind": "count"}, "event", "is required"),
        ({"kind": "median", **ORDER}, "kind", "'proportion', 'count', 'sum', 'mean', 'ratio', 'quantile' or 'retention'"),
        ({"kind": "count", "event": ""}, "event", "at least 1"),
        ({"kind": "count", "message": "read", "event": "Order"}, "message", "only one of them"),
        ({"kind": "count", "message": "planned"}, "message", "'read', 'clicked', 'blocked' or 'failed'"),
        ({"kind": "count", "message": "read", "where": {"a": 1}}, "where", "a message has none"),
        ({"kind": "sum", "message": "read", "value": "revenue"}, "value", "a message has none"),
        ({"kind": "sum", "message": "read"}, "price", "adds up their price"),
        ({"kind": "count", "message": "read", "price": 1}, "price", "belongs to kind sum"),
        ({"kind": "sum", "message": "read", "price": 0}, "price", "greater than 0"),
        ({"kind": "sum", "value": "x", "price": 2, **ORDER}, "price", "is of a `message`"),
        ({"kind": "count", "message": "read", "covariate": "7d"}, "covariate", "has no messages"),
        ({**RATIO, "denominator": {"message": "read"}, "covariate": "7d"}, "covariate", "has no messages"),
        ({"kind": "sum", **ORDER}, "value", "a sum needs `value`"),
        ({"kind": "mean", "value": "$.a", **ORDER}, "value", "not the name of an event property"),
        ({"kind": "proportion", "value": "revenue", **ORDER}, "value", "not to proportion"),
        ({"kind": "ratio", **ORDER}, "event", "in its `numerator` or `denominator`"),
        ({"kind": "ratio", "numerator": {"event": "Order"}}, "denominator", "is required for a ratio"),
        ({**RATIO, "cap": {"value": 3}}, "cap", "in its `numerator` or `denominator`"),
        ({**RATIO, "numerator": {}}, "numerator.event", "is required"),
        ({**RATIO, "numerator": {"event": "Order", "kind": "sum"}}, "numerator.kind", "unknown field"),
        ({**RATIO, "denominator": {"event": "Order", "where": {"a": {"$lt": "x"}}}}, "denominator.where.a.$lt", "a number"),
        ({"kind": "count", "numerator": {"event": "Order"}, **ORDER}, "numerator", "belongs to kind ratio"),
        ({"kind": "quantile", **ORDER}, "level", "is required"),
        ({"kind": "quantile", "level": 1, **ORDER}, "level", "less than 1"),
        ({"kind": "quantile", "level": 0, **ORDER}, "level", "greater than 0"),
        ({"kind": "quantile", "level": 0.5, "covariate": "7d", **ORDER}, "covariate", "a quantile takes none"),
        ({"kind": "quantile", "level": 0.5, "cap": {"value": 3}, **ORDER}, "cap", "no long tail"),
        ({"kind": "count", "level": 0.5, **ORDER}, "level", "belongs to kind quantile"),
        ({**BACK, "after": "7d"}, "after", "not before the end of the window, 7d"),
        ({"kind": "retention", **ORDER}, "after", "is required for retention"),
        ({"kind": "retention", "message": "read", "after": "1d"}, "message", "cannot come back"),
        ({"kind": "count", "after": "1d", **ORDER}, "after", "belongs to kind retention"),
        ({**BACK, "cap": {"value": 3}}, "cap", "no long tail"),
        ({"kind": "count", "cap": {}, **ORDER}, "cap", "needs a `value` or a `quantile`"),
        ({"kind": "count", "cap": {"quantile": 1}, **ORDER}, "cap.quantile", "less than 1"),
        ({"kind": "count", "cap": {"value": -1}, **ORDER}, "cap.value", "greater than 0"),
        ({"kind": "count", "cap": {"value": float("nan")}, **ORDER}, "cap.value", ""),
        ({"kind": "count", "where": {"a.b": 1}, **ORDER}, "where.a.b", "no path"),
        ({"kind": "count", "where": {"$or": []}, **ORDER}, "where.$or", "joined by and"),
        ({"kind": "count", "where": {"a": {}}, **ORDER}, "where.a", "is empty"),
        ({"kind": "count", "where": {"a": [1]}, **ORDER}, "where.a", "{$in: [..]}"),
        ({"kind": "count", "where": {"a": {"$regex": "x"}}, **ORDER}, "where.a.$regex", "is none of $eq"),
        ({"kind": "count", "where": {"a": {"$in": "x"}}, **ORDER}, "where.a.$in", "takes a list"),
        ({"kind": "count", "where": {"a": {"$in": []}}, **ORDER}, "where.a.$in", "1 to 100"),
        ({"kind": "count", "where": {"a": {"$in": [1, {}]}}, **ORDER}, "where.a.$in[1]", "takes a text"),
        ({"kind": "count", "where": {"a": {"$gt": True}}, **ORDER}, "where.a.$gt", "takes a number"),
        ({"kind": "count", "where": {"a": {"$gt": float("inf")}}, **ORDER}, "where.a.$gt", "between -2^53 and 2^53"),
        ({"kind": "count", "where": {"a": 2**60}, **ORDER}, "where.a", "between -2^53 and 2^53"),
        ({"kind": "count", "where": {"a": {"$exists": 1}}, **ORDER}, "where.a.$exists", "true or false"),
        ({"kind": "count", "where": {"a": "x\x00"}, **ORDER}, "where.a", "none of them NUL"),
        ({"kind": "count", "where": {f"a{i}": 1 for i in range(21)}, **ORDER}, "where", "at most 20"),
    ],
    ids=str,
)  # fmt: skip
def test_each_mistake_is_refused_at_its_field(definition: dict[str, Any], field: str, words: str) -> None:
    assert words in refused(definition).get(field, f"only {refused(definition)}")


def test_a_mistake_in_a_campaign_has_the_whole_path() -> None:
    metrics = [{**CAMPAIGN["metrics"][0], "where": {"country": {"$near": 1}}}, *CAMPAIGN["metrics"][1:]]
    with pytest.raises(Invalid) as refusal:
        read_design({**CAMPAIGN, "metrics": metrics}, library={})
    assert [problem.field for problem in refusal.value.problems] == ["metrics[0].where.country.$near"]


@pytest.mark.parametrize("key", BUILT_IN)
def test_every_built_in_metric_is_used_by_key_alone(key: str) -> None:
    metrics = [*CAMPAIGN["metrics"][:1], {"key": key, "role": "secondary"}]
    design = read_design({**CAMPAIGN, "metrics": metrics}, library={})
    assert design.metric_definitions()[key] == BUILT_IN[key]
    assert BUILT_IN[key].direction == (
        Direction.DECREASE if key in {"opted_out", "blocked", "failed", "cost"} else Direction.INCREASE
    )


def test_a_campaign_sets_the_price_and_window_of_a_built_in_metric() -> None:
    use = MetricUse.model_validate({"key": "cost", "role": "secondary", "price": 0.07, "window": "14d"})
    cost = use.resolve({})
    assert (cost.price, cost.window, cost.kind) == (0.07, timedelta(days=14), MetricKind.SUM)


def test_the_properties_that_a_metric_reads_are_known_so_that_erasing_keeps_them() -> None:
    definition = MetricDefinition.model_validate(
        {**RATIO, "denominator": {"event": "Order", "where": {"items": {"$gte": 2}}}}
    )
    assert set(definition.properties()) == {"revenue", "items"}
