"""Who may do what here: members, API keys, and the log of what was changed. For admins."""

from typing import Final

import streamlit

from dashboard import access
from dashboard.texts import say
from dashboard.views import addressed, asking, audit_section, keys_section, members_section

SECTIONS: Final = {
    "members": members_section.show,
    "keys": keys_section.show,
    "log": audit_section.show,
}


def show() -> None:
    streamlit.header(say("app.page.access"), anchor=False)
    current = access.required()
    if not current.may_administer:
        streamlit.info(say("access.for_admins"), icon=":material/lock:")
        return
    asking.show_note("access")
    chosen = addressed.segmented(
        say("access.section"),
        list(SECTIONS),
        name="show",
        shown=lambda name: say(f"access.{name}.title"),
        default="members",
        label_visibility="collapsed",
        also_forget="cursor",
    )
    SECTIONS[chosen or "members"](current)


if __name__ == "__main__":
    show()
