"""The field for the key of a new thing: suggested by its name, and told at once when it cannot be one."""

import streamlit

from dashboard.campaign.documents import LONGEST_KEY, is_key, key_from
from dashboard.texts import say


def show(slot: str, name: str, *, label: str, help: str) -> str:  # noqa: A002  # Streamlit's own word
    """What was entered, else what `name` suggests; empty while it can be no key. `slot`: the key of the widget."""
    state = streamlit.session_state
    # What somebody has typed stays when the name changes.
    if state.get(slot, "") in {"", state.get(f"{slot}:suggested", "")}:
        state[slot] = key_from(name)
    state[f"{slot}:suggested"] = key_from(name)
    entered = streamlit.text_input(label, help=help, key=slot, max_chars=LONGEST_KEY)
    if entered and not is_key(entered):
        streamlit.markdown(f":red[:material/error: {say('common.no_key')}]")
        return ""
    return entered
