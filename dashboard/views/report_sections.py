"""The parts of the result page around the effects: headline, health, arms, warnings, the design of a draft."""

from collections.abc import Mapping

import streamlit

from dashboard import formats, headline, verdicts
from dashboard.documents import Experiment, Report
from dashboard.texts import say
from dashboard.views import states


def show_headline(experiment: Experiment, report: Report) -> None:
    """The answer in one line; above it whatever forbids to trust it."""
    told = headline.headline(report, shipped=experiment.shipped, ended=_ended(experiment, report))
    trouble = verdicts.alarm(report)
    if trouble is not None:
        streamlit.error(say("result.headline.alarm", words=formats.plain(trouble)), icon=":material/warning:")
    box = {"good": streamlit.success, "bad": streamlit.error}.get(told.tone, streamlit.info)
    words = f"### {formats.plain(told.title)}\n\n{formats.plain(told.sentence)}"
    if report.decision.because:
        because = formats.plain(headline.because(report.decision))
        words += f"\n\n{say('result.headline.why', because=because)}"
    if report.decision.rule == headline.TOO_FEW_USERS and experiment.is_live:
        words += f"\n\n{say('result.headline.too_few_users')}"
    box(words)


def _ended(experiment: Experiment, report: Report) -> headline.Ended | None:
    if experiment.status != "stopped":
        return None
    return headline.Ended(experiment.measured_until if experiment.may_change(report.as_of) else None)


def show_health(report: Report) -> None:
    streamlit.subheader(say("result.health.title"), anchor=False)
    if not report.health:
        streamlit.markdown(say("result.health.none"))
        return
    rows = [
        {
            say("result.health.light"): states.light(verdicts.light_of(check)),
            say("result.health.check"): formats.plain(verdicts.check_name(check)),
            say("result.health.stage"): formats.plain(verdicts.stage(check.stage) if check.stage else ""),
            say("result.health.words"): formats.plain(verdicts.health_words(check)),
            say("result.health.p"): formats.plain(formats.p_value(check.p_value)),
            say("result.health.detail"): formats.plain(check.detail) if check.check == "srm" else "",
        }
        for check in report.health
    ]
    # By this name the page's style (`frame.py`) gives columns of words room on a narrow screen.
    with streamlit.container(key="health"):
        streamlit.table(rows, border="horizontal", hide_index=True, alt=say("result.health.alt"))
    if any(check.check == "srm" for check in report.health):
        streamlit.caption(say("result.health.bar_fixed" if report.method == "fixed" else "result.health.bar"))


def show_arms(report: Report) -> None:
    primary = report.primary
    rows = []
    for arm in report.arms:
        row = {
            say("result.arms.arm"): arm_name(arm.variant, is_control=arm.control),
            say("result.arms.users"): formats.count(arm.assigned),
            say("result.arms.share"): formats.share(arm.assigned, report.users),
            say("result.arms.closed"): formats.count(arm.mature),
        }
        if primary is not None:
            row[primary.key] = formats.level(primary.arm(arm.variant), primary.kind)
        rows.append({formats.plain(name): formats.plain(value) for name, value in row.items()})
    streamlit.table(rows, border="horizontal", hide_index=True, alt=say("result.arms.alt"))


def show_warnings(report: Report) -> None:
    # What a health check says stands beside the check already.
    told = {f"{check.check} at {check.stage}: {check.detail}" for check in report.health}
    warnings = [warning for warning in report.warnings if warning not in told]
    if not warnings:
        return
    streamlit.subheader(say("result.warnings"), anchor=False)
    lines = "\n".join(f"- {formats.plain(warning)}" for warning in warnings)
    streamlit.warning(lines, icon=":material/info:")


def show_planned_arms(experiment: Experiment) -> None:
    """The arms as they are planned, for an experiment that has no report yet."""
    variants = experiment.variants
    if not variants:
        return
    weights = [item.get("weight") for item in variants]
    total = sum(weight for weight in weights if isinstance(weight, int | float)) or 1
    rows = []
    for item, weight in zip(variants, weights, strict=True):
        message = item.get("message")
        template = message.get("template") if isinstance(message, Mapping) else None
        row = {
            say("result.arms.arm"): arm_name(str(item.get("key")), is_control=bool(item.get("control"))),
            say("result.arms.planned"): formats.percent(weight / total)
            if isinstance(weight, int | float)
            else formats.UNKNOWN,
            say("result.arms.message"): str(template) if template else say("result.arms.no_message"),
        }
        rows.append({name: formats.plain(value) for name, value in row.items()})
    streamlit.subheader(say("result.arms.title"), anchor=False)
    streamlit.table(rows, border="horizontal", hide_index=True, alt=say("result.arms.planned_alt"))


def arm_name(variant: str, *, is_control: bool) -> str:
    return say("result.arms.control", variant=variant) if is_control else variant
