"""Signing in with an account, which is Streamlit's own login (OpenID Connect), set up in its `secrets.toml` under `[auth]`.

What Streamlit knows of the person is not believed here: their ID token goes to the API, which checks it by itself.
"""

import streamlit

from dashboard.client import ApiError
from dashboard.texts import say


def is_set_up() -> bool:
    """Whether this dashboard knows of an account to sign in with."""
    return streamlit.user.get("is_logged_in") is not None


def id_token() -> str | None:
    """The ID token of whoever is signed in with an account; None when nobody is.

    Raises ApiError when Streamlit is not set up to hand it out.
    """
    if streamlit.user.get("is_logged_in") is not True:
        return None
    token = streamlit.user.tokens.get("id")
    if not token:
        raise ApiError(say("sign_in.no_token"))
    return token


def ask() -> None:
    """Send the browser to where the account is."""
    streamlit.login()


def forget() -> None:
    """Let Streamlit forget the account, and the provider too where it offers that."""
    if streamlit.user.get("is_logged_in") is True:
        streamlit.logout()
