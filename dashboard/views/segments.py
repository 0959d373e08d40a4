"""Segments: all of them with their counts; one of them; a form for one; how several overlap. The address says which."""

from typing import Final

import streamlit

from dashboard import access, formats
from dashboard.calls import conditions, segments
from dashboard.calls.segments import Segment
from dashboard.texts import say
from dashboard.views import asking, segment_detail, segment_form, segment_overlap, states

PAGE: Final = "views/segments.py"
WIDTHS: Final = (3, 1.2, 1.2, 2.2, 5)


def show() -> None:
    query = streamlit.query_params
    asking.show_note("segments")
    if query.get("new"):
        segment_form.show_new()
    elif query.get("segment") and query.get("edit"):
        segment_form.show_edit(query["segment"])
    elif query.get("segment"):
        segment_detail.show(query["segment"])
    else:
        _show_list()


def _show_list() -> None:
    current = access.required()
    title, button = streamlit.columns([5, 1], vertical_alignment="bottom")
    title.header(say("app.page.segments"), anchor=False)
    if current.may_write:
        button.page_link(PAGE, label=say("segments.new"), icon=":material/add:", query_params={"new": "1"})
    search = streamlit.text_input(
        say("segments.search.label"),
        help=say("segments.search.help"),
        key="search",
        bind="query-params",
        width=400,
    )
    cursor = streamlit.query_params.get("cursor", "")
    found = states.fetched(
        f"segments:{search}:{cursor}",
        lambda: (
            segments.page(current.client, search=search, cursor=cursor),
            conditions.segment_names(current.client),
        ),
    )
    if found is None:
        return
    (items, following), names = found
    if not items:
        _show_empty(search, may_write=current.may_write)
        return
    for item in items:
        _show_row(item)
    if following:
        query = {"cursor": following, **({"search": search} if search else {})}
        streamlit.page_link(
            PAGE, label=say("segments.next_page"), icon=":material/arrow_forward:", query_params=query
        )
    segment_overlap.show(current.client, names)


def _show_empty(search: str, *, may_write: bool) -> None:
    if search:
        streamlit.info(say("segments.none_found", search=formats.plain(search)), icon=":material/search_off:")
        return
    streamlit.info(say("segments.empty"), icon=":material/group_work:")
    if may_write:
        streamlit.page_link(
            PAGE, label=say("segments.first"), icon=":material/add:", query_params={"new": "1"}
        )


def _show_row(item: Segment) -> None:
    with streamlit.container(border=True):
        name, kind, size, as_of, condition = streamlit.columns(WIDTHS, vertical_alignment="center")
        name.page_link(
            PAGE,
            label=f"**{formats.plain(item.name)}**",
            help=formats.plain(item.key),
            query_params={"segment": item.key},
        )
        counted = formats.moment(item.refreshed_at) if item.refreshed_at else say("segments.never_counted")
        cells = (
            (kind, "kind", segment_detail.kind_badge(item)),
            (size, "size", formats.count(item.size)),
            (as_of, "as_of", counted),
            (condition, "condition", formats.plain(item.english) or formats.UNKNOWN),
        )
        # Each value under its own heading: on a narrow screen they stand below each other.
        for column, heading, words in cells:
            column.markdown(f":small[:gray[{say(f'segments.column.{heading}')}]]  \n{words}")


if __name__ == "__main__":
    show()
