"""Users: looked for by id or number; and one of them, with their story. The address says which."""

from typing import Final

import streamlit

from dashboard import access, formats
from dashboard.calls import users
from dashboard.calls.users import User
from dashboard.client import ApiError
from dashboard.texts import say, told
from dashboard.views import asking, states, user_detail
from dashboard.views.listing import show_cells
from dashboard.views.user_words import phone_words

PAGE: Final = "views/users.py"
WIDTHS: Final = (3, 2, 2.3, 2.7, 2.4)
# Where a name such as America/Sao_Paulo may be parted: behind the slash.
MAY_PART: Final = "\N{ZERO WIDTH SPACE}"


def show() -> None:
    asking.show_note("users")
    chosen = streamlit.query_params.get("user")
    if chosen:
        user_detail.show(chosen)
    else:
        _show_list()


def _show_list() -> None:
    current = access.required()
    streamlit.header(say("app.page.users"), anchor=False)
    by_id, by_phone = streamlit.columns(2, gap="large")
    with by_id:
        beginning = streamlit.text_input(
            say("users.search.label"), help=say("users.search.help"), key="q", bind="query-params"
        )
    if current.may_write:
        with by_phone:
            _ask_for_phone()
    with streamlit.container(horizontal=True, vertical_alignment="center"):
        streamlit.caption(say("users.search.by_condition"), width="content")
        streamlit.page_link("views/segments.py", label=say("app.page.segments"))
        if current.may_write:
            streamlit.page_link(
                "views/import_quality.py", label=say("users.bring"), icon=":material/upload_file:"
            )
    cursor = streamlit.query_params.get("cursor", "")
    # A link to the second page of one search means nothing for another.
    if streamlit.query_params.get("of", "") != beginning:
        cursor = ""
    found = states.fetched(
        f"users:{beginning}:{cursor}",
        lambda: users.page(current.client, beginning=beginning, cursor=cursor),
    )
    if found is not None:
        _show_found(*found, beginning=beginning, may_write=current.may_write)


def _show_found(items: list[User], following: str | None, *, beginning: str, may_write: bool) -> None:
    if not items:
        words = say("users.none_found", text=formats.plain(beginning)) if beginning else say("users.empty")
        streamlit.info(words, icon=":material/search_off:" if beginning else ":material/group:")
        if not beginning and may_write:
            streamlit.page_link(
                "views/import_quality.py", label=say("users.bring"), icon=":material/upload_file:"
            )
        return
    for item in items:
        _show_row(item)
    if following:
        query = {"cursor": following, **({"q": beginning, "of": beginning} if beginning else {})}
        streamlit.page_link(
            PAGE, label=say("users.next_page"), icon=":material/arrow_forward:", query_params=query
        )


def _show_row(item: User) -> None:
    with streamlit.container(border=True):
        user, phone, zone, consent, seen = streamlit.columns(WIDTHS, vertical_alignment="center")
        user.page_link(PAGE, label=f"**{formats.plain(item.user_id)}**", query_params={"user": item.user_id})
        agreed = [told("common.category", name) for name, granted, _ in item.consents if granted]
        cells = (
            (phone, "phone", formats.plain(phone_words(item))),
            (zone, "zone", formats.plain(item.time_zone).replace("/", f"/{MAY_PART}") or formats.UNKNOWN),
            (consent, "consent", formats.plain(", ".join(agreed)) or f":gray[{say('users.no_consent')}]"),
            (seen, "seen", formats.plain(formats.moment(item.last_seen_at))),
        )
        show_cells("users", cells)


def _ask_for_phone() -> None:
    """The number does not go into the address: addresses are shared, and written into logs."""
    with streamlit.form("by_phone", border=False):
        field, button = streamlit.columns([3, 1], vertical_alignment="bottom")
        phone = field.text_input(say("users.phone.label"), help=say("users.phone.help"), key="phone")
        asked = button.form_submit_button(say("users.phone.find"), width="stretch")
    if not asked or not phone.strip():
        return
    try:
        found = users.by_phone(access.required().client, phone.strip())
    except ApiError as error:
        states.leave_if_refused(error)
        streamlit.warning(formats.plain(str(error)), icon=":material/search_off:")
        return
    streamlit.query_params.from_dict({"user": found.user_id})
    streamlit.rerun()


if __name__ == "__main__":
    show()
