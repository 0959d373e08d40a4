"""Findings of two analyses of the same data: the same but for the last digits, which hang on the order in which threads add up."""

from dataclasses import asdict, is_dataclass
from typing import Any

import pytest


def assert_alike(one: Any, other: Any) -> None:
    """Dataclasses, mappings and sequences of them, leaf by leaf; floats to nine digits."""
    if is_dataclass(one) and not isinstance(one, type):
        assert type(one) is type(other)
        one, other = asdict(one), asdict(other)
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        for key in one:
            assert_alike(one[key], other[key])
    elif isinstance(one, list | tuple):
        assert len(one) == len(other)
        for mine, yours in zip(one, other, strict=True):
            assert_alike(mine, yours)
    elif isinstance(one, float):
        assert one == pytest.approx(other, rel=1e-9, abs=1e-12, nan_ok=True)
    else:
        assert one == other
