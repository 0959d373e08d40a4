"""Who is signed in. The key lives in the memory of this browser tab's session and nowhere else."""

from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import streamlit

from dashboard import account
from dashboard.calls import sessions
from dashboard.client import ApiError, Client, Who
from dashboard.viewer import LANGUAGE_KEY, ZONE_KEY

_ACCESS: Final = "access"
_NOTICE: Final = "sign_in_notice"


@dataclass(frozen=True, slots=True)
class Access:
    """What this session may do. The API enforces it; the pages only leave out what it would refuse.

    `by_account`: signed in with an account, so that signing out ends a session of the API's, too.
    """

    client: Client
    who: Who
    by_account: bool = False

    @property
    def may_write(self) -> bool:
        return "write" in self.who.scopes

    @property
    def may_administer(self) -> bool:
        return "admin" in self.who.scopes

    @property
    def role(self) -> str:
        """reader, editor or admin."""
        if self.may_administer:
            return "admin"
        return "editor" if self.may_write else "reader"


def current() -> Access | None:
    """The access of this session, or None when nobody is signed in."""
    access = streamlit.session_state.get(_ACCESS)
    return access if isinstance(access, Access) else None


def required() -> Access:
    """The access of this session; pages run only behind the sign-in."""
    access = current()
    if access is None:
        streamlit.stop()
    return access


def sign_in_with_account(api_url: str, id_token: str) -> None:
    """Raises ApiError when the API does not let the person of this ID token in, or does not answer."""
    sign_in(api_url, sessions.begin(api_url, id_token), by_account=True)


def sign_in(api_url: str, key: str, *, by_account: bool = False) -> None:
    """Raises ApiError when the API does not take the key, or does not answer."""
    client = Client(api_url, key)
    try:
        client.check_key()
        access = Access(client, client.who(), by_account)
    except ApiError:
        client.close()
        raise
    streamlit.session_state[_ACCESS] = access


def sign_out(notice: str | None = None) -> None:
    """Forget the key and everything seen with it; `notice` is shown above the sign-in form."""
    access = current()
    if access is not None:
        if access.by_account and notice is None:
            # Without an answer it ends by itself, some hours later.
            with suppress(ApiError):
                sessions.end(access.client)
            account.forget()
        access.client.close()
    kept = {name: streamlit.session_state.get(name) for name in (LANGUAGE_KEY, ZONE_KEY)}
    streamlit.session_state.clear()
    streamlit.session_state.update({name: value for name, value in kept.items() if value})
    if notice is not None:
        streamlit.session_state[_NOTICE] = notice


def take_notice() -> str | None:
    """The notice for the sign-in form, once."""
    notice = streamlit.session_state.pop(_NOTICE, None)
    return notice if isinstance(notice, str) else None
