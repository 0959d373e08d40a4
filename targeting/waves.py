"""Waves of an audience: a share of it is drawn at a time, and each wave walks the audience once more (`enrolment`).

Who is in which wave is decided by a hash of the unit (`draw`), so a wave is a random sample, nobody is in two waves, and with the
last one nobody is left. Whoever comes to match later is drawn among those who still wait, whatever wave theirs would have been: so
they make no wave larger than it was meant.
"""

from typing import Final

from sqlmodel import Session

from experiments import repository as experiment_repository
from experiments.clock import Clock
from experiments.design import ExperimentDesign
from experiments.models import Experiment
from experiments.waves import next_bound, release
from targeting import repository
from targeting.draw import WAVE
from targeting.eligibility import reasons_against
from targeting.enrolment_terms import Terms
from targeting.models import Enrolment
from targeting.relations import peers_of
from targeting.segments.audience_repository import audience_of

FIRST_ACTOR: Final = "planner"
UNASSIGNED: Final = "unassigned"
"""In the counts of a walk after which users wait for a wave of so many: what `count_unassigned` said at its end."""


def waiting_in(progress: Enrolment) -> int:
    """Users who could take part and wait for a later wave, as the last walk counted them."""
    return int(progress.counts.get("excluded", {}).get(WAVE, 0))


def are_counted(design: ExperimentDesign) -> bool:
    """Whether a wave is so many users, and no share."""
    return (
        design.bandit is not None
        and design.bandit.waves is not None
        and design.bandit.waves.users is not None
    )


def count_unassigned(
    session: Session, clock: Clock, *, experiment: Experiment, design: ExperimentDesign
) -> int:
    """Users who match now, could take part by what SQL knows (caps apart), and have no variant, whatever chance says of them."""
    peers = [peer.id for peer, _ in peers_of(session, experiment) if peer.id is not None]
    return repository.count_unassigned(
        session,
        audience_of(session, design.audience.condition, now=clock.now()),
        experiment_id=experiment.id or 0,
        reasons=reasons_against(session, design, peers=peers, ineligible={}),
    )


def upto_next(
    session: Session,
    clock: Clock,
    *,
    experiment: Experiment,
    design: ExperimentDesign,
    progress: Enrolment | None,
) -> float:
    """How far the next wave reaches. 0: nobody could take part when they were counted, so that they are to be counted again.

    A wave of so many users is a share of those who wait: whom the last walk counted, more or fewer of them as more or fewer users
    without a variant could take part now than at its end. So whoever has joined, come to match or agreed since is reckoned with, and
    whoever has left.
    """
    bandit, released = design.bandit, experiment.released or 0.0
    assert bandit is not None  # noqa: S101  # whoever has waves has a bandit
    assert bandit.waves is not None  # noqa: S101
    if not are_counted(design):
        return next_bound(bandit.waves, released=released, waiting=0)
    waiting, then = (0, None) if progress is None else (waiting_in(progress), progress.counts.get(UNASSIGNED))
    if then:
        now = count_unassigned(session, clock, experiment=experiment, design=design)
        waiting = round(waiting * now / then)
    if released == 0 and waiting == 0:
        return 0.0
    return next_bound(bandit.waves, released=released, waiting=waiting)


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
