"""The life of an experiment: draft -> running -> paused -> stopped, as a table of legal moves.

move      from              to
start     draft             running
pause     running           paused
resume    paused            running
stop      running, paused   stopped
"""

from enum import StrEnum
from typing import Final

from experiments.errors import Conflict
from experiments.vocabulary import ExperimentStatus


class Move(StrEnum):
    START = "start"
    PAUSE = "pause"
    RESUME = "resume"
    STOP = "stop"


LEGAL_MOVES: Final[dict[tuple[ExperimentStatus, Move], ExperimentStatus]] = {
    (ExperimentStatus.DRAFT, Move.START): ExperimentStatus.RUNNING,
    (ExperimentStatus.RUNNING, Move.PAUSE): ExperimentStatus.PAUSED,
    (ExperimentStatus.PAUSED, Move.RESUME): ExperimentStatus.RUNNING,
    (ExperimentStatus.RUNNING, Move.STOP): ExperimentStatus.STOPPED,
    (ExperimentStatus.PAUSED, Move.STOP): ExperimentStatus.STOPPED,
}


def next_status(status: ExperimentStatus, move: Move) -> ExperimentStatus:
    """Where `move` leads from `status`; raises Conflict, naming the legal moves, when it leads nowhere.

    >>> next_status(ExperimentStatus.DRAFT, Move.START)
    <ExperimentStatus.RUNNING: 'running'>
    """
    try:
        return LEGAL_MOVES[status, move]
    except KeyError:
        legal = sorted(str(legal_move) for (origin, legal_move) in LEGAL_MOVES if origin == status)
        advice = f"from here you can: {', '.join(legal)}" if legal else "nothing can be done with it any more"
        raise Conflict(f"cannot {move} an experiment that is {status}; {advice}", field="status") from None
