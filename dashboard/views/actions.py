"""Start, pause, resume, stop, ship: each asks once more before it acts."""

from collections.abc import Mapping
from typing import Any, Final

import streamlit

from dashboard import formats, values
from dashboard.calls import moves as calls
from dashboard.calls.experiment import enrolment
from dashboard.client import Client
from dashboard.documents import Experiment, Report
from dashboard.texts import say
from dashboard.views import acting, states

MOVES: Final[dict[str, tuple[str, ...]]] = {
    "draft": ("start",),
    "running": ("pause", "stop", "ship"),
    "paused": ("resume", "stop", "ship"),
}
ICONS: Final = {
    "start": ":material/play_arrow:",
    "pause": ":material/pause:",
    "resume": ":material/play_arrow:",
    "stop": ":material/stop:",
    "ship": ":material/rocket_launch:",
}
LET_IN: Final = ("coverage", "wave")
"""Why somebody has no variant yet who gets the one that is shipped."""


def moves_of(experiment: Experiment) -> tuple[str, ...]:
    """What the state of the experiment allows; what was shipped is not shipped again."""
    possible = MOVES.get(experiment.status, ())
    return tuple(move for move in possible if move != "ship" or not experiment.shipped)


def show_buttons(experiment: Experiment) -> None:
    """A button for each; pressing one asks first."""
    for move in moves_of(experiment):
        label = say(f"actions.{move}.label")
        if streamlit.button(label, icon=ICONS[move], key=f"{move}:{experiment.key}"):
            streamlit.session_state[_asked(experiment)] = move
            streamlit.rerun()


def show_question(client: Client, experiment: Experiment, report: Report | None) -> None:
    """Whether the move that was pressed was meant, with what it does."""
    pending = streamlit.session_state.get(_asked(experiment))
    if pending not in moves_of(experiment):
        return
    question = say(f"actions.{pending}.ask", name=formats.plain(experiment.name))
    streamlit.warning(question, icon=":material/help:")
    if pending == "ship":
        _show_shipping(client, experiment, report)
        return
    confirmed, refused = _answers(pending)
    if refused:
        _forget(experiment)
        streamlit.rerun()
    if confirmed:
        _forget(experiment)
        done = say(f"actions.{pending}.done")
        acting.attempt(experiment.key, lambda: client.move(experiment.key, pending), done=done)


def _answers(move: str) -> tuple[bool, bool]:
    with streamlit.container(horizontal=True, horizontal_alignment="right"):
        confirmed = streamlit.button(say(f"actions.{move}.yes"), type="primary", icon=ICONS[move])
        refused = streamlit.button(say("common.no"))
    return confirmed, refused


def _show_shipping(client: Client, experiment: Experiment, report: Report | None) -> None:
    reach = states.fetched(f"reach:{experiment.key}", lambda: enrolment(client, experiment.key), is_part=True)
    if reach is not None and values.counts(reach).get("assigned"):
        streamlit.markdown(_reach_words(reach))
    variants = [str(item.get("key")) for item in experiment.variants]
    winner = report.decision.variant if report is not None and report.decision.action == "ship" else None
    with streamlit.container(border=True):
        variant = streamlit.selectbox(
            say("actions.variant"),
            variants,
            index=variants.index(winner) if winner in variants else 0,
            help=say("actions.ship.variant_help"),
            key=f"ship_variant:{experiment.key}",
        )
        force = streamlit.checkbox(
            say("actions.ship.force"), help=say("actions.ship.force_help"), key=f"ship_force:{experiment.key}"
        )
        reason = streamlit.text_input(
            say("actions.reason"),
            help=say("actions.reason_help"),
            max_chars=500,
            key=f"ship_reason:{experiment.key}",
        )
    confirmed, refused = _answers("ship")
    if refused:
        _forget(experiment)
        streamlit.rerun()
    if not confirmed:
        return
    if force and not reason.strip():
        streamlit.error(say("actions.need_reason"), icon=":material/edit:")
        return
    _forget(experiment)
    acting.attempt(
        experiment.key,
        lambda: calls.ship(client, experiment.key, variant=variant, force=force, reason=reason.strip()),
        done=say("actions.ship.done", variant=variant),
    )


def _reach_words(enrolled: Mapping[str, Any]) -> str:
    """How many have a variant already, and how many of those who were looked at get the one that is shipped."""
    excluded = values.counts(enrolled.get("excluded"))
    words = say(
        "actions.ship.reach",
        assigned=formats.count(values.counts(enrolled).get("assigned", 0)),
        rest=formats.count(sum(excluded.get(reason, 0) for reason in LET_IN)),
    )
    return words if enrolled.get("finished_at") else f"{words} {say('actions.ship.more_to_come')}"


def _asked(experiment: Experiment) -> str:
    return f"asked:{experiment.key}"


def _forget(experiment: Experiment) -> None:
    streamlit.session_state.pop(_asked(experiment), None)
