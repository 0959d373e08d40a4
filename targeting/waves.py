"""Waves of an audience: a share of it is drawn at a time, and each wave walks the audience once more (`enrolment`).

Who is in which wave is decided by a hash of the unit (`draw`), so a wave is a random sample, nobody is in two waves, and with the
last one nobody is left. Whoever comes to match later joins with the next wave, if the hash says that theirs has come.
"""

from typing import Final

from sqlmodel import Session

from experiments import repository as experiment_repository
from experiments.allocation import Waves
from experiments.clock import Clock
from experiments.models import Experiment
from experiments.waves import next_bound, release
from targeting.draw import WAVE
from targeting.enrolment_terms import Terms
from targeting.models import Enrolment

FIRST_ACTOR: Final = "planner"
WALKED_TO: Final = "walked_to"
"""In the counts of a walk after which users wait: the highest user there was."""


def waiting_in(progress: Enrolment) -> int:
    """Users who could take part and wait for a later wave, as the last walk counted them."""
    return int(progress.counts.get("excluded", {}).get(WAVE, 0))


def upto_next(
    experiment: Experiment, progress: Enrolment | None, *, design_waves: Waves, highest_user: int | None
) -> float:
    """How far the next wave reaches. 0: nobody could take part when they were counted, so that they are to be counted again.

    highest_user: of now; None: nobody has joined since. Those who have are taken to take part at the rate of those before them: a wave of so many users reckons with them, and with those of
    them who are drawn with it because their hash is that of a wave before.
    """
    released, waiting = experiment.released or 0.0, waiting_in(progress) if progress else 0
    if design_waves.users is not None and released == 0 and waiting == 0:
        return 0.0
    if design_waves.users is None or progress is None:
        return next_bound(design_waves, released=released, waiting=waiting)
    joined = _joined_since(progress, highest_user)
    wanted = max(round(design_waves.users - joined * released), 1)
    waiting += round(joined * (1 - released))
    return next_bound(Waves(users=wanted), released=released, waiting=waiting)


def _joined_since(progress: Enrolment, highest_user: int | None) -> float:
    """About how many users who can take part there are whom the last walk could not count."""
    walked_to = progress.counts.get(WALKED_TO)
    if not walked_to or highest_user is None:
        return 0.0
    took_part = progress.counts.get("assigned", 0) + waiting_in(progress)
    return float(took_part * max(highest_user / walked_to - 1, 0.0))


def begin(session: Session, clock: Clock, terms: Terms, *, waiting: int) -> bool:
    """Release the first wave of an audience that has been counted: so many users of `waiting`. False where there are no waves."""
    bandit = terms.design.bandit
    if bandit is None or bandit.waves is None or waiting == 0:
        return False
    release(
        session,
        clock,
        actor=FIRST_ACTOR,
        experiment=experiment_repository.reread(session, terms.experiment_id),
        upto=next_bound(bandit.waves, released=0.0, waiting=waiting),
        reason=f"the first wave, of {waiting} users who can take part",
    )
    return True
