"""A stock GrowthBook SDK that is fed with our payload gives the variants that our enrolment draws."""

from random import Random
from typing import Any

from growthbook import GrowthBook
from growthbook.core import evalCondition
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from targeting.conditions import matches
from targeting.features import compile_features
from targeting.payload import payload_of
from targeting.sdk_conditions import NotPortableError, translate
from tests.property.sdk_worlds import NOW, ODD_TIMES, TIMES, World, odd_attributes, odd_condition, world

# A world cannot be made smaller by its seed, so a failure is shown as it was found.
randoms = st.integers(0, 2**32).map(Random)
AS_FOUND = (Phase.explicit, Phase.reuse, Phase.generate)


def evaluated(payload: dict[str, Any], attributes: dict[str, Any], key: str) -> Any:
    sdk = GrowthBook(attributes=attributes, features=payload["features"], savedGroups=payload["savedGroups"])
    return sdk.eval_feature(key)


def payload(made: World) -> dict[str, Any]:
    built = payload_of(
        list(made.running.values()), lists=made.lists, global_holdout=made.global_holdout, now=NOW
    )
    assert built.left_out == {}
    return built.to_json()


@settings(max_examples=60, phases=AS_FOUND)
@given(randoms)
def test_the_python_sdk_and_our_own_give_the_variant_that_enrolment_draws(random: Random) -> None:
    made = world(random, people=20)
    document = payload(made)
    ours = compile_features(document["features"], document["savedGroups"])
    for person in made.people:
        for key in made.running:
            result = evaluated(document, person.sdk_attributes, key)
            assert result.value == made.variant(key, person), (key, person)
            assert ours.evaluate(person.sdk_attributes, key)["value"] == result.value, (key, person)


def test_these_worlds_hold_every_outcome() -> None:
    made = world(Random(4), experiments=8, people=200)
    given_out = {made.variant(key, person) for key in made.running for person in made.people}
    assert given_out == {None, "silence", "reminder", "coupon"}


@settings(max_examples=400, phases=AS_FOUND)
@given(randoms)
def test_a_translated_condition_is_exact_unless_a_guard_leaves_somebody_out(random: Random) -> None:
    condition, attributes = odd_condition(random), odd_attributes(random)
    try:
        translated = translate(condition, now=NOW)
    except NotPortableError:
        return
    fits = all(evalCondition(attributes, guard) for guard in translated.guards)
    expected = fits and matches(condition, attributes, now=NOW)
    assert evalCondition(attributes, translated.condition) is expected


@settings(max_examples=200, phases=AS_FOUND)
@given(randoms)
def test_ages_are_exact_for_times_in_utc_and_unknown_to_sdks_otherwise(random: Random) -> None:
    operator = random.choice(["$olderThan", "$newerThan"])
    condition = {"x": {operator: random.choice(["30d", "1d", "36h", "760d", "90m", "31s"])}}
    translated = translate(condition, now=NOW).condition
    time = random.choice(TIMES)
    assert evalCondition({"x": time}, translated) == matches(condition, {"x": time}, now=NOW), time
    assert not evalCondition({"x": random.choice(ODD_TIMES)}, translated)
