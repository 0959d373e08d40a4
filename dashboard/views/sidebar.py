"""What stands beside every page: who is signed in, the language, the zone of the times."""

from zoneinfo import available_timezones

import streamlit

from dashboard import formats, viewer
from dashboard.access import Access, sign_out
from dashboard.texts import say


def show(access: Access | None) -> None:
    """The choices come last, below the navigation."""
    with streamlit.sidebar:
        if access is not None:
            name = formats.plain(access.who.name)
            streamlit.caption(say("app.signed_in_as", name=name, role=say(f"app.role.{access.role}")))
        streamlit.selectbox(
            say("app.language"),
            list(viewer.LANGUAGES),
            index=list(viewer.LANGUAGES).index(viewer.language()),
            format_func=viewer.LANGUAGES.__getitem__,
            key=viewer.LANGUAGE_KEY,
            bind="query-params",
        )
        if access is not None:
            zones = sorted(available_timezones())
            now = viewer.zone_name()
            streamlit.selectbox(
                say("app.zone"),
                zones,
                index=zones.index(now) if now in zones else zones.index("UTC"),
                key=viewer.ZONE_KEY,
            )
            streamlit.button(
                say("app.sign_out"), icon=":material/logout:", type="tertiary", on_click=sign_out
            )
