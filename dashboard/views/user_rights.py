"""What a person may ask of us, for admins: a copy of everything, and being forgotten."""

import re
from functools import partial

import streamlit

from dashboard import formats
from dashboard.calls import users
from dashboard.calls.users import User
from dashboard.client import ApiError, Client
from dashboard.texts import say
from dashboard.views import asking


def show(user: User, client: Client) -> None:
    streamlit.subheader(say("users.rights.export"), anchor=False)
    streamlit.caption(say("users.rights.export_words"))

    def fetched() -> bytes:
        """Asked for when the button is pressed, and not before."""
        try:
            return users.export(client, user.user_id)
        except ApiError as error:
            return say("users.rights.export_failed", reason=error).encode()

    streamlit.download_button(
        say("users.rights.download"),
        fetched,
        file_name=f"{re.sub(r'[^A-Za-z0-9_-]+', '_', user.user_id)[:80]}.json",
        mime="application/json",
        icon=":material/download:",
        on_click="ignore",
    )
    streamlit.subheader(say("users.rights.erase"), anchor=False)
    streamlit.caption(say("users.rights.erase_words"))
    question = f"erase:{user.user_id}"
    if streamlit.button(say("users.rights.erase_button"), icon=":material/delete_forever:"):
        asking.ask(question)
    if asking.confirmed(
        question,
        say("users.rights.erase_question", user=formats.plain(user.user_id)),
        yes=say("users.rights.erase_yes", user=formats.plain(user.user_id)),
        act=partial(users.erase, client, user.user_id),
        done=lambda _: say("users.rights.erased", user=formats.plain(user.user_id)),
        area="users",
    ):
        _forget_here(user.user_id)
        streamlit.query_params.clear()
        streamlit.rerun()


def _forget_here(user_id: str) -> None:
    """What this session heard of them is forgotten too."""
    for name in [str(name) for name in streamlit.session_state if f":{user_id}" in str(name)]:
        if str(name).startswith("heard:"):
            del streamlit.session_state[name]
