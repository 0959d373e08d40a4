"""What somebody edits stays what they began with, though somebody else has stored another meanwhile; which is said."""

from collections.abc import Callable
from typing import TypeVar

import streamlit

from dashboard.texts import say

T = TypeVar("T")


def with_it(form: str, heard: T, *, version: object, forget: Callable[[], None]) -> T:
    """The thing as this form began with it; `heard` is what it is now, in its `version`.

    A form that was left begins anew when somebody comes back, and so do the rows of it that are kept apart, which `forget` throws
    away: else what was left there would be stored with what the other fields begin with. The first field of the form has the key
    `FORM:name`.
    """
    held = f"{form}:begun"
    known: tuple[object, T] | None = streamlit.session_state.get(held)
    if known is None or f"{form}:name" not in streamlit.session_state:
        forget()
        known = (version, heard)
        streamlit.session_state[held] = known
    if known[0] != version:
        streamlit.warning(say("common.changed_meanwhile"), icon=":material/group:")
    return known[1]
