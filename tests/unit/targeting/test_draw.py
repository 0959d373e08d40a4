"""The draw: from user ids to variants, without a database."""

from collections import Counter
from typing import Any

from experiments.design import ExperimentDesign
from targeting.bucketing import hash_unit
from targeting.draw import Draw, draw_variants

IDS = [f"user-{number}" for number in range(3_000)]
SHARES = {"a": 0.2, "b": 0.8}


def design(key: str = "spring", **audience: Any) -> ExperimentDesign:
    return ExperimentDesign.model_validate(
        {
            "key": key,
            "name": key,
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


def test_nobody_gives_an_empty_draw() -> None:
    assert draw_variants(design(), weights=SHARES, units=[], global_holdout=0.0) == Draw((), ())


def test_every_user_has_a_variant_or_a_reason_never_both() -> None:
    draw = draw_variants(design(coverage=0.6, holdout=0.1), weights=SHARES, units=IDS, global_holdout=0.0)
    assert len(draw.variants) == len(draw.reasons) == len(IDS)
    assert all(
        (variant is None) is (reason is not None)
        for variant, reason in zip(draw.variants, draw.reasons, strict=True)
    )
    assert set(draw.reasons) == {None, "holdout", "coverage"}


def test_the_weights_are_those_that_are_passed_and_not_those_of_the_design() -> None:
    drawn = Counter(draw_variants(design(), weights=SHARES, units=IDS, global_holdout=0.0).variants)
    assert abs(drawn["a"] / len(IDS) - 0.2) < 0.03
    assert drawn["a"] + drawn["b"] == len(IDS)


def test_a_user_gets_the_same_alone_as_among_many() -> None:
    together = draw_variants(
        design(coverage=0.7, holdout=0.2), weights=SHARES, units=IDS[:50], global_holdout=0.0
    )
    alone = [
        draw_variants(design(coverage=0.7, holdout=0.2), weights=SHARES, units=[one], global_holdout=0.0)
        for one in IDS[:50]
    ]
    assert together.variants == tuple(draw.variants[0] for draw in alone)
    assert together.reasons == tuple(draw.reasons[0] for draw in alone)


def test_more_coverage_adds_users_and_moves_none() -> None:
    before: dict[str, str] = {}
    for coverage in (0.05, 0.3, 0.8, 1.0):
        draw = draw_variants(design(coverage=coverage), weights=SHARES, units=IDS, global_holdout=0.0)
        now = {one: variant for one, variant in zip(IDS, draw.variants, strict=True) if variant is not None}
        assert before.items() <= now.items()
        assert abs(len(now) / len(IDS) - coverage) < 0.03
        before = now


def test_the_holdout_has_a_hash_of_its_own() -> None:
    draw = draw_variants(design(holdout=0.3), weights=SHARES, units=IDS, global_holdout=0.0)
    held = [one for one, reason in zip(IDS, draw.reasons, strict=True) if reason == "holdout"]
    assert held == [one for one in IDS if (hash_unit("holdout:spring", one, 2) or 0.0) < 0.3]
    # What is left is split as before, so holding out does not tilt the arms.
    drawn = Counter(variant for variant in draw.variants if variant is not None)
    assert abs(drawn["a"] / drawn.total() - 0.2) < 0.03


def test_two_experiments_draw_independently() -> None:
    one = draw_variants(design("spring"), weights=SHARES, units=IDS, global_holdout=0.0).variants
    other = draw_variants(design("autumn"), weights=SHARES, units=IDS, global_holdout=0.0).variants
    both = Counter(zip(one, other, strict=True))
    assert abs(both["a", "a"] / len(IDS) - 0.04) < 0.015
