"""What people type to change the traffic of an experiment, as the values that the API takes. Pure."""

import math
from collections.abc import Mapping
from typing import Any

import yaml


def shares_of(percents: Mapping[str, float]) -> dict[str, float] | None:
    """Shares that sum to 1, from percent that sum to 100; None when they do not.

    >>> shares_of({"a": 25.0, "b": 75.0}), shares_of({"a": 50.0, "b": 40.0})
    ({'a': 0.25, 'b': 0.75}, None)
    """
    total = math.fsum(percents.values())
    # Each is shown with two decimals.
    if not math.isclose(total, 100, abs_tol=0.01 * len(percents)):
        return None
    return {variant: percent / total for variant, percent in percents.items()}


def variant_of(text: str) -> Mapping[str, Any]:
    """A variant as it stands in a campaign file. Raises ValueError, in words, for anything else."""
    try:
        found = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(" ".join(str(error).split())) from error
    if not isinstance(found, Mapping) or not isinstance(found.get("key"), str):
        raise ValueError("key: is required")  # noqa: TRY004  # what was typed is wrong, not its type
    return found
