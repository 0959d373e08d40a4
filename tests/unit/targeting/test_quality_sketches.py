"""The small memories: right where they promise to be exact, close where they promise to be close, and bounded."""

from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from targeting.imports.quality_sketches import (
    ACCURACY,
    DISTINCT_KEPT,
    MAX_BUCKETS,
    MAX_CATEGORIES,
    Categories,
    Distinct,
    Numbers,
)

FINITE = st.floats(-1e9, 1e9).filter(lambda value: value == 0 or abs(value) > 1e-6)


def in_parts(memory: Any, values: Any, size: int) -> Any:
    for start in range(0, len(values), size):
        memory.add(values[start : start + size])
    return memory


@given(st.lists(FINITE, min_size=2, max_size=60), st.integers(1, 20))
def test_moments_do_not_depend_on_where_batches_end(values: list[float], size: int) -> None:
    numbers = in_parts(Numbers(), values, size)
    scale = max(map(abs, values)) + 1
    assert numbers.count == len(values)
    assert (numbers.low, numbers.high) == (min(values), max(values))
    assert numbers.mean == pytest.approx(np.mean(values), abs=1e-9 * scale)
    assert numbers.sd == pytest.approx(np.std(values, ddof=1), abs=1e-6 * scale)


@given(st.lists(FINITE, min_size=1, max_size=80), st.sampled_from([0.0, 0.05, 0.25, 0.5, 0.95, 1.0]))
def test_quantiles_are_as_accurate_as_they_promise(values: list[float], share: float) -> None:
    found = in_parts(Numbers(), values, 7).quantile(share)
    exact = float(np.quantile(values, share, method="lower"))
    bound = 1.001 * ACCURACY * abs(exact)
    # Whole numbers are shown as whole numbers.
    assert abs(found - exact) <= bound + (0.5 if all(value == int(value) for value in values) else 1e-9)


def test_small_whole_numbers_have_exact_quantiles() -> None:
    values = list(range(50)) * 3
    numbers = in_parts(Numbers(), values, 40)
    for share in (0.0, 0.1, 0.5, 0.9, 1.0):
        assert numbers.quantile(share) == np.quantile(values, share, method="lower")


def test_memory_stays_bounded_whatever_comes() -> None:
    rng = np.random.default_rng(1)
    numbers = in_parts(Numbers(), rng.normal(size=40_000) * 10.0 ** rng.uniform(-9, 100, 40_000), 2_000)
    assert len(numbers._buckets) <= MAX_BUCKETS
    assert numbers.count == 40_000


def test_numbers_that_cannot_be_squared_are_passed_over() -> None:
    numbers = Numbers()
    numbers.add([1.0, float("inf"), float("nan"), 1e200, 3])
    numbers.add([10**400, 5])
    assert (numbers.count, numbers.mean) == (3, 3.0)
    numbers.add([float("inf")])
    assert numbers.count == 3


@given(st.lists(st.integers(-5, 5), min_size=1, max_size=200))
def test_the_cells_of_a_reference_have_the_shares_that_they_say(values: list[int]) -> None:
    numbers = Numbers()
    numbers.add(values)
    cells = numbers.cells()
    up_to = [share for _, share in cells]
    assert up_to == sorted(up_to)
    assert up_to[-1] == 1.0
    shares = numbers.shares([edge for edge, _ in cells])
    assert np.cumsum(shares)[:-1] == pytest.approx(up_to)
    assert shares[-1] == 0


def hashes(values: Any) -> Any:
    return np.fromiter(map(hash, values), dtype=np.int64)


def test_distinct_values_are_exact_while_they_are_few() -> None:
    distinct = Distinct()
    for _ in range(3):
        distinct.add(hashes(range(DISTINCT_KEPT)))
    assert (distinct.value, distinct.exact) == (DISTINCT_KEPT, True)


@pytest.mark.parametrize("count", [5_000, 100_000])
def test_distinct_values_are_estimated_when_they_are_many(count: int) -> None:
    distinct = Distinct()
    for start in range(0, count, 1_000):
        distinct.add(hashes(range(start, start + 1_000)))
        distinct.add(hashes(range(start // 2, start // 2 + 1_000)))
    assert not distinct.exact
    assert distinct.value == pytest.approx(count, rel=0.15)


def test_categories_are_counted_until_there_are_too_many() -> None:
    categories = Categories()
    categories.add({"a": 2, True: 1})
    categories.add(Counter(["a", "b"]))
    assert categories.counts == {"a": 3, "b": 1, "true": 1}
    categories.add({str(number): 1 for number in range(MAX_CATEGORIES)})
    assert categories.counts is None
    categories.add({"a": 1})
    assert categories.counts is None
