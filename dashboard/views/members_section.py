"""The people who sign in with an account: who they are, what they may do, and changing that."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

import streamlit

from dashboard import formats
from dashboard.access import Access
from dashboard.calls import access as calls
from dashboard.calls.access import Member
from dashboard.texts import say, told
from dashboard.views import asking, states

PAGE: Final = "views/access.py"
ROLES: Final = ("reader", "editor", "admin")
WIDTHS: Final = (4, 1.6, 3, 1.3, 1.3)
FIELDS: Final = ("member_email", "member_role", "member_off")
_EDITING: Final = "member_editing"
COLOURS: Final = {"reader": "gray", "editor": "blue", "admin": "violet"}


@dataclass(frozen=True, slots=True)
class _Asked:
    """What is to become of somebody, while the page asks whether it is meant. `role` is empty for a removal."""

    email: str
    role: str = ""
    disabled: bool = False


def show(current: Access) -> None:
    cursor = streamlit.query_params.get("cursor", "")
    found = states.fetched(f"members:{cursor}", lambda: calls.members(current.client, cursor=cursor))
    if found is None:
        return
    members, following = found
    _confirm(current)
    # Beside a long list, the form that somebody was put into would be out of sight at its end.
    is_editing = streamlit.session_state.get(_EDITING, False)
    if is_editing:
        _show_form(current)
    if not members:
        streamlit.info(say("access.members.empty"), icon=":material/group_add:")
    for member in members:
        _show_row(member, is_oneself=current.by_account and member.email == current.who.name)
    if following:
        query = {"show": "members", "cursor": following}
        streamlit.page_link(
            PAGE, label=say("access.next_page"), icon=":material/arrow_forward:", query_params=query
        )
    if not is_editing:
        _show_form(current)


def _show_row(member: Member, *, is_oneself: bool) -> None:
    with streamlit.container(border=True):
        name, role, seen, change, remove = streamlit.columns(WIDTHS, vertical_alignment="center")
        name.markdown(f"**{formats.plain(member.email)}**")
        word = formats.plain(told("app.role", member.role))
        off = f" :red-badge[{say('access.members.off')}]" if member.disabled else ""
        role.markdown(f":{COLOURS.get(member.role, 'gray')}-badge[{word}]{off}")
        when = formats.moment(member.signed_in_at) if member.signed_in_at else say("access.members.never")
        seen.markdown(f":small[{say('access.members.signed_in', when=formats.plain(when))}]")
        if is_oneself:
            change.markdown(f":small[{say('access.members.you')}]")
            return
        change.button(
            say("access.members.change"), key=f"change:{member.email}", on_click=partial(_edit, member)
        )
        remove.button(
            say("access.members.remove"),
            key=f"remove:{member.email}",
            on_click=partial(_ask, _Asked(member.email)),
        )


def _edit(member: Member) -> None:
    """Put somebody into the form."""
    streamlit.session_state[_EDITING] = True
    streamlit.session_state["member_email"] = member.email
    streamlit.session_state["member_role"] = member.role
    streamlit.session_state["member_off"] = member.disabled


def _show_form(current: Access) -> None:
    streamlit.subheader(say("access.members.form"), anchor=False)
    with streamlit.form("member", enter_to_submit=False):
        email = streamlit.text_input(
            say("access.members.email"),
            key="member_email",
            help=say("access.members.email_help"),
            max_chars=190,
        )
        role = streamlit.radio(
            say("access.members.role"),
            ROLES,
            key="member_role",
            format_func=lambda name: say(f"app.role.{name}"),
            captions=[say(f"access.members.may.{name}") for name in ROLES],
            help=say("access.members.role_help"),
        )
        off = streamlit.checkbox(
            say("access.members.switch_off"), key="member_off", help=say("access.members.switch_off_help")
        )
        submitted = streamlit.form_submit_button(say("access.members.save"), type="primary")
    if submitted and not email.strip():
        streamlit.error(say("access.members.email_missing"), icon=":material/error:")
    elif submitted:
        _ask(_Asked(email.strip(), str(role), off))
        streamlit.rerun()
    if current.by_account:
        streamlit.caption(say("access.members.not_yourself"))


def _ask(asked: _Asked) -> None:
    streamlit.session_state["member_asked"] = asked
    asking.ask("member")


def _confirm(current: Access) -> None:
    asked: _Asked | None = streamlit.session_state.get("member_asked")
    if asked is None:
        return
    email = formats.plain(asked.email)
    words, yes, done, act = _question(current, asked, email)

    def acted() -> str:
        act()
        return done

    if asking.confirmed("member", words, yes=yes, act=acted, area="access"):
        for name in ("member_asked", _EDITING, *FIELDS):
            streamlit.session_state.pop(name, None)
        streamlit.rerun()


def _question(current: Access, asked: _Asked, email: str) -> tuple[str, str, str, Callable[[], None]]:
    """The question, the word to agree with, what is said afterwards, and what is done."""
    if not asked.role:
        return (
            say("access.members.ask_remove", email=email),
            say("access.members.yes_remove"),
            say("access.members.removed", email=email),
            partial(calls.remove_member, current.client, asked.email),
        )
    put = partial(calls.put_member, current.client, asked.email, role=asked.role, disabled=asked.disabled)
    yes = say("access.members.yes_save")
    if asked.disabled:
        question = say("access.members.ask_off", email=email)
        return question, yes, say("access.members.switched_off", email=email), put
    role, may = say(f"app.role.{asked.role}"), say(f"access.members.may.{asked.role}")
    question = say("access.members.ask_save", email=email, role=role, may=may)
    return question, yes, say("access.members.saved", email=email, role=role), put
