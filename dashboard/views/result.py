"""One experiment: what came out, whether it can be trusted, and what to do. Its address can be bookmarked."""

from dataclasses import dataclass
from typing import Final

import streamlit

from dashboard import access, formats, verdicts
from dashboard.client import ApiError, Client
from dashboard.documents import Experiment, Outbox, Report
from dashboard.views import actions, effect_section, report_sections, states

REFRESH_SECONDS: Final = 5


@dataclass(frozen=True, slots=True)
class Seen:
    """Everything the page shows, as it was last heard from the API."""

    experiment: Experiment
    report: Report | None
    no_report_because: str
    outbox: Outbox


def show() -> None:
    key = streamlit.query_params.get("experiment")
    if not key:
        streamlit.info("Choose an experiment from the list to see its result.", icon=":material/science:")
        return
    refreshes = streamlit.session_state.get("refreshes", True)
    streamlit.fragment(_show_experiment, run_every=REFRESH_SECONDS if refreshes else None)(key)
    streamlit.toggle(f"Refresh every {REFRESH_SECONDS} seconds", value=refreshes, key="refreshes")


def _show_experiment(key: str) -> None:
    current = access.required()
    remembered = f"seen:{key}"
    last: Seen | None = streamlit.session_state.get(remembered)
    try:
        if last is None:
            with streamlit.spinner("Loading the result .."):
                seen = _fetch(current.client, key)
        else:
            seen = _fetch(current.client, key)
    except ApiError as error:
        if last is None or not error.temporary:
            states.show_error(error)
            return
        _show_stale(error)
        seen = last
    else:
        streamlit.session_state[remembered] = seen
    _show_head(current, seen)
    if seen.report is None:
        streamlit.info(formats.plain(seen.no_report_because), icon=":material/hourglass_empty:")
        report_sections.show_design(seen.experiment)
    else:
        _show_report(seen.experiment, seen.report, seen.outbox)
    if seen.experiment.hypothesis:
        streamlit.caption(f"Hypothesis: {formats.plain(seen.experiment.hypothesis)}")


def _fetch(client: Client, key: str) -> Seen:
    experiment = client.experiment(key)
    if experiment.status == "draft":
        return Seen(experiment, None, "It has not started, so there is nothing to report.", Outbox())
    try:
        report = client.report(experiment)
        outbox = client.outbox(key)
    except ApiError as error:
        if error.temporary or error.unauthenticated:
            raise
        return Seen(experiment, None, f"There is no report yet: {error}", Outbox())
    return Seen(experiment, report, "", outbox)


def _show_stale(error: ApiError) -> None:
    streamlit.warning(
        f"{formats.plain(str(error))} These are the last numbers that were heard; they may be out of date.",
        icon=":material/cloud_off:",
    )
    streamlit.button("Try again", icon=":material/refresh:")


def _show_head(current: access.Access, seen: Seen) -> None:
    experiment, report = seen.experiment, seen.report
    title, buttons = streamlit.columns([7, 3], vertical_alignment="center")
    with title:
        streamlit.header(formats.plain(experiment.name), anchor=False)
        facts = [states.status_badge(experiment.status), f"`{experiment.key}`"]
        if experiment.started_at:
            facts.append(f"started {formats.moment(experiment.started_at)}")
        if experiment.stopped_at:
            facts.append(f"stopped {formats.moment(experiment.stopped_at)}")
        if report is not None:
            facts.append(f"**as of {formats.moment(report.as_of)}**")
            facts.append(states.light(verdicts.light(report)))
        streamlit.markdown(" · ".join(facts))
    with buttons:
        if current.may_write:
            actions.show(current.client, experiment)
    actions.show_refusal(experiment)


def _show_report(experiment: Experiment, report: Report, outbox: Outbox) -> None:
    report_sections.show_headline(report)
    primary = report.primary
    if primary is not None:
        effect_section.show(report, primary)
    report_sections.show_health(report)
    report_sections.show_arms(report)
    report_sections.show_funnel(experiment, report, outbox)
    others = [metric for metric in report.metrics if metric is not primary]
    for metric in others:
        effect_section.show(report, metric)
    report_sections.show_warnings(report)


if __name__ == "__main__":
    show()
