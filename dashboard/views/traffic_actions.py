"""Forms that change the traffic of a live experiment. Each says its consequence, which must be ticked, and its reason."""

from collections.abc import Callable
from typing import Final

import streamlit

from dashboard import formats, moves
from dashboard.calls import moves as calls
from dashboard.client import Client
from dashboard.documents import Experiment
from dashboard.texts import say
from dashboard.traffic import Traffic
from dashboard.views import acting

EXAMPLE: Final = "key: \nmessage:\n  template: \n  language: en_US\n"


def show(client: Client, experiment: Experiment, traffic: Traffic) -> None:
    """The forms that the state of the traffic allows."""
    streamlit.subheader(say("traffic.actions"), anchor=False)
    _weights(client, experiment, traffic)
    if traffic.held_at is not None:
        _release_bandit(client, experiment)
    _ramp(client, experiment)
    _add(client, experiment)
    _retire(client, experiment, traffic)
    if traffic.stopped:
        _release(client, experiment, traffic)


def _weights(client: Client, experiment: Experiment, traffic: Traffic) -> None:
    with streamlit.expander(say("actions.weights.title")), streamlit.form("weights", border=False):
        percents = {
            variant: streamlit.number_input(
                say("actions.weights.share", variant=formats.plain(variant)),
                min_value=0.0,
                max_value=100.0,
                value=round(100 * weight, 2),
                step=1.0,
                help=say("actions.weights.share_help"),
                key=f"weight:{variant}",
            )
            for variant, weight in traffic.weights.items()
        }
        hold = traffic.is_bandit and streamlit.checkbox(
            say("actions.weights.hold"), value=True, help=say("actions.weights.hold_help"), key="weights_hold"
        )
        reason = _submitted("weights")
    if reason is None:
        return
    shares = moves.shares_of(percents)
    if shares is None:
        streamlit.error(say("actions.weights.wrong", total=f"{sum(percents.values()):g}"))
        return
    _do(
        experiment,
        lambda: calls.set_weights(
            client,
            experiment.key,
            weights=shares,
            reason=reason,
            hold=hold if traffic.is_bandit else None,
        ),
        say("actions.weights.done"),
    )


def _release_bandit(client: Client, experiment: Experiment) -> None:
    title = say("actions.release_bandit.title")
    with streamlit.expander(title), streamlit.form("release_bandit", border=False):
        reason = _submitted("release_bandit")
    if reason is not None:
        _do(
            experiment,
            lambda: calls.resume_bandit(client, experiment.key, reason=reason),
            say("actions.release_bandit.done"),
        )


def _ramp(client: Client, experiment: Experiment) -> None:
    audience = experiment.design.get("audience")
    now = audience.get("coverage") if isinstance(audience, dict) else None
    percent = 100.0 * now if isinstance(now, int | float) else 100.0
    if percent >= 100:
        return
    with streamlit.expander(say("actions.ramp.title")), streamlit.form("ramp", border=False):
        chosen = streamlit.number_input(
            say("actions.ramp.coverage"),
            min_value=percent,
            max_value=100.0,
            value=percent,
            step=5.0,
            help=say("actions.ramp.coverage_help"),
            key="ramp_coverage",
        )
        reason = _submitted("ramp", with_reason=False)
    if reason is not None:
        _do(
            experiment,
            lambda: calls.ramp(client, experiment.key, coverage=chosen / 100),
            say("actions.ramp.done", coverage=f"{chosen:g}"),
        )


def _add(client: Client, experiment: Experiment) -> None:
    with streamlit.expander(say("actions.add.title")), streamlit.form("add", border=False):
        text = streamlit.text_area(
            say("actions.add.document"), EXAMPLE, help=say("actions.add.document_help"), key="add_document"
        )
        percent = streamlit.number_input(
            say("actions.add.share"),
            min_value=0.0,
            max_value=99.0,
            value=0.0,
            step=1.0,
            help=say("actions.add.share_help"),
            key="add_share",
        )
        reason = _submitted("add")
    if reason is None:
        return
    try:
        variant = moves.variant_of(text)
    except ValueError as error:
        streamlit.error(say("actions.add.wrong", reason=formats.plain(str(error))))
        return
    _do(
        experiment,
        lambda: calls.add_variant(
            client, experiment.key, variant=variant, share=percent / 100 or None, reason=reason
        ),
        say("actions.add.done", variant=variant["key"]),
    )


def _retire(client: Client, experiment: Experiment, traffic: Traffic) -> None:
    with streamlit.expander(say("actions.retire.title")), streamlit.form("retire", border=False):
        variant = streamlit.selectbox(
            say("actions.variant"),
            traffic.active,
            help=say("actions.retire.variant_help"),
            key="retire_variant",
        )
        planned = streamlit.radio(
            say("actions.retire.planned"),
            ("keep", "cancel"),
            format_func=lambda choice: say(f"actions.retire.{choice}"),
            help=say("actions.retire.planned_help"),
            horizontal=True,
            key="retire_planned",
        )
        reason = _submitted("retire")
    if reason is not None and variant is not None:
        _do(
            experiment,
            lambda: calls.retire(client, experiment.key, variant, cancel=planned == "cancel", reason=reason),
            say("actions.retire.done", variant=variant),
        )


def _release(client: Client, experiment: Experiment, traffic: Traffic) -> None:
    with streamlit.expander(say("actions.release.title")), streamlit.form("release", border=False):
        variant = streamlit.selectbox(
            say("actions.variant"),
            [stopped.variant for stopped in traffic.stopped],
            help=say("actions.release.variant_help"),
            key="release_variant",
        )
        restore = streamlit.checkbox(
            say("actions.release.restore"), help=say("actions.release.restore_help"), key="release_restore"
        )
        reason = _submitted("release")
    if reason is not None:
        _do(
            experiment,
            lambda: calls.release(client, experiment.key, variant, restore=restore, reason=reason),
            say("actions.release.done", variant=variant),
        )


def _submitted(action: str, *, with_reason: bool = True) -> str | None:
    """The end of a form: its reason, the tick, the button. The reason once all is said, else None, with what is missing."""
    reason = ""
    if with_reason:
        reason = streamlit.text_input(
            say("actions.reason"), max_chars=500, help=say("actions.reason_help"), key=f"{action}_reason"
        )
    consequence = say(f"actions.{action}.consequence")
    sure = streamlit.checkbox(say("actions.sure", consequence=consequence), key=f"{action}_sure")
    if not streamlit.form_submit_button(say(f"actions.{action}.submit"), type="primary"):
        return None
    missing = "need_reason" if with_reason and not reason.strip() else "" if sure else "need_sure"
    if missing:
        streamlit.error(say("actions.need_reason" if missing == "need_reason" else "actions.need_sure"))
        return None
    return reason.strip()


def _do(experiment: Experiment, act: Callable[[], object], done: str) -> None:
    acting.attempt(experiment.key, act, done=done)
