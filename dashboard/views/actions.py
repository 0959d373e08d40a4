"""Start, pause, resume, stop: each asks once more before it acts."""

from dataclasses import dataclass
from typing import Final

import streamlit

from dashboard import formats
from dashboard.client import ApiError, Client
from dashboard.documents import Experiment
from dashboard.views import states


@dataclass(frozen=True, slots=True)
class Move:
    """`consequence` is what the person should know before saying yes."""

    name: str
    icon: str
    consequence: str


START: Final = Move("start", ":material/play_arrow:", "Users are assigned and real messages go out.")
PAUSE: Final = Move(
    "pause", ":material/pause:", "Nobody is assigned and nothing is sent until it is resumed."
)
RESUME: Final = Move("resume", ":material/play_arrow:", "Assignment and sending go on.")
STOP: Final = Move("stop", ":material/stop:", "This is final: a stopped experiment cannot be started again.")
MOVES: Final[dict[str, tuple[Move, ...]]] = {
    "draft": (START,),
    "running": (PAUSE, STOP),
    "paused": (RESUME, STOP),
}


def show(client: Client, experiment: Experiment) -> None:
    """The buttons that this experiment's state allows, or the question whether one was meant."""
    asked = f"asked:{experiment.key}"
    moves = MOVES.get(experiment.status, ())
    pending = next((move for move in moves if move.name == streamlit.session_state.get(asked)), None)
    if pending is None:
        with streamlit.container(horizontal=True, horizontal_alignment="right"):
            for move in moves:
                if streamlit.button(
                    move.name.capitalize(), icon=move.icon, key=f"{move.name}:{experiment.key}"
                ):
                    streamlit.session_state[asked] = move.name
                    streamlit.rerun()
        return
    name = formats.plain(experiment.name)
    streamlit.warning(f"{pending.name.capitalize()} {name}? {pending.consequence}", icon=":material/help:")
    with streamlit.container(horizontal=True, horizontal_alignment="right"):
        confirmed = streamlit.button(f"Yes, {pending.name} it", type="primary", icon=pending.icon)
        refused = streamlit.button("No, leave it")
    if not confirmed and not refused:
        return
    del streamlit.session_state[asked]
    if confirmed:
        try:
            client.move(experiment.key, pending.name)
        except ApiError as error:
            states.leave_if_refused(error)
            streamlit.session_state[f"refused:{experiment.key}"] = f"Could not {pending.name} it: {error}"
    streamlit.rerun()


def show_refusal(experiment: Experiment) -> None:
    """Why the last move was not made, once."""
    refusal = streamlit.session_state.pop(f"refused:{experiment.key}", None)
    if refusal:
        streamlit.error(formats.plain(refusal), icon=":material/block:")
