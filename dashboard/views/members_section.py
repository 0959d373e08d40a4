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
_FORM: Final = "member_form"
COLOURS: Final = {"reader": "gray", "editor": "blue", "admin": "violet"}


@dataclass(frozen=True, slots=True)
class _Asked:
    """What is to become of somebody, while the page asks whether it is meant. `role` is empty for a removal."""

    email: str
    role: str = ""
    disabled: bool = False


@dataclass
class _Form:
    """What the form begins with: nothing, or somebody who is changed. `born` is in the keys of its fields: another one begins anew."""

    born: int = 0
    member: Member | None = None
    asked: _Asked | None = None

    def begin(self, member: Member | None = None) -> None:
        self.born += 1
        self.member = member


def show(current: Access) -> None:
    cursor = streamlit.query_params.get("cursor", "")
    found = states.fetched(f"members:{cursor}", lambda: calls.members(current.client, cursor=cursor))
    if found is None:
        return
    members, following = found
    form = _form()
    _confirm(current, form)
    # Beside a long list, the form that somebody was put into would be out of sight at its end.
    is_editing = form.member is not None
    if is_editing:
        _show_form(current, form)
    if not members:
        streamlit.info(say("access.members.empty"), icon=":material/group_add:")
    for member in members:
        _show_row(form, member, is_oneself=current.by_account and member.email == current.who.name)
    if following:
        query = {"show": "members", "cursor": following}
        streamlit.page_link(
            PAGE, label=say("access.next_page"), icon=":material/arrow_forward:", query_params=query
        )
    if not is_editing:
        _show_form(current, form)


def _form() -> _Form:
    held = streamlit.session_state.get(_FORM)
    if not isinstance(held, _Form):
        held = _Form()
        streamlit.session_state[_FORM] = held
    return held


def _show_row(form: _Form, member: Member, *, is_oneself: bool) -> None:
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
            say("access.members.change"), key=f"change:{member.email}", on_click=partial(form.begin, member)
        )
        remove.button(
            say("access.members.remove"),
            key=f"remove:{member.email}",
            on_click=partial(_ask, form, _Asked(member.email)),
        )


def _show_form(current: Access, form: _Form) -> None:
    member = form.member
    streamlit.subheader(say("access.members.form"), anchor=False)
    with streamlit.form("member", enter_to_submit=False):
        email = streamlit.text_input(
            say("access.members.email"),
            member.email if member else "",
            key=f"member_email:{form.born}",
            help=say("access.members.email_help"),
            max_chars=190,
        )
        role = streamlit.radio(
            say("access.members.role"),
            ROLES,
            index=ROLES.index(member.role) if member and member.role in ROLES else 0,
            key=f"member_role:{form.born}",
            format_func=lambda name: say(f"app.role.{name}"),
            captions=[say(f"access.members.may.{name}") for name in ROLES],
            help=say("access.members.role_help"),
        )
        off = streamlit.checkbox(
            say("access.members.switch_off"),
            member.disabled if member else False,
            key=f"member_off:{form.born}",
            help=say("access.members.switch_off_help"),
        )
        submitted = streamlit.form_submit_button(say("access.members.save"), type="primary")
    if submitted and not email.strip():
        streamlit.error(say("access.members.email_missing"), icon=":material/error:")
    elif submitted:
        _ask(form, _Asked(email.strip(), str(role), off))
        streamlit.rerun()
    if current.by_account:
        streamlit.caption(say("access.members.not_yourself"))


def _ask(form: _Form, asked: _Asked) -> None:
    form.asked = asked
    asking.ask("member")


def _confirm(current: Access, form: _Form) -> None:
    asked = form.asked
    if asked is None:
        return
    email = formats.plain(asked.email)
    words, yes, done, act = _question(current, asked, email)
    if asking.confirmed("member", words, yes=yes, act=act, done=lambda _: done, area="access"):
        form.asked = None
        # Who is removed while somebody else is being changed takes nothing of that away.
        if asked.role or (form.member and form.member.email == asked.email):
            form.begin()
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
