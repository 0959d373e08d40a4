"""Hash to variant: edges of the contract that the public cases do not name."""

import numpy as np
import pytest

from experiments.errors import Invalid
from targeting.bucketing import (
    bucket_ranges,
    choose_variants,
    equal_weights,
    hash_unit,
    hash_units,
    in_namespace,
)


def _fnv1a_of_bytes(data):
    """FNV-1a 32 bit as published (offset basis 2166136261, prime 16777619), over bytes."""
    state = 2166136261
    for byte in data:
        state = ((state ^ byte) * 16777619) % 2**32
    return state


def test_version_1_hashes_value_then_seed_and_version_2_hashes_the_digits_of_seed_then_value():
    assert hash_unit("seed", "user", 1) == _fnv1a_of_bytes(b"userseed") % 1000 / 1000
    digits = str(_fnv1a_of_bytes(b"seeduser")).encode()
    assert hash_unit("seed", "user", 2) == _fnv1a_of_bytes(digits) % 10000 / 10000


def test_a_number_is_hashed_as_its_text_and_a_list_is_not():
    for version in (1, 2):
        assert (
            hash_unit("seed", 5, version)
            == hash_unit("seed", 5.0, version)
            == hash_unit("seed", "5", version)
        )
    with pytest.raises(Invalid, match="only text and numbers"):
        hash_unit("seed", [5], 2)


@pytest.mark.parametrize("version", [0, 3, -1])
def test_an_unknown_version_is_none_for_one_and_refused_for_many(version):
    assert hash_unit("seed", "user", version) is None
    with pytest.raises(Invalid) as caught:
        hash_units("seed", ["user"], version)
    assert caught.value.problems[0].field == "hash_version"


def test_the_digits_of_short_hashes_are_not_padded():
    # A hash below 10^9 has fewer than ten digits: about a quarter of a few thousand values have one.
    values = [str(number) for number in range(5_000)]
    short = [value for value in values if _fnv1a_of_bytes(value.encode()) < 10**8]
    assert short
    assert hash_units("", short, 2).tolist() == [hash_unit("", value, 2) for value in short]


def test_no_users_no_units():
    assert hash_units("seed", [], 2).shape == (0,)


@pytest.mark.parametrize(
    ("n", "coverage", "weights", "expected"),
    [
        (2, None, None, [(0.0, 0.5), (0.5, 1.0)]),
        (2, -0.5, None, [(0.0, 0.0), (0.5, 0.5)]),
        (2, 7, None, [(0.0, 0.5), (0.5, 1.0)]),
        (2, 1, [], [(0.0, 0.5), (0.5, 1.0)]),
        (2, 1, [0.1, 0.1], [(0.0, 0.5), (0.5, 1.0)]),
        (0, 1, None, []),
        (-1, 1, None, []),
        (2, 1, [float("nan"), 0.5], [(0.0, 0.5), (0.5, 1.0)]),
    ],
)
def test_bad_coverage_is_clamped_and_bad_weights_give_way_to_equal_ones(n, coverage, weights, expected):
    assert bucket_ranges(n, coverage, weights) == expected


def test_equal_weights_of_nothing():
    assert equal_weights(0) == equal_weights(-3) == []


def test_of_overlapping_ranges_the_first_wins():
    assert choose_variants(np.array([0.5]), [(0.0, 0.6), (0.4, 1.0)]).tolist() == [0]


def test_the_two_halves_of_a_namespace_share_nobody():
    for number in range(200):
        halves = in_namespace(str(number), ("n", 0, 0.5)), in_namespace(str(number), ("n", 0.5, 1))
        assert sum(halves) == 1


def test_version_2_buckets_evenly():
    # 100,000 users in 10 tenths: the chi-square statistic with 9 degrees of freedom exceeds 33.7 once in 10,000 times.
    counts = np.histogram(
        hash_units("even", [f"user-{i}" for i in range(100_000)], 2), bins=10, range=(0, 1)
    )[0]
    assert ((counts - 10_000) ** 2 / 10_000).sum() < 33.7


@pytest.mark.parametrize("version", [1, 2])
def test_a_character_beyond_16_bits_counts_as_its_two_utf_16_units_as_in_the_sdks(version):
    pair = "\ud83d\ude00"  # what U+1F600 is in JavaScript
    assert hash_unit("s" + pair, "u" + pair, version) == hash_unit("s\U0001f600", "u\U0001f600", version)
    assert hash_units("s\U0001f600", ["\U0001f600", pair, "b"], version).tolist() == [
        hash_unit("s" + pair, value, version) for value in (pair, pair, "b")
    ]
