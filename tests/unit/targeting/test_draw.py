"""The draw: from units to variants, without a database."""

from collections import Counter
from typing import Any

import pytest

from experiments.design import ExperimentDesign
from targeting.bucketing import hash_unit
from targeting.draw import Draw, Gate, draw_variants, gates, unit_of, unit_text

IDS = [f"user-{number}" for number in range(3_000)]
SHARES = {"a": 0.2, "b": 0.8}


def design(key: str = "spring", *, category: str = "marketing", **audience: Any) -> ExperimentDesign:
    return ExperimentDesign.model_validate(
        {
            "key": key,
            "name": key,
            "category": category,
            "audience": audience,
            "variants": [
                {"key": "a", "control": True},
                {"key": "b", "message": {"template": "t", "language": "en"}},
            ],
            "metrics": [
                {"key": "bought", "role": "primary", "kind": "proportion", "event": "Order Completed"}
            ],
        }
    )


def draw(made: ExperimentDesign, units: list[str] = IDS, *, global_holdout: float = 0.0) -> Draw:
    return draw_variants(made, weights=SHARES, units=units, global_holdout=global_holdout)


def stopped(found: Draw, reason: str) -> list[str]:
    return [one for one, said in zip(IDS, found.reasons, strict=True) if said == reason]


def test_nobody_gives_an_empty_draw() -> None:
    assert draw(design(coverage=0.5), []) == Draw((), ())


def test_every_user_has_a_variant_or_a_reason_never_both() -> None:
    found = draw(
        design(coverage=0.6, holdout=0.1, layer={"key": "l", "range": [0.2, 0.9]}), global_holdout=0.1
    )
    assert len(found.variants) == len(found.reasons) == len(IDS)
    assert all(
        (variant is None) is (reason is not None)
        for variant, reason in zip(found.variants, found.reasons, strict=True)
    )
    assert set(found.reasons) == {None, "global_holdout", "layer", "holdout", "coverage"}


def test_the_weights_are_those_that_are_passed_and_not_those_of_the_design() -> None:
    drawn = Counter(draw(design()).variants)
    assert abs(drawn["a"] / len(IDS) - 0.2) < 0.03
    assert drawn["a"] + drawn["b"] == len(IDS)


def test_a_user_gets_the_same_alone_as_among_many() -> None:
    made = design(coverage=0.7, holdout=0.2, layer={"key": "l", "range": [0.1, 1]})
    together = draw(made, IDS[:50], global_holdout=0.1)
    alone = [draw(made, [one], global_holdout=0.1) for one in IDS[:50]]
    assert together.variants == tuple(each.variants[0] for each in alone)
    assert together.reasons == tuple(each.reasons[0] for each in alone)


def test_each_gate_has_the_hash_that_is_written_down() -> None:
    made = design(coverage=0.6, holdout=0.3, layer={"key": "promotions", "range": [0.25, 0.75]})
    found = draw(made, global_holdout=0.2)

    def place(seed: str, one: str) -> float:
        return hash_unit(seed, one, 2) or 0.0

    def expected(one: str) -> str | None:
        if place("global-holdout", one) < 0.2:
            return "global_holdout"
        if not 0.25 <= place("layer:promotions", one) < 0.75:
            return "layer"
        if place("holdout:spring", one) < 0.3:
            return "holdout"
        return "coverage" if place("coverage:spring", one) >= 0.6 else None

    assert list(found.reasons) == [expected(one) for one in IDS]
    assert [variant for variant in found.variants if variant] == [
        "a" if place("spring", one) < 0.2 else "b" for one in IDS if expected(one) is None
    ]


def test_the_edges_of_a_range_are_closed_below_and_open_above() -> None:
    at = hash_unit("layer:l", "user-1", 2) or 0.0
    assert at > 0
    below = draw(design(layer={"key": "l", "range": [at, 1]}), ["user-1"])
    above = draw(design(layer={"key": "l", "range": [0, at]}), ["user-1"])
    assert (below.reasons, above.reasons) == ((None,), ("layer",))


def test_no_gate_is_built_that_everybody_passes() -> None:
    assert gates(design(layer="promotions"), global_holdout=0.0) == ()


def test_the_global_holdout_is_of_marketing_and_of_users_whatever_the_unit() -> None:
    assert gates(design(category="utility"), global_holdout=0.3) == ()
    (gate,) = gates(design(), global_holdout=0.3)
    assert gate == Gate("global_holdout", "global-holdout", 0.3, 1.0, of_user=True)
    households = [f"h-{number // 4}" for number in range(len(IDS))]
    by_household = draw_variants(
        design(hash_attribute="household"),
        weights=SHARES,
        units=households,
        global_holdout=0.3,
        user_ids=IDS,
    )
    assert stopped(by_household, "global_holdout") == stopped(
        draw(design(), global_holdout=0.3), "global_holdout"
    )


def test_each_decision_says_nothing_about_the_others() -> None:
    found = draw(design(holdout=0.3, coverage=0.5), global_holdout=0.3)
    drawn = Counter(variant for variant in found.variants if variant is not None)
    assert abs(drawn["a"] / drawn.total() - 0.2) < 0.04
    assert abs(drawn.total() / len(IDS) - 0.7 * 0.7 * 0.5) < 0.04


def test_two_experiments_draw_independently() -> None:
    one, other = draw(design("spring")).variants, draw(design("autumn")).variants
    both = Counter(zip(one, other, strict=True))
    assert abs(both["a", "a"] / len(IDS) - 0.04) < 0.015


def test_whoever_was_left_out_meets_the_new_weights_as_everybody_does() -> None:
    """With one hash for coverage and variant, all of these would fall on `b`."""
    few, everybody = design(coverage=0.5), design(coverage=1.0)
    before = draw_variants(few, weights={"a": 0.5, "b": 0.5}, units=IDS, global_holdout=0.0)
    after = draw_variants(everybody, weights=SHARES, units=IDS, global_holdout=0.0)
    joined = Counter(
        new for old, new in zip(before.variants, after.variants, strict=True) if old is None and new
    )
    assert abs(joined["a"] / joined.total() - 0.2) < 0.04


@pytest.mark.parametrize(
    ("attributes", "unit"),
    [
        ({"household": "h-1", "account": "a-1"}, "h-1"),
        ({"household": 5, "account": "a-1"}, "5"),
        ({"household": 5.0}, "5"),
        ({"household": "", "account": 7}, "7"),
        ({"household": None, "account": "a-1"}, "a-1"),
        ({"household": True, "account": 0}, None),
        ({"household": ["h-1"], "account": {"a": 1}}, None),
        ({"household": float("inf")}, None),
        ({}, None),
    ],
)
def test_the_unit_is_the_attribute_or_else_the_fallback(attributes: dict[str, Any], unit: str | None) -> None:
    made = design(hash_attribute="household", fallback_attribute="account")
    assert unit_of(made, user_id="user-1", attributes=attributes) == unit


def test_the_users_own_id_is_a_unit_whatever_an_attribute_says() -> None:
    attributes = {"user_id": "somebody else"}
    assert unit_of(design(), user_id="user-1", attributes=attributes) == "user-1"
    fallback = design(hash_attribute="household", fallback_attribute="user_id")
    assert unit_of(fallback, user_id="user-1", attributes=attributes) == "user-1"


@pytest.mark.parametrize(
    ("value", "text"),
    [(1e21, "1e+21"), (2**53 + 1, "9007199254740992"), (1.5e-7, "1.5e-7"), (-3, "-3"), (10**400, None)],
)
def test_numbers_are_written_as_the_sdks_write_them(value: float, text: str | None) -> None:
    assert unit_text(value) == text
