"""What stands beside every page: who is signed in, the language, the zone of the times."""

from collections.abc import Callable, Sequence
from typing import Final
from zoneinfo import available_timezones

import streamlit

from dashboard import formats, viewer
from dashboard.access import Access, sign_out
from dashboard.texts import say

_LANGUAGE: Final = "sidebar_language"
_ZONE: Final = "sidebar_zone"


def show(access: Access | None) -> None:
    """The choices come last, below the navigation."""
    with streamlit.sidebar:
        if access is not None:
            name = formats.plain(access.who.name)
            streamlit.caption(say("app.signed_in_as", name=name, role=say(f"app.role.{access.role}")))
        _choose(
            say("app.language"),
            list(viewer.LANGUAGES),
            viewer.language(),
            shown=viewer.LANGUAGES.__getitem__,
            key=_LANGUAGE,
            choose=viewer.choose_language,
        )
        if access is not None:
            zones = sorted(available_timezones())
            now = viewer.zone_name()
            _choose(
                say("app.zone"), zones, now if now in zones else "UTC", key=_ZONE, choose=viewer.choose_zone
            )
            streamlit.button(
                say("app.sign_out"), icon=":material/logout:", type="tertiary", on_click=sign_out
            )


def _choose(
    label: str,
    options: Sequence[str],
    now: str,
    *,
    key: str,
    choose: Callable[[str], None],
    shown: Callable[[str], str] = str,
) -> None:
    # What is chosen is kept elsewhere (`viewer`), and has the last word: an address may have changed it.
    streamlit.session_state[key] = now
    streamlit.selectbox(
        label,
        options,
        format_func=shown,
        key=key,
        on_change=lambda: choose(str(streamlit.session_state[key])),
    )
