"""The list of imports, each with the light of its quality."""

from typing import Final

import streamlit

from dashboard import access, formats
from dashboard.client import ApiError
from dashboard.documents import ImportRun
from dashboard.views import states

WIDTHS: Final = (3.4, 2.4, 1.2, 1.2, 1.2, 1.2, 1.6)
HEADINGS: Final = ("Source", "When", "Rows", "New", "Changed", "Rejected", "Quality")


def show() -> None:
    client = access.required().client
    title, refresh = streamlit.columns([5, 1], vertical_alignment="bottom")
    title.header("Data quality", anchor=False)
    refresh.button("Refresh", icon=":material/refresh:", width="stretch")
    try:
        with streamlit.spinner("Loading imports .."):
            runs = client.imports()
    except ApiError as error:
        states.show_error(error)
        return
    if not runs:
        streamlit.info(
            "Nobody has been imported yet. Bring people in with `touchstone import users FILE` or a pull; "
            "what their data is like is then told here.",
            icon=":material/upload_file:",
        )
        return
    with streamlit.container(border=True):
        for column, heading in zip(streamlit.columns(WIDTHS), HEADINGS, strict=True):
            column.markdown(f":small[{heading}]")
    for run in runs:
        _show_row(run)


def _show_row(run: ImportRun) -> None:
    with streamlit.container(border=True):
        source, when, rows, new, changed, rejected, light = streamlit.columns(
            WIDTHS, vertical_alignment="center"
        )
        source.page_link(
            "views/import_quality.py",
            label=f"**{formats.plain(run.source)}**",
            query_params={"import": str(run.id)},
        )
        when.markdown(formats.plain(formats.moment(run.started_at)))
        for place, name in ((rows, "rows"), (new, "created"), (changed, "updated"), (rejected, "rejected")):
            place.markdown(formats.count(run.counts.get(name)))
        light.markdown(states.light_of_import(run))


if __name__ == "__main__":
    show()
