"""The list: every experiment with its state, its main effect, its health and its size."""

from typing import Final

import streamlit

from dashboard import access, formats, verdicts
from dashboard.client import ApiError, Client
from dashboard.documents import Experiment, Report
from dashboard.views import states

ROWS: Final = 10
STATUSES: Final = ("running", "paused", "stopped", "draft")
WIDTHS: Final = (4.6, 1.2, 4.2, 1.8, 1.1, 1.2)
HEADINGS: Final = ("Experiment", "State", "Main effect", "Health", "Users", "Messages")


def show() -> None:
    client = access.required().client
    title, refresh = streamlit.columns([5, 1], vertical_alignment="bottom")
    title.header("Experiments", anchor=False)
    refresh.button("Refresh", icon=":material/refresh:", width="stretch")
    try:
        with streamlit.spinner("Loading experiments .."):
            experiments = client.experiments()[::-1]  # the API lists the oldest first
    except ApiError as error:
        states.show_error(error)
        return
    if not experiments:
        _show_empty()
        return
    chosen = _choose(experiments)
    if not chosen:
        streamlit.info(
            "No experiment is in this state. Choose another one above.", icon=":material/filter_alt:"
        )
        return
    _show_rows(client, chosen)


def _show_empty() -> None:
    streamlit.info(
        "There is no experiment yet. Write one as a YAML file and bring it in with "
        "`touchstone apply campaign.yaml`; then start it here.",
        icon=":material/science:",
    )


def _choose(experiments: list[Experiment]) -> list[Experiment]:
    present = [status for status in STATUSES if any(item.status == status for item in experiments)]
    counts = {status: sum(item.status == status for item in experiments) for status in present}
    status = streamlit.segmented_control(
        "State",
        ["all", *present],
        default="all",
        format_func=lambda name: f"{name} ({counts.get(name, len(experiments))})",
        key="status",
        label_visibility="collapsed",
    )
    if status in (None, "all"):
        return experiments
    return [item for item in experiments if item.status == status]


def _show_rows(client: Client, experiments: list[Experiment]) -> None:
    limit = streamlit.session_state.setdefault("rows", ROWS)
    shown = experiments[:limit]
    started = [item for item in shown if item.status != "draft"]
    with streamlit.spinner("Loading results .."):
        reports = dict(zip((item.key for item in started), client.reports(started), strict=True))
    with streamlit.container(border=True):
        for column, heading in zip(streamlit.columns(WIDTHS), HEADINGS, strict=True):
            column.markdown(f":small[{heading}]")
    for item in shown:
        _show_row(item, reports.get(item.key))
    if len(experiments) > limit:
        more = min(ROWS, len(experiments) - limit)
        if streamlit.button(f"Show {more} more"):
            streamlit.session_state["rows"] = limit + ROWS
            streamlit.rerun()


def _show_row(item: Experiment, report: Report | ApiError | None) -> None:
    if isinstance(report, ApiError):
        states.leave_if_refused(report)
    with streamlit.container(border=True):
        name, state, effect, health, users, messages = streamlit.columns(WIDTHS, vertical_alignment="center")
        name.page_link(
            "views/result.py",
            label=f"**{formats.plain(item.name)}**",
            help=formats.plain(f"{item.name} ({item.key})"),
            query_params={"experiment": item.key},
        )
        state.markdown(states.status_badge(item.status))
        if report is None:
            effect.markdown(":gray[not started]")
        elif isinstance(report, ApiError):
            effect.markdown(f":gray[no report: {formats.plain(str(report))}]")
        else:
            effect.markdown(_effect_words(report))
            health.markdown(states.light(verdicts.light(report)))
            users.markdown(formats.count(report.users))
            messages.markdown(formats.count(report.messages))


def _effect_words(report: Report) -> str:
    leading = verdicts.leading_effect(report)
    if leading is None:
        return ":gray[no primary metric]"
    metric, effect = leading
    word = verdicts.verdict(effect, metric)
    who = formats.plain(f"{metric.key}, {effect.variant} against {effect.control}")
    if word is verdicts.Verdict.CANNOT_TELL:
        return f":gray[cannot tell yet]  \n:small[{who}]"
    size = formats.difference_text(effect.absolute, metric.kind)
    bounds = formats.difference_range(effect.absolute, metric.kind)
    return f"**{size}** ({bounds}), {word}  \n:small[{who}]"


if __name__ == "__main__":
    show()
