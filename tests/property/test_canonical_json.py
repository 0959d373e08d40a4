"""Canonical JSON is one text for one value: it survives reading, writing and any order of keys."""

import json
from dataclasses import fields, replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from analysis.inputs import ArmFacts
from analysis.reports.canonical import canonical, content_hash, first_difference
from analysis.reports.dataclass_json import from_plain, to_plain
from analysis.stats.aggregates import Aggregate

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)


def shuffled(value, rng):
    """The same value, with the keys of every object in another order."""
    if isinstance(value, dict):
        keys = list(value)
        rng.shuffle(keys)
        return {key: shuffled(value[key], rng) for key in keys}
    return [shuffled(each, rng) for each in value] if isinstance(value, list) else value


@given(VALUES, st.integers(0, 2**32 - 1))
def test_reading_writing_and_the_order_of_keys_change_nothing(value, seed):
    text = canonical(value)
    other = shuffled(value, np.random.default_rng(seed))
    assert canonical(json.loads(text)) == text
    assert canonical(json.loads(json.dumps(other, indent=1))) == text
    assert content_hash(other) == content_hash(value)
    assert first_difference(value, other) is None


@given(VALUES, VALUES)
def test_values_that_differ_have_a_first_difference_and_those_that_do_not_have_none(left, right):
    assert (first_difference(left, right) is None) == (canonical(left) == canonical(right))


NUMBERS = st.floats() | st.integers(-(10**20), 10**20)
AGGREGATES = st.builds(
    Aggregate,
    n=st.integers(0, 10**12),
    **{each.name: NUMBERS if each.name in {"mean", "variance"} else st.none() | NUMBERS for each in fields(Aggregate) if each.name != "n"},
)  # fmt: skip
ARMS = st.builds(
    ArmFacts,
    variant=TEXTS,
    control=st.booleans(),
    weight=st.floats(),
    assigned=st.integers(0),
    mature=st.integers(0),
    messages=st.none(),
    reached=st.none(),
    aggregates=st.dictionaries(TEXTS, AGGREGATES, max_size=3),
)


@given(ARMS)
def test_arms_come_back_bit_for_bit(arm):
    plain = to_plain(arm)
    back = from_plain(ArmFacts, json.loads(canonical(plain)))
    assert canonical(to_plain(back)) == canonical(plain)
    assert repr(back) == repr(replace(arm, aggregates=dict(sorted(arm.aggregates.items()))))
