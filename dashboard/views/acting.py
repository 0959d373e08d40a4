"""How every action of the experiment's page is done and told: once, with the API's own words when it refuses."""

from collections.abc import Callable

import streamlit

from dashboard import formats
from dashboard.client import ApiError
from dashboard.texts import say
from dashboard.views import states


def attempt(key: str, act: Callable[[], object], *, done: str) -> None:
    """Do it, remember what to say of it, and show the page anew."""
    try:
        act()
    except ApiError as error:
        states.leave_if_refused(error)
        streamlit.session_state[f"refused:{key}"] = say("actions.failed", reason=error)
    else:
        streamlit.session_state[f"done:{key}"] = done
    streamlit.rerun()


def show_outcome(key: str) -> None:
    """What became of the last action, once."""
    if done := streamlit.session_state.pop(f"done:{key}", None):
        streamlit.success(formats.plain(done), icon=":material/check:")
    if refused := streamlit.session_state.pop(f"refused:{key}", None):
        streamlit.error(formats.plain(refused), icon=":material/block:")
