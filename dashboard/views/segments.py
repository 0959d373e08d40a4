"""Segments: all of them with their counts; one of them; a form for one; how several overlap. The address says which."""

from typing import Final

import streamlit

from dashboard import access, formats
from dashboard.calls import conditions, segments
from dashboard.calls.segments import Segment
from dashboard.texts import say
from dashboard.views import asking, segment_detail, segment_form, segment_overlap
from dashboard.views.listing import Listing, show_cells

PAGE: Final = "views/segments.py"
LISTING: Final = Listing("segments", PAGE, icon=":material/group_work:")
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
    client = access.required().client
    found = LISTING.show(
        lambda search, cursor: (
            segments.page(client, search=search, cursor=cursor),
            conditions.segment_names(client),
        ),
        lambda found: found[0],
        _show_row,
    )
    if found is not None:
        _page, names = found
        segment_overlap.show(client, names)


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
        show_cells(LISTING.area, cells)


if __name__ == "__main__":
    show()
