"""API keys: all of them, a new one whose text is shown once, and making one useless."""

from functools import partial
from typing import Final

import streamlit

from dashboard import formats
from dashboard.access import Access
from dashboard.calls import access as calls
from dashboard.calls.access import Key
from dashboard.texts import say
from dashboard.views import asking, states
from dashboard.views.deeds import Deed, deed

PAGE: Final = "views/access.py"
SCOPES: Final = ("read", "write", "admin", "ingest", "evaluate")
WIDTHS: Final = (3, 2.5, 2.5, 3, 1.6)


def show(current: Access) -> None:
    made = deed("key:new")
    _show_new(made)
    cursor = streamlit.query_params.get("cursor", "")
    found = states.fetched(f"keys:{cursor}", lambda: calls.keys(current.client, cursor=cursor))
    if found is None:
        return
    keys, following = found
    _confirm(current)
    for key in keys:
        _show_row(key)
    if following:
        query = {"show": "keys", "cursor": following}
        streamlit.page_link(
            PAGE, label=say("access.next_page"), icon=":material/arrow_forward:", query_params=query
        )
    _show_form(current, made)


def _show_new(made: Deed) -> None:
    """The text of the key that was just made, until the person has it."""
    if not made.is_done:
        return
    name, text = made.answer
    with streamlit.container(border=True):
        streamlit.success(say("access.keys.made", name=formats.plain(name)), icon=":material/key:")
        streamlit.code(text, language=None)
        streamlit.button(say("access.keys.have_it"), type="primary", on_click=made.forget)


def _show_row(key: Key) -> None:
    with streamlit.container(border=True):
        name, prefix, scopes, when, revoke = streamlit.columns(WIDTHS, vertical_alignment="center")
        name.markdown(f"**{formats.plain(key.name)}**")
        prefix.markdown(f"`ts_{formats.plain(key.prefix)}_..`")
        scopes.markdown(" ".join(f":gray-badge[{formats.plain(scope)}]" for scope in key.scopes))
        if key.revoked_at is not None:
            words = say("access.keys.revoked_at", when=formats.moment(key.revoked_at))
            when.markdown(f":red-badge[{say('access.keys.useless')}] :small[{words}]")
            return
        when.markdown(f":small[{say('access.keys.created_at', when=formats.moment(key.created_at))}]")
        revoke.button(
            say("access.keys.revoke"),
            key=f"revoke:{key.prefix}",
            on_click=partial(_ask, key),
        )


def _ask(key: Key) -> None:
    streamlit.session_state["key_asked"] = key
    asking.ask("key")


def _confirm(current: Access) -> None:
    key: Key | None = streamlit.session_state.get("key_asked")
    if key is None:
        return
    name = formats.plain(key.name)

    if asking.confirmed(
        "key",
        say("access.keys.ask_revoke", name=name, prefix=key.prefix),
        yes=say("access.keys.yes_revoke"),
        act=partial(calls.revoke_key, current.client, key.prefix),
        done=lambda _: say("access.keys.revoked", name=name),
        area="access",
    ):
        streamlit.rerun()


def _show_form(current: Access, made: Deed) -> None:
    streamlit.subheader(say("access.keys.form"), anchor=False)
    with streamlit.form("new-key", enter_to_submit=False):
        name = streamlit.text_input(
            say("access.keys.name"),
            key=made.fresh("key_name"),
            help=say("access.keys.name_help"),
            max_chars=100,
        ).strip()
        scopes = streamlit.multiselect(
            say("access.keys.scopes"),
            SCOPES,
            key=made.fresh("key_scopes"),
            placeholder=say("access.keys.choose"),
            format_func=lambda scope: f"{scope}: {say(f'access.keys.may.{scope}')}",
            help=say("access.keys.scopes_help"),
        )
        submitted = streamlit.form_submit_button(
            say("access.keys.create"), type="primary", key=made.key("key_create")
        )
    asking.show_refusal(made)
    if not submitted:
        return
    if not name or not scopes:
        streamlit.error(say("access.keys.incomplete"), icon=":material/error:")
        return
    made.do(lambda: (name, calls.create_key(current.client, name=name, scopes=scopes)))
    streamlit.rerun()
