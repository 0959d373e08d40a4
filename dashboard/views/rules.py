"""Rules: all of them with what they do and how often they did; one of them; a form for one. The address says which."""

from typing import Final

import streamlit

from dashboard import access, formats
from dashboard.calls import rules
from dashboard.calls.rules import Rule
from dashboard.texts import say
from dashboard.views import asking, rule_detail, rule_form
from dashboard.views.listing import Listing, show_cells

PAGE: Final = "views/rules.py"
LISTING: Final = Listing("rules", PAGE, icon=":material/bolt:")
WIDTHS: Final = (3.6, 1.1, 3, 2.8, 2.8, 1.8)


def show() -> None:
    query = streamlit.query_params
    asking.show_note("rules")
    if query.get("new"):
        rule_form.show_new()
    elif query.get("rule") and query.get("edit"):
        rule_form.show_edit(query["rule"])
    elif query.get("rule"):
        rule_detail.show(query["rule"])
    else:
        _show_list()


def _show_list() -> None:
    client = access.required().client
    LISTING.show(
        lambda search, cursor: rules.page(client, search=search, cursor=cursor),
        lambda found: found,
        _show_row,
    )


def _show_row(item: Rule) -> None:
    with streamlit.container(border=True):
        name, state, trigger, condition, actions, fired = streamlit.columns(
            WIDTHS, vertical_alignment="center"
        )
        name.page_link(
            PAGE,
            label=f"**{formats.plain(item.name)}**",
            help=formats.plain(item.key),
            query_params={"rule": item.key},
        )
        cells = (
            (state, "state", rule_detail.state_badge(item.state)),
            (trigger, "trigger", formats.plain(item.words.trigger) or formats.UNKNOWN),
            (condition, "condition", formats.plain(item.words.condition) or say("rules.everybody")),
            (actions, "actions", formats.plain("; ".join(item.words.actions)) or formats.UNKNOWN),
            (fired, "fired", rule_detail.fired_words(item)),
        )
        show_cells(LISTING.area, cells)


if __name__ == "__main__":
    show()
