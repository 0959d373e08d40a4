"""Factors crossed into variants: the same from YAML and JSON, once or twice, and every mistake with its path."""

import json
from collections.abc import Mapping
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from experiments.design import ExperimentDesign, read_design
from experiments.errors import Invalid
from experiments.factors import crossed, written_path

METRICS: list[dict[str, Any]] = [
    {"key": "bought", "role": "primary", "kind": "proportion", "event": "Order Completed", "window": "30d"}
]
REMINDER = {"template": "reminder", "language": "en_US"}
COUPON: dict[str, Any] = {"template": "coupon", "language": "en_US", "parameters": ["{{ user.first_name }}"]}
CONTENT: dict[str, Any] = {
    "key": "content",
    "levels": [{"key": "plain", "message": REMINDER}, {"key": "coupon", "message": COUPON, "weight": 2}],
}
HOUR: dict[str, Any] = {
    "key": "hour",
    "levels": [{"key": "now"}, {"key": "evening", "send_time": {"local_time": "18:30"}, "weight": 3}],
}
OFTEN: dict[str, Any] = {
    "key": "often",
    "levels": [{"key": "once"}, {"key": "thrice", "frequency": {"steps": 3, "min_interval": "48h"}}],
}


def document(*factors: Mapping[str, Any], **changes: Any) -> dict[str, Any]:
    return {"key": "spring", "name": "spring", "factors": list(factors), "metrics": METRICS, **changes}


def read(*factors: Mapping[str, Any], **changes: Any) -> ExperimentDesign:
    return read_design(document(*factors, **changes), library={})


def told(*factors: Mapping[str, Any], **changes: Any) -> dict[str, str]:
    """What is wrong, by path."""
    with pytest.raises(Invalid) as error:
        read(*factors, **changes)
    return {problem.field: problem.message for problem in error.value.problems}


def test_every_combination_is_a_variant_with_the_product_of_the_weights() -> None:
    design = read(CONTENT, HOUR, OFTEN)
    assert {variant.key: variant.weight for variant in design.variants} == {
        "plain.now.once": 1,
        "plain.now.thrice": 1,
        "plain.evening.once": 3,
        "plain.evening.thrice": 3,
        "coupon.now.once": 2,
        "coupon.now.thrice": 2,
        "coupon.evening.once": 6,
        "coupon.evening.thrice": 6,
    }
    last = design.variant("coupon.evening.thrice")
    assert last.levels == {"content": "coupon", "hour": "evening", "often": "thrice"}
    assert last.message is not None
    assert last.message.template == "coupon"
    assert last.send_time is not None
    assert last.frequency is not None
    assert last.steps == 3
    first = design.control
    assert (first.key, first.send_time, first.frequency) == ("plain.now.once", None, None)


def test_what_a_level_leaves_out_is_as_in_the_treatment() -> None:
    shared = {"message": COUPON, "send_time": {"after": "2h"}}
    design = read(HOUR, treatment=shared)
    now, evening = design.variants
    assert now.message == evening.message
    assert now.send_time is not None
    assert now.send_time.local_time is None
    assert evening.send_time is not None
    assert evening.send_time.after is None
    assert "treatment" in design.model_dump(mode="json")


@pytest.mark.parametrize("control", [True, False])
def test_a_silent_arm_of_ones_own(control: bool) -> None:
    silence = {"key": "silence", "weight": 4, "control": control}
    design = read(CONTENT, HOUR, variants=[silence])
    assert [variant.key for variant in design.variants][-1] == "silence"
    assert design.control.key == ("silence" if control else "plain.now")
    assert sum(variant.control for variant in design.variants) == 1
    assert design.shares["silence"] == pytest.approx(4 / (1 + 3 + 2 + 6 + 4))


@pytest.mark.parametrize(
    "variants", [None, [], [{"key": "silence", "control": True}]], ids=["none", "empty", "silent"]
)
def test_a_stored_design_put_back_is_the_same(variants: list[dict[str, Any]] | None) -> None:
    changes = {} if variants is None else {"variants": variants}
    design = read(CONTENT, HOUR, OFTEN, **changes)
    stored = design.model_dump(mode="json")
    for again in (stored, json.loads(json.dumps(stored)), yaml.safe_load(yaml.safe_dump(stored))):
        assert read_design(again, library={}) == design
    once, _ = crossed(document(CONTENT, HOUR, OFTEN, **changes))
    assert crossed(once) == (once, [])


