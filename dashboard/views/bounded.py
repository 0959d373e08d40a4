"""Numbers beyond what a field is for: named beside it, and kept. A bound of Streamlit's own would keep the last number instead, without a word."""

from typing import Final

import streamlit
from streamlit.delta_generator import DeltaGenerator

from dashboard.texts import say

FAR: Final = 10**15
"""What is beyond is no number of anything here, and no browser would hold it exactly."""
_NO_BOUND: Final = 1e9


def is_within(number: float | None, least: float, most: float) -> bool:
    """Whether a number may stand; no number may.

    >>> is_within(120, 0, 100), is_within(None, 0, 100)
    (False, True)
    """
    return number is None or least <= number <= most


def tell(number: float | None, least: float, most: float, *, place: DeltaGenerator | None = None) -> bool:
    """Say so where a number is beyond its bounds; whether it may stand. place: where it is said, else here."""
    if is_within(number, least, most):
        return True
    key = (
        "common.at_least" if most >= _NO_BOUND and number is not None and number < least else "common.between"
    )
    words = say(key, least=f"{least:,.6g}", most=f"{most:,.6g}" if most < _NO_BOUND else f"{most:,.0f}")
    (streamlit if place is None else place).markdown(f":red[:material/error: {words}]")
    return False
