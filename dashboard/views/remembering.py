"""What the API has just said need not be asked again at the next key that somebody presses."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final, TypeVar

import streamlit

from dashboard import viewer

T = TypeVar("T")
REMEMBERED: Final = timedelta(seconds=60)


def remembered(name: str, about: str, ask: Callable[[], T]) -> T:
    """What was answered about the same within the last minute, else what is answered now."""
    held: tuple[str, datetime, T] | None = streamlit.session_state.get(name)
    now = viewer.now()
    if held is None or held[0] != about or now - held[1] > REMEMBERED:
        held = (about, now, ask())
        streamlit.session_state[name] = held
    return held[2]