def test_yaml_and_json_say_the_same() -> None:
    text = """
    key: spring
    name: spring
    treatment: {message: {template: reminder, language: en_US}}
    factors:
      - key: hour
        levels:
          - {key: now}
          - {key: evening, send_time: {local_time: "18:30"}, weight: 3}
    metrics: [{key: bought, role: primary, kind: proportion, event: Order Completed, window: 30d}]
    """
    assert read_design(yaml.safe_load(text), library={}) == read(HOUR, treatment={"message": REMINDER})


levels = st.lists(st.sampled_from("abcdefgh"), min_size=2, max_size=4, unique=True)


@given(st.lists(levels, min_size=1, max_size=3), st.lists(st.integers(1, 9), min_size=4, max_size=4))
def test_crossing_is_a_product_and_crossing_again_is_nothing(
    keys: list[list[str]], weights: list[int]
) -> None:
    parts: list[dict[str, Any]] = [
        {"message": COUPON},
        {"send_time": {"after": "1h"}},
        {"frequency": {"steps": 2}},
    ]
    factors = [
        {
            "key": f"f{i}",
            "levels": [{"key": key, "weight": weights[j], **part} for j, key in enumerate(names)],
        }
        for i, (names, part) in enumerate(zip(keys, parts, strict=False))
    ]
    number = 1
    for names in keys:
        number *= len(names)
    made = document(*factors, treatment={"message": REMINDER})
    if number > 50:
        assert "factors" in told(*factors, treatment={"message": REMINDER})
        return
    whole, problems = crossed(made)
    assert problems == []
    assert len(whole["variants"]) == number
    assert [variant["control"] for variant in whole["variants"] if "control" in variant] == [True]
    assert sum(variant["weight"] for variant in whole["variants"]) == pytest.approx(
        _product([sum(weights[: len(names)]) for names in keys])
    )
    assert crossed(whole) == (whole, [])


def _product(numbers: list[int]) -> int:
    found = 1
    for number in numbers:
        found *= number
    return found


def many(count: int, key: str = "content", **part: Any) -> dict[str, Any]:
    part = part or {"message": COUPON}
    return {"key": key, "levels": [{"key": f"l{index}", **part} for index in range(count)]}


def test_fifty_variants_and_no_more() -> None:
    assert len(read(many(10), many(5, "hour", send_time={"after": "1h"})).variants) == 50
    assert told(many(10), many(6, "hour", send_time={"after": "1h"})) == {
        "factors": "make 60 variants, and 50 are the most there can be"
    }
    assert "variants" in told(
        many(10), many(5, "hour", send_time={"after": "1h"}), variants=[{"key": "silence"}]
    )


