"""The way in: with an account where that is set up, or with an API key, which is never written anywhere."""

from typing import Final

import streamlit

from dashboard import access, account, formats
from dashboard.client import ApiError
from dashboard.texts import say

_REFUSED: Final = "account_refused"
"""What the API said of the account, so that it is not asked the same again at every key that somebody presses."""


def show(api_url: str) -> None:
    _, middle, _ = streamlit.columns([1, 2, 1])
    with middle:
        streamlit.title("Touchstone")
        streamlit.markdown(say("sign_in.motto"))
        if notice := access.take_notice():
            streamlit.warning(formats.plain(notice), icon=":material/key_off:")
        if account.is_set_up():
            is_in = _with_account(api_url) or _below(api_url)
        else:
            is_in = _with_key(api_url)
    if is_in:
        streamlit.rerun()


def _with_account(api_url: str) -> bool:
    """Let in whoever comes back from their account; a button for everybody else."""
    refused: str | None = streamlit.session_state.get(_REFUSED)
    if refused is None:
        try:
            token = account.id_token()
            if token is not None:
                with streamlit.spinner(say("sign_in.asking")):
                    access.sign_in_with_account(api_url, token)
                return True
        except ApiError as error:
            refused = str(error)
            streamlit.session_state[_REFUSED] = refused
    if refused is not None:
        streamlit.error(formats.plain(refused), icon=":material/error:")
        if streamlit.button(say("sign_in.account_again"), icon=":material/refresh:"):
            del streamlit.session_state[_REFUSED]
            streamlit.rerun()
    streamlit.button(
        say("sign_in.another_account" if refused else "sign_in.account"),
        type="primary",
        icon=":material/login:",
        on_click=account.ask,
    )
    return False


def _below(api_url: str) -> bool:
    with streamlit.expander(say("sign_in.with_key")):
        return _with_key(api_url)


def _with_key(api_url: str) -> bool:
    with streamlit.form("sign-in"):
        key = streamlit.text_input(say("sign_in.key"), type="password", autocomplete="current-password")
        submitted = streamlit.form_submit_button(say("sign_in.sign_in"), type="primary")
    streamlit.caption(say("sign_in.help"))
    if not submitted:
        return False
    if not key.strip():
        streamlit.error(say("sign_in.enter"), icon=":material/key:")
        return False
    try:
        with streamlit.spinner(say("sign_in.asking")):
            access.sign_in(api_url, key.strip())
    except ApiError as error:
        streamlit.error(formats.plain(_words(error)), icon=":material/error:")
        return False
    return True


def _words(error: ApiError) -> str:
    if error.status == 401:
        return say("sign_in.not_accepted", reason=error)
    if error.status == 403:
        return say("sign_in.may_not_read", reason=error)
    return str(error)
