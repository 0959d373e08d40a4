"""The list: every experiment with its state, its main effect, its health and its size. Filters and page are in the address."""

from typing import Final

import streamlit

from dashboard import access
from dashboard.calls import overview as calls
from dashboard.overview import Cards
from dashboard.texts import say, told
from dashboard.views import addressed, experiment_rows, states

STATUSES: Final = ("running", "paused", "stopped", "draft")
# In the address: where the page begins.
AFTER: Final = "after"


def show() -> None:
    client = access.required().client
    title, refresh = streamlit.columns([5, 1], vertical_alignment="bottom")
    title.header(say("app.page.experiments"), anchor=False)
    refresh.button(say("experiments.refresh"), icon=":material/refresh:", width="stretch")
    search = _search()
    status = _state()
    after = streamlit.query_params.get(AFTER, "")
    asked = f"cards:{status}:{search}:{after}"
    found = states.fetched(asked, lambda: calls.cards(client, status=status, search=search, cursor=after))
    if found is None:
        return
    streamlit.caption(_counts(found))
    if found.items:
        experiment_rows.show(found.items)
    elif sum(found.counts.values()) or search:
        streamlit.info(say("experiments.nothing_found"), icon=":material/filter_alt:")
    else:
        _show_empty()
    _show_pages(found, status=status, search=search, after=after)


def _search() -> str:
    typed = streamlit.text_input(
        say("experiments.search"),
        help=say("experiments.search_help"),
        max_chars=100,
        key="search",
        bind="query-params",
        on_change=addressed.forget,
        args=(AFTER,),
    )
    return (typed or "").strip()


def _state() -> str:
    """The state to which the list is narrowed; empty for all."""
    chosen = addressed.segmented(
        say("experiments.states"),
        STATUSES,
        name="status",
        shown=lambda status: told("common.status", status),
        help=say("experiments.states_help"),
        also_forget=AFTER,
    )
    return chosen or ""


def _counts(found: Cards) -> str:
    present = [(status, found.counts.get(status, 0)) for status in STATUSES]
    return " · ".join(
        say("experiments.state", name=told("common.status", status), number=number)
        for status, number in present
    )


def _show_pages(found: Cards, *, status: str, search: str, after: str) -> None:
    kept = {name: value for name, value in (("status", status), ("search", search)) if value}
    with streamlit.container(horizontal=True, horizontal_alignment="right"):
        if after:
            streamlit.page_link(
                "views/experiments.py",
                label=say("experiments.newest"),
                icon=":material/first_page:",
                query_params=kept,
            )
        if found.next_cursor:
            streamlit.page_link(
                "views/experiments.py",
                label=say("experiments.older"),
                icon=":material/chevron_right:",
                query_params={**kept, AFTER: found.next_cursor},
            )


def _show_empty() -> None:
    streamlit.info(say("experiments.empty"), icon=":material/science:")
    if access.required().may_write:
        streamlit.page_link("views/new_campaign.py", label=say("experiments.design"), icon=":material/add:")


if __name__ == "__main__":
    show()
