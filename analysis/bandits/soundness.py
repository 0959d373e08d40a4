"""Is the split what the weights promised? A bandit never acts on an experiment of which that is in doubt. Pure.

Every epoch is compared with its own weights (`stats/srm.py`), and the propensity that was logged with each assignment with the
weight of its epoch.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from analysis.facts.allocation_facts import Drawn
from analysis.facts.unit_facts import Units
from analysis.stats import srm
from analysis.stats.errors import InsufficientData
from experiments.models import Epoch
from experiments.vocabulary import Method

_ROUNDING: Final = 1e-6
_LARGEST_LOG: Final = 690.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Soundness:
    """p_value, e_value: of the sample-ratio tests; None when they cannot tell. doubt: why nothing should be moved, or None."""

    p_value: float | None
    e_value: float | None
    doubt: str | None


def check_split(
    epochs: Sequence[Epoch], drawn: Sequence[Drawn], *, method: Method, units: Units | None = None
) -> Soundness:
    """Compare who was drawn with what was promised. method: with `fixed` (one look) the chi-square alarms as well.

    units: where users are drawn together (households), how many units were; they are compared then, for users of one are one draw.
    """
    weights = {epoch.number: epoch.weights for epoch in epochs}
    for cell in drawn:
        promised = weights.get(cell.epoch, {}).get(cell.variant, 0.0)
        if not promised > 0:
            return _doubt(
                f"{cell.users} users of epoch {cell.epoch} are in {cell.variant!r}, whose weight is 0 then"
            )
        if max(abs(cell.least - promised), abs(cell.most - promised)) > _ROUNDING:
            return _doubt(
                f"users of epoch {cell.epoch} were drawn into {cell.variant!r} with probability {cell.least:g} to {cell.most:g}, "
                f"and not with its weight, {promised:g}"
            )
    if not drawn:
        return Soundness(p_value=None, e_value=None, doubt=None)
    numbers = sorted({cell.epoch for cell in drawn})
    variants = sorted({variant for number in numbers for variant in weights[number]})
    counts = np.zeros((len(numbers), len(variants)))
    for cell in drawn:
        number = cell.users if units is None else units.get(cell.variant, {}).get(cell.epoch, 0)
        counts[numbers.index(cell.epoch), variants.index(cell.variant)] = number
    shares = np.array([[weights[number].get(variant, 0.0) for variant in variants] for number in numbers])
    return _tested(counts, shares, method)


def _tested(counts: np.ndarray, shares: np.ndarray, method: Method) -> Soundness:
    log_e = _unless_too_few(srm.log_e_value_over_epochs, counts, shares)
    e_value = None if log_e is None else math.exp(min(log_e, _LARGEST_LOG))
    p_value = _unless_too_few(srm.chi_square_over_epochs, counts, shares)
    if e_value is not None and e_value >= srm.ALARM_E:
        return Soundness(
            p_value=p_value,
            e_value=e_value,
            doubt=f"sample ratio mismatch (e-value {e_value:.3g}, alarm at 1000)",
        )
    if method == Method.FIXED and p_value is not None and p_value < srm.ALARM_P:
        return Soundness(
            p_value=p_value,
            e_value=e_value,
            doubt=f"sample ratio mismatch (chi-square p = {p_value:.3g}, alarm below 0.001)",
        )
    return Soundness(p_value=p_value, e_value=e_value, doubt=None)


def _unless_too_few(
    test: Callable[[np.ndarray, np.ndarray], float], counts: np.ndarray, shares: np.ndarray
) -> float | None:
    # Too few to be in doubt of; the burn-in asks for more than this.
    try:
        return test(counts, shares)
    except InsufficientData:
        return None


def _doubt(words: str) -> Soundness:
    return Soundness(p_value=None, e_value=None, doubt=words)
