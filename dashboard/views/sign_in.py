"""The form that asks for an API key. The key is checked by asking the API, and never written anywhere."""

import streamlit

from dashboard import access, formats
from dashboard.client import ApiError


def show(api_url: str) -> None:
    _, middle, _ = streamlit.columns([1, 2, 1])
    with middle:
        streamlit.title("Touchstone")
        streamlit.markdown("Which message works, by how much, and how surely.")
        if notice := access.take_notice():
            streamlit.warning(formats.plain(notice), icon=":material/key_off:")
        with streamlit.form("sign-in"):
            key = streamlit.text_input("API key", type="password", autocomplete="current-password")
            submitted = streamlit.form_submit_button("Sign in", type="primary")
        streamlit.caption(
            "A key with the scope read shows everything; with write it can also start and stop experiments. "
            "`touchstone keys create --scope read` makes one."
        )
        if not submitted:
            return
        if not key.strip():
            streamlit.error("Enter an API key.", icon=":material/key:")
            return
        try:
            with streamlit.spinner("Asking the API .."):
                access.sign_in(api_url, key.strip())
        except ApiError as error:
            streamlit.error(formats.plain(_words(error)), icon=":material/error:")
            return
    streamlit.rerun()


def _words(error: ApiError) -> str:
    if error.status == 401:
        return f"This key is not accepted: {error}"
    if error.status == 403:
        return f"This key may not read experiments: {error}"
    return str(error)
