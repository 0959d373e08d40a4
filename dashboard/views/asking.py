"""Ask before something is changed, say afterwards what was done, and let the API's refusal speak for itself."""

from collections.abc import Callable

import streamlit

from dashboard import formats
from dashboard.client import ApiError
from dashboard.texts import say
from dashboard.views import states


def note(area: str, words: str) -> None:
    """Words of Markdown that `show_note` says once, on the next run of a page."""
    streamlit.session_state[f"note:{area}"] = words


def show_note(area: str) -> None:
    words = streamlit.session_state.pop(f"note:{area}", None)
    if words:
        streamlit.success(words, icon=":material/check:")


def ask(question: str) -> None:
    """Let `confirmed` of the same name ask."""
    streamlit.session_state[f"asked:{question}"] = True


def confirmed(question: str, words: str, *, yes: str, act: Callable[[], str], area: str) -> bool:
    """Show the question (when it was asked), and act when the person says yes; True when it was done.

    `act` says what was done, for `show_note`. When the API refuses, its words are shown and the question stays.
    """
    asked = f"asked:{question}"
    if not streamlit.session_state.get(asked):
        return False
    with streamlit.container(border=True):
        streamlit.warning(words, icon=":material/help:")
        with streamlit.container(horizontal=True):
            agreed = streamlit.button(yes, type="primary", key=f"{asked}:yes")
            refused = streamlit.button(say("common.no"), key=f"{asked}:no")
        if refused:
            del streamlit.session_state[asked]
            streamlit.rerun()
        if not agreed:
            return False
        try:
            note(area, act())
        except ApiError as error:
            states.leave_if_refused(error)
            streamlit.error(formats.plain(str(error)), icon=":material/block:")
            return False
    del streamlit.session_state[asked]
    return True
