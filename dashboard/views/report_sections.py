"""The parts of the result page around the effects: headline, health, arms, funnel, warnings, design."""

from collections.abc import Mapping
from typing import Final

import streamlit

from dashboard import charts, formats, verdicts
from dashboard.documents import Arm, Experiment, Outbox, Report
from dashboard.views import states

WAITING: Final = ("planned", "claimed", "inflight")
REASONS: Final[dict[str, str]] = {
    "cap": "at the cap",
    "consent": "no consent",
    "no_consent": "no consent",
    "quiet_hours": "quiet hours",
}


def show_headline(report: Report) -> None:
    headline = verdicts.headline(report)
    trouble = verdicts.alarm(report)
    if trouble is not None:
        streamlit.error(f"**Health alarm.** {formats.plain(trouble)}", icon=":material/warning:")
    box = {"good": streamlit.success, "bad": streamlit.error}.get(headline.tone, streamlit.info)
    words = f"### {formats.plain(headline.title)}\n\n{formats.plain(headline.sentence)}"
    if report.decision.because:
        words += f"\n\n**Why:** {formats.plain(report.decision.because)}"
    box(words)


def show_health(report: Report) -> None:
    streamlit.subheader("Can it be trusted?", anchor=False)
    if not report.health:
        streamlit.markdown(":gray[No check could be made yet.]")
        return
    rows = []
    for check in report.health:
        light = verdicts.light_of(check)
        name = verdicts.CHECKS.get(check.check, check.check)
        stage = verdicts.STAGES.get(check.stage, check.stage)
        rows.append(
            {
                "": states.light(light),
                "Check": formats.plain(name),
                "Stage": formats.plain(stage),
                "In words": formats.plain(verdicts.health_words(check)),
                "p": formats.plain(formats.p_value(check.p_value)),
                "Detail": formats.plain(check.detail) if check.check == "srm" else "",
            }
        )
    streamlit.table(rows, border="horizontal", hide_index=True, alt="Health checks")


def show_arms(report: Report) -> None:
    streamlit.subheader("Arms", anchor=False)
    primary = report.primary
    rows = []
    for arm in report.arms:
        row = {
            "Arm": f"{arm.variant} (control)" if arm.control else arm.variant,
            "Users": formats.count(arm.assigned),
            "Share of users": formats.share(arm.assigned, report.users),
            "Window closed": formats.count(arm.mature),
        }
        for metric in [primary] if primary else []:
            row[metric.key] = formats.level(metric.arm(arm.variant), metric.kind)
        rows.append({formats.plain(name): formats.plain(value) for name, value in row.items()})
    streamlit.table(rows, border="horizontal", hide_index=True, alt="Users and outcomes by arm")


def show_funnel(experiment: Experiment, report: Report, outbox: Outbox) -> None:
    streamlit.subheader("Messages", anchor=False)
    chart = charts.funnel(report.arms, silent=experiment.silent_variants)
    rows = [_funnel_row(arm, silent=arm.variant in experiment.silent_variants) for arm in report.arms]
    if chart is None:
        streamlit.markdown("No message has been accepted by WhatsApp yet.")
    else:
        streamlit.altair_chart(
            chart, width="stretch", alt="Messages by stage and arm; the table below says the same"
        )
    streamlit.table(rows, border="horizontal", hide_index=True, alt="Messages by stage and arm")
    if outbox.holds is False:
        streamlit.error(
            "The messages do not add up: some planned messages are unaccounted for. Look at the delivery summary of the API.",
            icon=":material/warning:",
        )
    if words := _outbox_words(outbox):
        streamlit.caption(formats.plain(words))


def show_warnings(report: Report) -> None:
    # What a health check says stands beside the check already.
    told = {f"{check.check} at {check.stage}: {check.detail}" for check in report.health}
    warnings = [warning for warning in report.warnings if warning not in told]
    if not warnings:
        return
    streamlit.subheader("Warnings", anchor=False)
    lines = "\n".join(f"- {formats.plain(warning)}" for warning in warnings)
    streamlit.warning(lines, icon=":material/info:")


def show_design(experiment: Experiment) -> None:
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
            "Arm": f"{item.get('key')} (control)" if item.get("control") else str(item.get("key")),
            "Share planned": f"{100 * weight / total:.1f}%" if isinstance(weight, int | float) else "–",
            "Message": str(template) if template else "none",
        }
        rows.append({name: formats.plain(value) for name, value in row.items()})
    streamlit.subheader("Arms", anchor=False)
    streamlit.table(rows, border="horizontal", hide_index=True, alt="Planned arms")


def _funnel_row(arm: Arm, *, silent: bool) -> dict[str, str]:
    accepted = arm.messages.get("accepted", 0)
    row = {"Arm": arm.variant, "Assigned": formats.count(arm.assigned)}
    if silent:
        row |= dict.fromkeys(list(verdicts.STAGES.values())[1:], "no message")
        row["Suppressed"] = formats.UNKNOWN
    else:
        row[verdicts.STAGES["accepted"]] = _with_share(accepted, arm.assigned)
        for stage in ("delivered", "read", "clicked"):
            row[verdicts.STAGES[stage]] = _with_share(arm.messages.get(stage, 0), accepted)
        row["Suppressed"] = ", ".join(
            f"{formats.count(number)} {REASONS.get(reason, reason.replace('_', ' '))}"
            for reason, number in sorted(arm.suppressed.items(), key=lambda item: -item[1])
            if number
        ) or formats.count(0)
    return {name: formats.plain(value) for name, value in row.items()}


def _with_share(part: int, whole: int) -> str:
    # An arm with several messages a user has more messages than users: then a share would mislead.
    return (
        f"{formats.count(part)} ({formats.share(part, whole)})" if 0 < part <= whole else formats.count(part)
    )


def _outbox_words(outbox: Outbox) -> str:
    waiting = sum(outbox.states.get(state, 0) for state in WAITING)
    told = [
        (waiting, "waiting"),
        *(
            (outbox.states.get(state, 0), state)
            for state in ("suppressed", "failed", "unknown", "expired", "cancelled")
        ),
    ]
    parts = [f"{formats.count(number)} {word}" for number, word in told if number]
    words = f"Not (yet) sent: {', '.join(parts)}." if parts else ""
    if outbox.holds:
        words = f"{words} Every planned message is accounted for.".strip()
    return words
