"""The form that asks for an API key. The key is checked by asking the API, and never written anywhere."""

import streamlit

from dashboard import access, formats
from dashboard.client import ApiError
from dashboard.texts import say


def show(api_url: str) -> None:
    _, middle, _ = streamlit.columns([1, 2, 1])
    with middle:
        streamlit.title("Touchstone")
        streamlit.markdown(say("sign_in.motto"))
        if notice := access.take_notice():
            streamlit.warning(formats.plain(notice), icon=":material/key_off:")
        with streamlit.form("sign-in"):
            key = streamlit.text_input(say("sign_in.key"), type="password", autocomplete="current-password")
            submitted = streamlit.form_submit_button(say("sign_in.sign_in"), type="primary")
        streamlit.caption(say("sign_in.help"))
        if not submitted:
            return
        if not key.strip():
            streamlit.error(say("sign_in.enter"), icon=":material/key:")
            return
        try:
            with streamlit.spinner(say("sign_in.asking")):
                access.sign_in(api_url, key.strip())
        except ApiError as error:
            streamlit.error(formats.plain(_words(error)), icon=":material/error:")
            return
    streamlit.rerun()


def _words(error: ApiError) -> str:
    if error.status == 401:
        return say("sign_in.not_accepted", reason=error)
    if error.status == 403:
        return say("sign_in.may_not_read", reason=error)
    return str(error)
