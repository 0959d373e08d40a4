"""One experiment: what came out, whether it can be trusted, and what to do. The answer first; each section asks only when chosen.

The address names the experiment and the section, so that both can be bookmarked.
"""

from dataclasses import dataclass
from typing import Final

import streamlit

from dashboard import access, formats, verdicts
from dashboard.calls import experiment as calls
from dashboard.client import ApiError, Client
from dashboard.documents import Experiment, Report
from dashboard.texts import say
from dashboard.views import (
    acting,
    actions,
    addressed,
    course_section,
    design_section,
    effect_section,
    history_section,
    message_section,
    posterior_section,
    report_sections,
    slice_section,
    states,
    traffic_section,
)
from dashboard.views.deeds import deed

REFRESH_SECONDS: Final = 5
# Users up to which a report is made in a moment: of a live experiment it is then made anew, when it is older than FRESH seconds.
QUICK: Final = 50_000
FRESH: Final = 60
SECTIONS: Final = (
    "result",
    "metrics",
    "time",
    "posterior",
    "messages",
    "traffic",
    "segments",
    "design",
    "history",
)
WITHOUT_REPORT: Final = ("design", "history")


@dataclass(frozen=True, slots=True)
class Seen:
    """The experiment and its report, or why there is none."""

    experiment: Experiment
    report: Report | None
    no_report_because: str = ""


def show() -> None:
    key = streamlit.query_params.get("experiment")
    if not key:
        streamlit.info(say("result.choose"), icon=":material/science:")
        streamlit.page_link("views/experiments.py", label=say("app.page.experiments"))
        return
    is_live = streamlit.session_state.get(f"live:{key}", True)
    refreshes = is_live and streamlit.session_state.get("refreshes", True)
    streamlit.fragment(_show_experiment, run_every=REFRESH_SECONDS if refreshes else None)(key)
    if is_live:
        streamlit.toggle(
            say("result.refreshes", seconds=REFRESH_SECONDS),
            value=True,
            help=say("result.refreshes_help"),
            key="refreshes",
        )


def _show_experiment(key: str) -> None:
    current = access.required()
    again = bool(streamlit.session_state.pop(f"again:{key}", False))
    seen = states.fetched(f"result:{key}", lambda: _fetch(current.client, key, again=again))
    if seen is None:
        return
    experiment, report = seen.experiment, seen.report
    streamlit.session_state[f"live:{key}"] = experiment.is_live
    _show_head(current, seen)
    if report is None:
        streamlit.info(formats.plain(seen.no_report_because), icon=":material/hourglass_empty:")
        report_sections.show_planned_arms(experiment)
    else:
        report_sections.show_headline(experiment, report)
        report_sections.show_arms(report)
    _show_section(experiment, report)


def _fetch(client: Client, key: str, *, again: bool) -> Seen:
    experiment = client.experiment(key)
    if experiment.status == "draft":
        return Seen(experiment, None, say("result.not_started"))
    try:
        report = calls.report(client, experiment, max_age=0 if again else calls.WHATEVER_IS_KEPT)
        if experiment.is_live and not again and report.users <= QUICK:
            report = calls.report(client, experiment, max_age=FRESH)
    except ApiError as error:
        if error.temporary or error.unauthenticated:
            raise
        return Seen(experiment, None, say("result.no_report", reason=error))
    return Seen(experiment, report)


def _show_head(current: access.Access, seen: Seen) -> None:
    experiment, report = seen.experiment, seen.report
    title, buttons = streamlit.columns([6, 4], vertical_alignment="center")
    looked = deed(f"look:{experiment.key}")
    with title:
        streamlit.header(formats.plain(experiment.name), anchor=False)
        streamlit.markdown(" · ".join(_facts(experiment, report)))
    with buttons, streamlit.container(horizontal=True, horizontal_alignment="right"):
        if _may_look(experiment, report) and streamlit.button(
            say("result.look_again"),
            help=say("result.look_again_help"),
            icon=":material/refresh:",
            type="tertiary",
            key=looked.key(f"look:{experiment.key}"),
        ):
            # Each look is kept and counts: one press is one look.
            looked.times += 1
            streamlit.session_state[f"again:{experiment.key}"] = True
            streamlit.rerun()
        if current.may_write:
            actions.show_buttons(experiment)
    if experiment.hypothesis:
        streamlit.caption(say("result.hypothesis", words=formats.plain(experiment.hypothesis)))
    acting.show_outcome(experiment.key)
    if current.may_write:
        actions.show_question(current.client, experiment, report)


def _may_look(experiment: Experiment, report: Report | None) -> bool:
    """Until the last window has closed, and once after that."""
    return experiment.may_change(None if report is None else report.as_of)


def _facts(experiment: Experiment, report: Report | None) -> list[str]:
    facts = [states.status_badge(experiment.status)]
    if experiment.shipped:
        facts.append(say("result.shipped", variant=formats.plain(experiment.shipped)))
    if report is not None:
        facts.append(states.light(verdicts.light(report)))
        facts.append(say("result.as_of", when=formats.moment(report.as_of)))
    if experiment.started_at:
        facts.append(say("result.started", when=formats.moment(experiment.started_at)))
    if experiment.stopped_at:
        facts.append(say("result.stopped", when=formats.moment(experiment.stopped_at)))
    return [*facts, f"`{experiment.key}`"]


def _show_section(experiment: Experiment, report: Report | None) -> None:
    possible = WITHOUT_REPORT if report is None else SECTIONS
    chosen = addressed.segmented(
        say("result.sections"),
        possible,
        name="show",
        shown=lambda name: say(f"result.section.{name}"),
        default=possible[0],
        label_visibility="collapsed",
    )
    if report is None:
        {"design": design_section.show, "history": history_section.show}[chosen or possible[0]](experiment)
        return
    match chosen:
        case "metrics":
            _show_metrics(report)
        case "time":
            course_section.show(experiment, report)
        case "posterior":
            posterior_section.show(experiment, report)
        case "messages":
            message_section.show(experiment, report)
        case "traffic":
            traffic_section.show(experiment)
        case "segments":
            slice_section.show(experiment)
        case "design":
            design_section.show(experiment)
        case "history":
            history_section.show(experiment)
        case _:
            _show_result(report)


def _show_result(report: Report) -> None:
    if report.primary is not None:
        effect_section.show(report, report.primary)
    report_sections.show_health(report)
    report_sections.show_warnings(report)


def _show_metrics(report: Report) -> None:
    primary = report.primary
    others = [metric for metric in report.metrics if metric is not primary]
    if not others and not (primary and primary.factors):
        streamlit.markdown(say("result.effect.no_others"))
    if primary is not None:
        effect_section.show_factors(report, primary)
    for metric in others:
        effect_section.show(report, metric)
        effect_section.show_factors(report, metric)


if __name__ == "__main__":
    show()
