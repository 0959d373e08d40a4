"""An audience that goes out in waves: a share of those who take part at a time, by the hash of their unit.

`experiments.released` is the share that may have been drawn so far: whose hash lies below it takes part now, whoever lies above comes
in a later wave. Null: there are no waves. 0: the audience is being counted, because the first wave is so many users of it.
"""

import math
from typing import Final

from sqlmodel import Session

from experiments import audit
from experiments.allocation import Waves
from experiments.clock import Clock
from experiments.models import Experiment

STEPS: Final = 10_000
"""The hash knows so many places; a wave is at least one of them."""
_ROUNDING: Final = 1e-6


def first_bound(waves: Waves) -> float:
    """What is released at the start.

    >>> first_bound(Waves(share=0.1)), first_bound(Waves(users=5000))
    (0.1, 0.0)
    """
    return 0.0 if waves.share is None else next_bound(waves, released=0.0, waiting=0)


def next_bound(waves: Waves, *, released: float, waiting: int) -> float:
    """What is released with the next wave: more than `released`, at most 1.

    waiting: users who may take part and have been released in no wave; so many users are found by their share of these.

    >>> next_bound(Waves(share=0.3), released=0.9, waiting=10), next_bound(Waves(users=500), released=0.5, waiting=2000)
    (1.0, 0.625)
    """
    if waves.share is not None:
        wanted = released + waves.share
    else:
        assert waves.users is not None  # noqa: S101  # one of the two is said
        wanted = 1.0 if waves.users >= waiting else released + (1 - released) * waves.users / waiting
    step = max(math.ceil(wanted * STEPS - _ROUNDING), math.floor(released * STEPS + _ROUNDING) + 1)
    return min(step / STEPS, 1.0)


def is_waiting(experiment: Experiment) -> bool:
    """Whether a part of the audience has not been released yet."""
    return experiment.released is not None and experiment.released < 1


def release(
    session: Session, clock: Clock, *, actor: str, experiment: Experiment, upto: float, reason: str
) -> None:
    """Let users up to `upto` be drawn, of an experiment that is held; noted in the audit log. The floor above walks to them."""
    before, experiment.released, experiment.updated_at = experiment.released, upto, clock.now()
    session.flush()
    audit.record(
        session,
        clock,
        actor=actor,
        action="experiment.wave",
        subject_kind="experiment",
        subject_key=experiment.key,
        before={"released": before},
        after={"released": upto, "reason": reason},
    )
