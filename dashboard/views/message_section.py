"""The funnel of the messages of each arm, what was not sent and why, and who takes part."""

from collections.abc import Mapping
from typing import Any, Final

import streamlit

from dashboard import access, charts, formats, values, verdicts
from dashboard.calls import experiment as calls
from dashboard.documents import Arm, Experiment, Outbox, Report
from dashboard.texts import say, told
from dashboard.views import states

WAITING: Final = ("planned", "claimed", "inflight")
ENDED: Final = ("suppressed", "failed", "unknown", "expired", "cancelled")


def show(experiment: Experiment, report: Report) -> None:
    client = access.required().client
    key = experiment.key
    heard = states.fetched(
        f"messages:{key}", lambda: (client.outbox(key), calls.enrolment(client, key)), is_part=True
    )
    silent = experiment.silent_variants
    chart = charts.funnel(report.arms, silent=silent)
    rows = [_funnel_row(arm, report, silent=arm.variant in silent) for arm in report.arms]
    if chart is None:
        streamlit.markdown(say("result.messages.none"))
    else:
        streamlit.altair_chart(chart, width="stretch", alt=say("result.messages.chart_alt"))
    streamlit.table(rows, border="horizontal", hide_index=True, alt=say("result.messages.alt"))
    streamlit.caption(_counted(experiment, report))
    if heard is None:
        return
    outbox, enrolled = heard
    if outbox.holds is False:
        streamlit.error(say("result.messages.broken"), icon=":material/warning:")
    for words in (_outbox_words(outbox), _enrolment_words(enrolled)):
        if words:
            streamlit.caption(formats.plain(words))


def _counted(experiment: Experiment, report: Report) -> str:
    when = formats.moment(report.as_of)
    if not experiment.is_live:
        return say("result.messages.counted", when=when)
    return say("result.messages.counted_live", when=when, button=say("result.look_again"))


def _funnel_row(arm: Arm, report: Report, *, silent: bool) -> dict[str, str]:
    accepted = arm.messages.get("accepted", 0)
    row = {say("result.arms.arm"): arm.variant, verdicts.stage("assigned"): formats.count(arm.assigned)}
    if silent:
        row |= {verdicts.stage(name): say("result.messages.no_message") for name in verdicts.STAGES[1:]}
    else:
        row[verdicts.stage("accepted")] = _with_share(accepted, arm.assigned)
        for name in verdicts.STAGES[2:]:
            row[verdicts.stage(name)] = _with_share(arm.messages.get(name, 0), accepted)
    primary = report.primary
    if primary is not None and formats.is_share(primary.kind):
        heading = say("result.messages.converted", metric=primary.key)
        row[heading] = formats.level(primary.arm(arm.variant), primary.kind)
    row[say("result.messages.suppressed")] = formats.UNKNOWN if silent else _suppressed(arm)
    return {formats.plain(name): formats.plain(value) for name, value in row.items()}


def _suppressed(arm: Arm) -> str:
    found = sorted(arm.suppressed.items(), key=lambda item: -item[1])
    named = [f"{formats.count(number)} {told('result.reason', reason)}" for reason, number in found if number]
    return ", ".join(named) or formats.count(0)


def _with_share(part: int, whole: int) -> str:
    # An arm with several messages a user has more messages than users: then a share would mislead.
    return (
        f"{formats.count(part)} ({formats.share(part, whole)})" if 0 < part <= whole else formats.count(part)
    )


def _outbox_words(outbox: Outbox) -> str:
    waiting = sum(outbox.states.get(state, 0) for state in WAITING)
    counts = [("waiting", waiting), *((state, outbox.states.get(state, 0)) for state in ENDED)]
    parts = [f"{formats.count(number)} {say(f'result.outbox.{state}')}" for state, number in counts if number]
    words = [say("result.messages.not_sent", parts=", ".join(parts))] if parts else []
    if outbox.holds:
        words.append(say("result.messages.accounted"))
    return " ".join(words)


def _enrolment_words(enrolled: Mapping[str, Any]) -> str:
    assigned = values.counts(enrolled).get("assigned", 0)
    excluded = sorted(values.counts(enrolled.get("excluded")).items(), key=lambda item: -item[1])
    if not assigned and not excluded:
        return ""
    parts = [say("result.messages.assigned", number=formats.count(assigned))]
    parts += [
        say("result.messages.excluded", number=formats.count(number), reason=told("result.reason", reason))
        for reason, number in excluded
        if number
    ]
    return say("result.messages.enrolled", parts="; ".join(parts))
