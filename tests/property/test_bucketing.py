"""The vectorised bucketing is the scalar one bit for bit, and raising coverage moves nobody."""

from itertools import pairwise

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from targeting.bucketing import bucket_ranges, choose_variant, choose_variants, hash_unit, hash_units

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
versions = st.sampled_from([1, 2])
weights = st.lists(st.integers(1, 20), min_size=1, max_size=6).map(
    lambda parts: [part / sum(parts) for part in parts]
)
units = st.integers(0, 9_999).map(lambda step: step / 10_000)


@given(seed=texts, values=st.lists(texts, max_size=30), version=versions)
@example(seed="", values=["", "\0", "a\0", "é", "😀", "e\u0301", "a" * 300], version=1)
@example(seed="naïve", values=["", "\0", "a\0", "é", "😀", "e\u0301", "a" * 300], version=2)
def test_hash_units_is_hash_unit(seed, values, version):
    expected = [hash_unit(seed, value, version) for value in values]
    vectorised = hash_units(seed, values, version)
    assert vectorised.dtype == np.float64
    assert vectorised.tolist() == expected
    if values and not any(value.endswith("\0") for value in values):  # numpy drops NULs at the end
        assert hash_units(seed, np.array(values), version).tolist() == expected


@given(count=st.sampled_from([32_767, 32_768, 32_769, 70_001]), version=versions)
def test_blocks_join_without_a_seam(count, version):
    values = [str(number) for number in range(count)]
    vectorised = hash_units("seam", values, version)
    for index in (0, 32_766, 32_767, 32_768, 65_536, count - 1):
        if index < count:
            assert vectorised[index] == hash_unit("seam", values[index], version)


@given(seed=texts, value=texts, version=versions)
def test_a_unit_is_in_the_unit_interval(seed, value, version):
    unit = hash_unit(seed, value, version)
    assert unit is not None
    assert 0 <= unit < 1


@given(places=st.lists(units, max_size=20), n=st.integers(0, 6), shares=weights, coverage=st.floats(-1, 2))
def test_choose_variants_is_choose_variant(places, n, shares, coverage):
    for ranges in (bucket_ranges(n, coverage, None), bucket_ranges(len(shares), coverage, shares)):
        expected = [choose_variant(place, ranges) for place in places]
        assert choose_variants(np.array(places, dtype=np.float64), ranges).tolist() == expected


@given(unit=units, shares=weights, low=st.floats(0, 1), high=st.floats(0, 1))
def test_raising_the_coverage_moves_nobody(unit, shares, low, high):
    low, high = sorted((low, high))
    before = choose_variant(unit, bucket_ranges(len(shares), low, shares))
    after = choose_variant(unit, bucket_ranges(len(shares), high, shares))
    assert before in {-1, after}


@given(shares=weights, coverage=st.floats(0, 1))
def test_ranges_do_not_overlap_and_cover_their_share(shares, coverage):
    ranges = bucket_ranges(len(shares), coverage, shares)
    for (_, end), (start, _) in pairwise(ranges):
        assert end <= start + 1e-12
    assert abs(sum(end - start for start, end in ranges) - coverage) < 1e-9
