"""What must hold for every design: nobody moves when more take part, and nothing is left out because of its variant."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from experiments.design import ExperimentDesign
from targeting.bucketing import choose_variant, hash_unit
from targeting.draw import Draw, draw_variants, gates, unit_of, variant_ranges

IDS = [f"user-{number}" for number in range(200)]
shares = st.floats(0, 0.9)
covered = st.floats(0.01, 1)
ratios = st.lists(st.integers(1, 9), min_size=2, max_size=5)
stretches = st.tuples(st.integers(0, 98), st.integers(1, 99)).map(
    lambda pair: (pair[0] / 100, max(pair[0] + 1, pair[1]) / 100)
)


def design(ratio: list[int], *, key: str = "spring", **audience: Any) -> ExperimentDesign:
    variants: list[dict[str, Any]] = [{"key": f"v{i}", "weight": weight} for i, weight in enumerate(ratio)]
    variants[0]["control"] = True
    variants[1]["message"] = {"template": "t", "language": "en"}
    return ExperimentDesign.model_validate(
        {
            "key": key,
            "name": key,
            "audience": audience,
            "variants": variants,
            "metrics": [{"key": "bought", "role": "primary", "kind": "proportion", "event": "Order"}],
        }
    )


def draw(made: ExperimentDesign, *, global_holdout: float = 0.0, units: list[str] = IDS) -> Draw:
    return draw_variants(made, weights=made.shares, units=units, global_holdout=global_holdout)


def assigned(found: Draw) -> dict[str, str]:
    return {one: variant for one, variant in zip(IDS, found.variants, strict=True) if variant is not None}


@given(ratio=ratios, first=covered, second=covered, holdout=shares)
def test_more_coverage_adds_users_and_moves_none(ratio, first, second, holdout):
    low, high = sorted((first, second))
    before = assigned(draw(design(ratio, coverage=low, holdout=holdout)))
    after = assigned(draw(design(ratio, coverage=high, holdout=holdout)))
    assert before.items() <= after.items()


@given(ratio=ratios, first=shares, second=shares)
def test_a_larger_global_holdout_only_adds_users_to_it(ratio, first, second):
    low, high = sorted((first, second))
    held = [
        {
            one
            for one, reason in zip(IDS, draw(design(ratio), global_holdout=share).reasons, strict=True)
            if reason == "global_holdout"
        }
        for share in (low, high)
    ]
    assert held[0] <= held[1]


@given(ratio=ratios, other=ratios, coverage=covered, holdout=shares, global_holdout=shares, stretch=stretches)
def test_who_is_left_out_and_why_does_not_depend_on_the_arms(
    ratio, other, coverage, holdout, global_holdout, stretch
):
    audience = {
        "coverage": coverage,
        "holdout": min(holdout, 0.9),
        "layer": {"key": "layer", "range": stretch},
    }
    one = draw(design(ratio, **audience), global_holdout=global_holdout)
    another = draw(design(other, **audience), global_holdout=global_holdout)
    assert one.reasons == another.reasons


@given(ratio=ratios, stretch=stretches, other=stretches)
def test_disjoint_ranges_of_a_layer_share_nobody(ratio, stretch, other):
    first = design(ratio, key="first", layer={"key": "layer", "range": stretch})
    second = design(ratio, key="second", layer={"key": "layer", "range": other})
    shared = assigned(draw(first)).keys() & assigned(draw(second)).keys()
    one, two = first.audience.layer, second.audience.layer
    assert one is not None
    assert two is not None
    assert one.overlaps(two) == two.overlaps(one)
    assert not shared or one.overlaps(two)


@given(
    ratio=ratios,
    households=st.lists(st.sampled_from(["a", "b", "", 5, 5.0, "5", None, True, 7]), max_size=30),
)
def test_users_who_share_a_unit_share_their_fate(ratio, households):
    made = design(ratio, coverage=0.7, holdout=0.2, hash_attribute="household")
    units = [
        unit
        for value in households
        if (unit := unit_of(made, user_id="u", attributes={"household": value})) is not None
    ]
    found = draw(made, units=units)
    fates = set(zip(units, found.variants, found.reasons, strict=True))
    assert len(fates) == len(set(units))


@given(ratio=ratios, coverage=covered, holdout=shares, global_holdout=shares)
def test_the_draw_is_the_scalar_hash_of_each(ratio, coverage, holdout, global_holdout):
    made = design(ratio, coverage=coverage, holdout=holdout)
    found = draw(made, global_holdout=global_holdout, units=IDS[:40])
    ranges = variant_ranges(made, made.shares)
    for one, variant, reason in zip(IDS, found.variants, found.reasons, strict=False):
        missed = [
            gate.reason
            for gate in gates(made, global_holdout=global_holdout)
            if not gate.start <= (hash_unit(gate.seed, one, 2) or 0.0) < gate.end
        ]
        assert reason == (missed[0] if missed else None)
        if reason is None:
            assert variant == f"v{choose_variant(hash_unit('spring', one, 2) or 0.0, ranges)}"
