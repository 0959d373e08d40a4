"""Who changed what, the reports that were kept, and everything as files."""

import json
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import streamlit

from dashboard import access, formats, values
from dashboard.calls import experiment as calls
from dashboard.client import ApiError, Client
from dashboard.documents import Experiment
from dashboard.texts import say, told
from dashboard.views import states


def show(experiment: Experiment) -> None:
    client = access.required().client
    if experiment.started_at is not None:
        _show_downloads(client, experiment.key)
        _show_kept(client, experiment.key)
    _show_changes(client, experiment.key)


def _show_downloads(client: Client, key: str) -> None:
    streamlit.subheader(say("result.history.downloads"), anchor=False)
    with streamlit.container(horizontal=True):
        for kind, mime in calls.FORMATS.items():
            label = say(f"result.history.{kind}")
            _download(label, partial(calls.download, client, key, kind), f"{key}.{kind}", mime)
    streamlit.caption(say("result.history.download_help"))


def _download(label: str, fetch: Callable[[], bytes], name: str, mime: str) -> None:
    """A button that asks for the file when it is pressed, and not before."""

    def fetched() -> bytes:
        try:
            return fetch()
        except ApiError as error:
            return say("result.history.failed", reason=error).encode()

    streamlit.download_button(
        label, fetched, file_name=name, mime=mime, icon=":material/download:", on_click="ignore", key=name
    )


def _show_kept(client: Client, key: str) -> None:
    streamlit.subheader(say("result.history.reports"), anchor=False)
    after = streamlit.query_params.get("reports", "")
    found = states.fetched(
        f"kept:{key}:{after}", lambda: calls.kept_reports(client, key, cursor=after), is_part=True
    )
    if found is None:
        return
    kept, following = found
    if not kept:
        streamlit.markdown(say("result.history.reports_none"))
        return
    rows = [_report_row(report) for report in kept]
    streamlit.table(rows, border="horizontal", hide_index=True, alt=say("result.history.reports"))
    _show_pages("reports", after, following)
    number = streamlit.selectbox(
        say("result.history.pick"),
        [number for report in kept if (number := values.whole(report.get("id"))) is not None],
        help=say("result.history.pick_help"),
        key="kept_report",
    )
    if number is not None:
        label = say("result.history.kept", number=number)
        name = f"{key}-{number}.json"
        _download(label, lambda: calls.kept_report(client, key, number), name, calls.FORMATS["json"])


def _show_changes(client: Client, key: str) -> None:
    streamlit.subheader(say("result.history.changes"), anchor=False)
    after = streamlit.query_params.get("changes", "")
    found = states.fetched(
        f"audit:{key}:{after}", lambda: calls.audit(client, key, cursor=after), is_part=True
    )
    if found is None:
        return
    changes, following = found
    if not changes:
        streamlit.markdown(say("result.history.changes_none"))
        return
    rows = [_change_row(change) for change in changes]
    streamlit.table(rows, border="horizontal", hide_index=True, alt=say("result.history.changes"))
    _show_pages("changes", after, following)
    with streamlit.expander(say("result.history.more")):
        streamlit.code(json.dumps(changes, indent=1, ensure_ascii=False), language="json", wrap_lines=True)


def _show_pages(name: str, after: str, following: str) -> None:
    """The way to older entries and back; where a page begins is in the address."""
    with streamlit.container(horizontal=True):
        if after and streamlit.button(say("result.history.newest"), key=f"newest:{name}"):
            streamlit.query_params.pop(name, None)
            streamlit.rerun()
        if following and streamlit.button(say("result.history.older"), key=f"older:{name}"):
            streamlit.query_params[name] = following
            streamlit.rerun()


def _report_row(report: Mapping[str, Any]) -> dict[str, str]:
    action, variant = values.text(report.get("action")), values.text(report.get("variant"))
    decided = told("result.decision", action) if action else formats.UNKNOWN
    row = {
        say("result.history.number"): str(report.get("id")),
        say("result.history.when"): formats.moment(values.moment(report.get("as_of"))),
        say("result.history.method"): values.text(report.get("method")),
        say("result.history.decided"): f"{decided}: {variant}" if variant else decided,
    }
    return {heading: formats.plain(value) for heading, value in row.items()}


def _change_row(change: Mapping[str, Any]) -> dict[str, str]:
    reason = values.text(values.mapping(change.get("after")).get("reason"))
    row = {
        say("result.history.when"): formats.moment(values.moment(change.get("at"))),
        say("result.history.who"): values.text(change.get("actor")),
        say("result.history.what"): values.text(change.get("action")),
        say("actions.reason"): reason,
    }
    return {heading: formats.plain(value) for heading, value in row.items()}
