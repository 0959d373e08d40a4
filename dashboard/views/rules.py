"""Rules: all of them with what they do and how often they did; one of them; a form for one. The address says which."""

from typing import Final

import streamlit

from dashboard import access, formats
from dashboard.calls import rules
from dashboard.calls.rules import Rule
from dashboard.texts import say
from dashboard.views import asking, rule_detail, rule_form, states

PAGE: Final = "views/rules.py"
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
    current = access.required()
    title, button = streamlit.columns([5, 1], vertical_alignment="bottom")
    title.header(say("app.page.rules"), anchor=False)
    if current.may_write:
        button.page_link(PAGE, label=say("rules.new"), icon=":material/add:", query_params={"new": "1"})
    search = streamlit.text_input(
        say("rules.search.label"),
        help=say("rules.search.help"),
        key="search",
        bind="query-params",
        width=400,
    )
    cursor = streamlit.query_params.get("cursor", "")
    found = states.fetched(
        f"rules:{search}:{cursor}", lambda: rules.page(current.client, search=search, cursor=cursor)
    )
    if found is None:
        return
    items, following = found
    if not items:
        _show_empty(search, may_write=current.may_write)
        return
    for item in items:
        _show_row(item)
    if following:
        query = {"cursor": following, **({"search": search} if search else {})}
        streamlit.page_link(
            PAGE, label=say("rules.next_page"), icon=":material/arrow_forward:", query_params=query
        )


def _show_empty(search: str, *, may_write: bool) -> None:
    if search:
        streamlit.info(say("rules.none_found", search=formats.plain(search)), icon=":material/search_off:")
        return
    streamlit.info(say("rules.empty"), icon=":material/bolt:")
    if may_write:
        streamlit.page_link(PAGE, label=say("rules.first"), icon=":material/add:", query_params={"new": "1"})


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
        # Each value under its own heading: on a narrow screen they stand below each other.
        for column, heading, words in cells:
            column.markdown(f":small[:gray[{say(f'rules.column.{heading}')}]]  \n{words}")


if __name__ == "__main__":
    show()