@pytest.mark.parametrize(
    ("factors", "changes", "field", "words"),
    [
        ([CONTENT, CONTENT | {"levels": HOUR["levels"]}], {}, "factors[1].key", "used twice"),
        ([CONTENT, {"key": "x", "levels": CONTENT["levels"]}], {}, "factors[1].levels", "one factor, one part"),
        ([CONTENT, {"key": "x", "levels": [{"key": "a"}, {"key": "b"}]}], {}, "factors[1].levels", "set nothing"),
        ([CONTENT | {"levels": CONTENT["levels"][:1]}], {}, "factors[0].levels", "at least 2"),
        ([{"key": "c", "levels": [{"key": "a"}, {"key": "a", "message": COUPON}]}], {}, "factors[0]", "same key"),
        ([CONTENT, OFTEN | {"levels": [{"key": "a"}, {"key": "b", "frequency": {"steps": 99}}]}], {}, "factors[1].levels[1].frequency.steps", "30"),
        ([CONTENT, HOUR | {"levels": [{"key": "a"}, {"key": "b", "send_time": {"local_time": 1110}}]}], {}, "factors[1].levels[1].send_time.local_time", "in quotes"),
        ([CONTENT, HOUR | {"levels": [{"key": "a", "weight": 0}, {"key": "b", "send_time": {"after": "1h"}}]}], {}, "factors[1].levels[0].weight", "greater than 0"),
        ([CONTENT | {"lvls": 1}], {}, "factors[0].lvls", "unknown field"),
        ([CONTENT, HOUR, OFTEN, many(2, "a"), many(2, "b")], {}, "factors", "at most 4"),
        ([many(2, "a" * 63) | {"levels": [{"key": "k" * 40, "message": COUPON}, {"key": "l" * 40}]}, HOUR | {"levels": [{"key": "m" * 30}, {"key": "n", "send_time": {"after": "1h"}}]}], {"treatment": {"message": COUPON}}, "factors", "63 is the most"),
        # What is wrong with a level is told of the level, once, however many combinations have it.
        ([CONTENT | {"levels": [CONTENT["levels"][0], {"key": "b", "message": COUPON | {"parameters": ["{{ usr.x }}"]}}]}, HOUR], {}, "factors[0].levels[1].message.parameters[0]", "usr"),
        ([HOUR], {"treatment": {"message": COUPON | {"parameters": ["{{ usr.x }}"]}}}, "treatment.message.parameters[0]", "usr"),
        # A silent level has no time of day.
        ([CONTENT | {"levels": [{"key": "silent"}, CONTENT["levels"][1]]}, HOUR], {}, "factors", "silent arm has neither"),
        ([HOUR], {}, "factors", "silent arm has neither"),
        ([CONTENT | {"levels": [level | {"weight": 0.5} for level in CONTENT["levels"]]}], {"variants": [{"key": "silence", "weight": 0.2}]}, "variants", "weights sum to 1.2"),
        ([CONTENT], {"variants": [{"key": "plain", "message": COUPON}]}, "variants[0].key", "used twice"),
        ([CONTENT], {"variants": [{"key": "silence"}, {"key": "x", "message": COUPON | {"parameters": ["{{ usr.x }}"]}}]}, "variants[1].message.parameters[0]", "usr"),
        ([CONTENT], {"variants": [{"key": "a", "control": True}, {"key": "b", "control": True}]}, "variants[1].control", "only one"),
        ([CONTENT], {"variants": "silence"}, "variants", "not a list"),
        ([], {"variants": [{"key": "a", "control": True}, {"key": "b", "message": COUPON, "levels": {"x": "y"}}]}, "variants[1].levels", "no `factors`"),
    ],
    ids=str,
)  # fmt: skip
def test_what_is_wrong_is_told_where_it_was_written(
    factors: list[dict[str, Any]], changes: dict[str, Any], field: str, words: str
) -> None:
    found = told(*factors, **changes)
    assert field in found, found
    assert words in found[field]
    assert len(found) == 1, found


@pytest.mark.parametrize(
    ("change", "field", "words"),
    [
        (lambda variants: variants[1].update(weight=7), "variants[1]", "not as the `factors` make it"),
        (lambda variants: variants[1].update(control=True), "variants[1]", "not as the `factors` make it"),
        (lambda variants: variants[1].update(key="other"), "variants[1]", "not a combination"),
        (lambda variants: variants.append(variants[1]), "variants[4]", "not a combination"),
        (lambda variants: variants.pop(1), "variants", "'plain.evening'"),
    ],
    ids=["weight", "control", "key", "twice", "missing"],
)
def test_an_edit_of_a_combination_is_refused_rather_than_lost(change: Any, field: str, words: str) -> None:
    stored = read(CONTENT, HOUR).model_dump(mode="json")
    change(stored["variants"])
    with pytest.raises(Invalid) as error:
        read_design(stored, library={})
    found = {problem.field: problem.message for problem in error.value.problems}
    assert words in found[field]


def test_changed_factors_need_the_old_combinations_gone() -> None:
    stored = read(CONTENT, HOUR).model_dump(mode="json")
    stored["factors"] = [CONTENT]
    with pytest.raises(Invalid, match="change those, or leave it out"):
        read_design(stored, library={})
    assert [variant.key for variant in read_design({**stored, "variants": []}, library={}).variants] == [
        "plain",
        "coupon",
    ]


def test_windows_and_series_are_asked_of_the_combinations() -> None:
    often = OFTEN | {
        "levels": [{"key": "once"}, {"key": "many", "frequency": {"steps": 20, "min_interval": "72h"}}]
    }
    assert "metrics[0].window" in told(CONTENT, often)
    endless = OFTEN | {
        "levels": [{"key": "once"}, {"key": "many", "frequency": {"steps": 30, "min_interval": "20d"}}]
    }
    metrics = [METRICS[0] | {"window": "3000d"}]
    assert list(told(CONTENT, endless, metrics=metrics)) == ["factors[1].levels[1].frequency"]


def test_where_a_part_was_written() -> None:
    design = read(CONTENT, HOUR, treatment={"message": REMINDER})
    levels = design.variants[3].levels
    assert written_path(design.factors, levels, ".message.text") == "factors[0].levels[1].message.text"
    assert written_path(design.factors, levels, ".send_time") == "factors[1].levels[1].send_time"
    assert written_path(design.factors, design.variants[0].levels, ".send_time") == "treatment.send_time"
    assert written_path(design.factors, levels, ".weight") == "factors"
