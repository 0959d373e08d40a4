"""The traffic of an experiment: who gets users now, how that came about, what the guards see, and the forms that change it."""

from typing import Final

import streamlit

from dashboard import access, charts_over_time, formats, values
from dashboard.calls import experiment as calls
from dashboard.documents import Experiment
from dashboard.texts import say, told
from dashboard.traffic import Guard, Slot, Traffic
from dashboard.views import report_sections, states, traffic_actions

USUAL_HARM_WITHIN: Final = "1h"


def show(experiment: Experiment) -> None:
    current = access.required()
    traffic = states.fetched(
        f"traffic:{experiment.key}", lambda: calls.traffic(current.client, experiment.key), is_part=True
    )
    if traffic is None:
        return
    _show_state(traffic)
    _show_now(experiment, traffic)
    _show_over_time(experiment, traffic)
    if traffic.is_bandit:
        _show_slots(traffic)
    _show_guards(experiment, traffic)
    if not current.may_write:
        streamlit.caption(say("traffic.reader"))
    elif not experiment.is_live or experiment.shipped:
        streamlit.caption(say("traffic.not_live"))
    else:
        traffic_actions.show(current.client, experiment, traffic)


def _show_state(traffic: Traffic) -> None:
    metric = say("traffic.by_metric", metric=formats.plain(traffic.metric)) if traffic.metric else ""
    words = [say("traffic.policy", policy=told("traffic.policies", traffic.policy), metric=metric)]
    if traffic.next_due_at is not None and traffic.held_at is None:
        words.append(say("traffic.next", when=formats.moment(traffic.next_due_at)))
    if traffic.released is not None:
        words.append(say("traffic.released", share=formats.percent(traffic.released, 0)))
    streamlit.markdown(" ".join(words))
    if traffic.held_at is not None:
        held = say("traffic.held", when=formats.moment(traffic.held_at))
        streamlit.warning(held, icon=":material/pan_tool:")


def _show_now(experiment: Experiment, traffic: Traffic) -> None:
    stopped = {each.variant: each for each in traffic.stopped}
    rows = []
    for variant, weight in traffic.weights.items():
        state = say("traffic.active" if variant in traffic.active else "traffic.retired")
        if variant in traffic.silenced:
            state = say("traffic.silent")
        if (why := stopped.get(variant)) is not None:
            when = formats.moment(why.at)
            state = say("traffic.stopped", guard=why.guard, reason=why.reason, when=when)
        name = report_sections.arm_name(variant, is_control=variant == experiment.control)
        row = {
            say("traffic.variant"): name,
            say("traffic.weight"): formats.percent(weight),
            say("traffic.state"): state,
        }
        rows.append({heading: formats.plain(value) for heading, value in row.items()})
    streamlit.subheader(say("traffic.now"), anchor=False)
    streamlit.table(rows, border="horizontal", hide_index=True, alt=say("traffic.now"))


def _show_over_time(experiment: Experiment, traffic: Traffic) -> None:
    if not traffic.epochs:
        return
    colours = charts_over_time.colours_of(list(traffic.weights), experiment.control)
    until = experiment.stopped_at or traffic.next_due_at or traffic.at
    chart = charts_over_time.weights(traffic.epochs, until=until, colours=colours)
    streamlit.subheader(say("traffic.over_time"), anchor=False)
    if chart is not None and len(traffic.epochs) > 1:
        alt = say("traffic.over_time_alt", count=len(traffic.epochs))
        streamlit.altair_chart(chart, width="stretch", alt=alt)
    rows = [
        {
            say("traffic.epoch"): str(epoch.number),
            say("traffic.when"): formats.moment(epoch.opened_at),
            **{formats.plain(v): formats.percent(epoch.weights.get(v, 0.0)) for v in traffic.weights},
            say("traffic.because"): formats.plain(epoch.reason),
        }
        for epoch in traffic.epochs
    ]
    with streamlit.expander(say("traffic.epochs")):
        streamlit.table(rows, border="horizontal", hide_index=True, alt=say("traffic.over_time"))


def _show_slots(traffic: Traffic) -> None:
    streamlit.subheader(say("traffic.slots"), anchor=False)
    if not traffic.slots:
        streamlit.markdown(say("traffic.no_slots"))
        return
    rows = [
        {
            say("traffic.slot"): str(slot.number),
            say("traffic.when"): formats.moment(slot.at),
            say("traffic.outcome"): told("traffic.outcomes", slot.outcome),
            say("traffic.because"): formats.plain(slot.reason),
            say("traffic.arms"): formats.plain(_arms(slot)),
        }
        for slot in traffic.slots
    ]
    streamlit.table(rows, border="horizontal", hide_index=True, alt=say("traffic.slots"))
    streamlit.caption(say("traffic.slots_help", count=calls.NEWEST))


def _arms(slot: Slot) -> str:
    return "; ".join(
        say(
            "traffic.arm_then",
            variant=variant,
            weight=_moved(arm.weight, arm.new_weight),
            users=formats.count(arm.users),
            best=formats.probability(arm.best),
        )
        for variant, arm in slot.arms.items()
    )


def _moved(before: float | None, after: float | None) -> str:
    shown = [formats.percent(share) for share in (before, after) if share is not None]
    return " → ".join(shown) or formats.UNKNOWN


def _show_guards(experiment: Experiment, traffic: Traffic) -> None:
    streamlit.subheader(say("traffic.guards"), anchor=False)
    if not traffic.guards:
        streamlit.markdown(say("traffic.no_guards"))
        return
    streamlit.caption(say("traffic.guards_help", within=formats.plain(_harm_within(experiment))))
    rows = [_guard_row(guard) for guard in traffic.guards]
    streamlit.table(rows, border="horizontal", hide_index=True, alt=say("traffic.guards"))


def _harm_within(experiment: Experiment) -> str:
    """How long after their first message users are watched for harm, as the design says it."""
    rules = values.mapping(values.mapping(experiment.design.get("plan")).get("rules"))
    return values.text(rules.get("harm_within")) or USUAL_HARM_WITHIN


def _guard_row(guard: Guard) -> dict[str, str]:
    row = {
        say("traffic.variant"): guard.variant,
        say("traffic.guard"): guard.guard,
        say("traffic.harmed"): _of(guard.harmed, guard.users),
        say("traffic.control_harmed"): _of(guard.control_harmed, guard.control_users),
        say("traffic.margin"): formats.tolerance(guard.margin, "proportion"),
        say("traffic.evidence"): formats.percent(guard.share_of_evidence, 0),
    }
    return {heading: formats.plain(value) for heading, value in row.items()}


def _of(part: int, whole: int) -> str:
    share = formats.share(part, whole)
    return say("traffic.of", part=formats.count(part), whole=formats.count(whole), share=share)
