"""The list of imports, each with the light of its quality, and the pulls that bring some of them."""

from typing import Final

import streamlit

from dashboard import access, formats
from dashboard.calls import imports
from dashboard.calls.imports import Pull
from dashboard.client import Client
from dashboard.documents import ImportRun
from dashboard.texts import say
from dashboard.views import states
from dashboard.views.listing import show_cells

PAGE: Final = "views/data_quality.py"
IMPORT: Final = "views/import_quality.py"
WIDTHS: Final = (3.4, 2.4, 1.2, 1.2, 1.2, 1.2, 1.6)
COUNTS: Final = {"rows": "rows", "new": "created", "changed": "updated", "rejected": "rejected"}
"""Which count of an import stands under which heading."""


def show() -> None:
    current = access.required()
    title, refresh = streamlit.columns([5, 1], vertical_alignment="bottom")
    title.header(say("app.page.data_quality"), anchor=False)
    refresh.button(say("data_quality.refresh"), icon=":material/refresh:", width="stretch")
    source = streamlit.query_params.get("source", "")
    cursor = streamlit.query_params.get("cursor", "")
    found = states.fetched(
        f"imports:{source}:{cursor}", lambda: imports.runs(current.client, source=source, cursor=cursor)
    )
    if found is None:
        return
    runs, following = found
    if source:
        with streamlit.container(horizontal=True, vertical_alignment="center"):
            streamlit.markdown(say("data_quality.only", source=formats.plain(source)), width="content")
            streamlit.page_link(PAGE, label=say("data_quality.all"), icon=":material/filter_alt_off:")
    if current.may_write:
        streamlit.page_link(IMPORT, label=say("users.bring"), icon=":material/upload_file:")
    if runs:
        _show_runs(runs, following, source)
    else:
        streamlit.info(say("data_quality.empty"), icon=":material/upload_file:")
    _show_pulls(current.client)


def _show_runs(runs: list[ImportRun], following: str | None, source: str) -> None:
    for run in runs:
        _show_row(run)
    if following:
        query = {"cursor": following, **({"source": source} if source else {})}
        streamlit.page_link(
            PAGE, label=say("data_quality.earlier"), icon=":material/arrow_forward:", query_params=query
        )


def _show_row(run: ImportRun) -> None:
    with streamlit.container(border=True):
        source, when, *counts, light = streamlit.columns(WIDTHS, vertical_alignment="center")
        source.page_link(
            IMPORT, label=f"**{formats.plain(run.source)}**", query_params={"import": str(run.id)}
        )
        cells = (
            (when, "when", formats.plain(formats.moment(run.started_at))),
            *(
                (place, heading, formats.count(run.counts.get(name)))
                for place, (heading, name) in zip(counts, COUNTS.items(), strict=True)
            ),
            (light, "quality", states.light_of_import(run)),
        )
        show_cells("data_quality", cells)


def _show_pulls(client: Client) -> None:
    streamlit.subheader(say("data_quality.pulls.title"), anchor=False)
    found = states.fetched("pulls", lambda: imports.pulls(client), is_part=True)
    if found is None:
        return
    if not found:
        streamlit.caption(say("data_quality.pulls.none"))
    for pull in found:
        _show_pull(pull)


def _show_pull(pull: Pull) -> None:
    with streamlit.container(border=True):
        name, state, following = streamlit.columns([3, 3, 4], vertical_alignment="center")
        name.page_link(
            PAGE, label=f"**{formats.plain(pull.key)}**", query_params={"source": f"pull:{pull.key}"}
        )
        state.markdown(_state(pull))
        if pull.enabled:
            words = say(
                "data_quality.pulls.next", every=pull.every, when=formats.plain(formats.moment(pull.next_at))
            )
            following.markdown(words)
        if pull.error:
            streamlit.error(
                say("data_quality.pulls.failed", reason=formats.plain(pull.error)), icon=":material/error:"
            )


def _state(pull: Pull) -> str:
    if pull.error:
        return states.quality_light("failed")
    if pull.running:
        return states.quality_light("under_way")
    return (
        f":green[{say('data_quality.pulls.on')}]"
        if pull.enabled
        else f":gray[{say('data_quality.pulls.off')}]"
    )


if __name__ == "__main__":
    show()
