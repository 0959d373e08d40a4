"""Forms that change the traffic of a live experiment. Each says its consequence, which must be ticked, and its reason.

Once one of them was done, all begin anew: what was ticked and typed was about the traffic of before.
"""

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
from dashboard.views.deeds import Deed

EXAMPLE: Final = "key: \nmessage:\n  template: \n  language: en_US\n"


def show(client: Client, experiment: Experiment, traffic: Traffic) -> None:
    """The forms that the state of the traffic allows."""
    streamlit.subheader(say("traffic.actions"), anchor=False)
    place = acting.of(experiment.key)
    _weights(client, experiment, traffic, place)
    if traffic.held_at is not None:
        _release_bandit(client, experiment, place)
    _ramp(client, experiment, place)
    _add(client, experiment, place)
    _retire(client, experiment, traffic, place)
    if traffic.stopped:
        _release(client, experiment, traffic, place)


def _weights(client: Client, experiment: Experiment, traffic: Traffic, place: Deed) -> None:
    with streamlit.expander(say("actions.weights.title")), streamlit.form("weights", border=False):
        percents = {
            variant: streamlit.number_input(
                say("actions.weights.share", variant=formats.plain(variant)),
                min_value=0.0,
                max_value=100.0,
                value=round(100 * weight, 2),
                step=1.0,
                help=say("actions.weights.share_help"),
                key=place.fresh(f"weight:{experiment.key}:{variant}"),
            )
            for variant, weight in traffic.weights.items()
        }
        hold = traffic.is_bandit and streamlit.checkbox(
            say("actions.weights.hold"),
            value=True,
            help=say("actions.weights.hold_help"),
            key=place.fresh("weights_hold"),
        )
        reason = _submitted("weights", place)
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


def _release_bandit(client: Client, experiment: Experiment, place: Deed) -> None:
    title = say("actions.release_bandit.title")
    with streamlit.expander(title), streamlit.form("release_bandit", border=False):
        reason = _submitted("release_bandit", place)
    if reason is not None:
        _do(
            experiment,
            lambda: calls.resume_bandit(client, experiment.key, reason=reason),
            say("actions.release_bandit.done"),
        )


def _ramp(client: Client, experiment: Experiment, place: Deed) -> None:
    audience = experiment.design.get("audience")
    now = audience.get("coverage") if isinstance(audience, dict) else None
    # Rounded, since 0.07 times 100 is 7.000000000000001, below which nobody could type 7.
    percent = round(100.0 * now, 6) if isinstance(now, int | float) else 100.0
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
            key=place.fresh("ramp_coverage"),
        )
        reason = _submitted("ramp", place, with_reason=False)
    if reason is not None:
        _do(
            experiment,
            lambda: calls.ramp(client, experiment.key, coverage=chosen / 100),
            say("actions.ramp.done", coverage=f"{chosen:g}"),
        )


def _add(client: Client, experiment: Experiment, place: Deed) -> None:
    with streamlit.expander(say("actions.add.title")), streamlit.form("add", border=False):
        text = streamlit.text_area(
            say("actions.add.document"),
            EXAMPLE,
            help=say("actions.add.document_help"),
            key=place.fresh("add_document"),
        )
        percent = streamlit.number_input(
            say("actions.add.share"),
            min_value=0.0,
            max_value=99.0,
            value=0.0,
            step=1.0,
            help=say("actions.add.share_help"),
            key=place.fresh("add_share"),
        )
        reason = _submitted("add", place)
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


def _retire(client: Client, experiment: Experiment, traffic: Traffic, place: Deed) -> None:
    with streamlit.expander(say("actions.retire.title")), streamlit.form("retire", border=False):
        variant = streamlit.selectbox(
            say("actions.variant"),
            traffic.active,
            help=say("actions.retire.variant_help"),
            key=place.fresh("retire_variant"),
        )
        planned = streamlit.radio(
            say("actions.retire.planned"),
            ("keep", "cancel"),
            format_func=lambda choice: say(f"actions.retire.{choice}"),
            help=say("actions.retire.planned_help"),
            horizontal=True,
            key=place.fresh("retire_planned"),
        )
        reason = _submitted("retire", place)
    if reason is not None and variant is not None:
        _do(
            experiment,
            lambda: calls.retire(client, experiment.key, variant, cancel=planned == "cancel", reason=reason),
            say("actions.retire.done", variant=variant),
        )


def _release(client: Client, experiment: Experiment, traffic: Traffic, place: Deed) -> None:
    with streamlit.expander(say("actions.release.title")), streamlit.form("release", border=False):
        variant = streamlit.selectbox(
            say("actions.variant"),
            [stopped.variant for stopped in traffic.stopped],
            help=say("actions.release.variant_help"),
            key=place.fresh("release_variant"),
        )
        restore = streamlit.checkbox(
            say("actions.release.restore"),
            help=say("actions.release.restore_help"),
            key=place.fresh("release_restore"),
        )
        reason = _submitted("release", place)
    if reason is not None:
        _do(
            experiment,
            lambda: calls.release(client, experiment.key, variant, restore=restore, reason=reason),
            say("actions.release.done", variant=variant),
        )


def _submitted(action: str, place: Deed, *, with_reason: bool = True) -> str | None:
    """The end of a form: its reason, the tick, the button. The reason once all is said, else None, with what is missing."""
    reason = ""
    if with_reason:
        reason = streamlit.text_input(
            say("actions.reason"),
            max_chars=500,
            help=say("actions.reason_help"),
            key=place.fresh(f"{action}_reason"),
        )
    consequence = say(f"actions.{action}.consequence")
    sure = streamlit.checkbox(say("actions.sure", consequence=consequence), key=place.fresh(f"{action}_sure"))
    pressed = place.key(f"{action}_submit")
    if not streamlit.form_submit_button(say(f"actions.{action}.submit"), type="primary", key=pressed):
        return None
    missing = "need_reason" if with_reason and not reason.strip() else "" if sure else "need_sure"
    if missing:
        streamlit.error(say("actions.need_reason" if missing == "need_reason" else "actions.need_sure"))
        return None
    return reason.strip()


def _do(experiment: Experiment, act: Callable[[], object], done: str) -> None:
    acting.attempt(experiment.key, act, done=done)
