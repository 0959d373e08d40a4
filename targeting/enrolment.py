"""An audience becomes assignments: who takes part in an experiment, and with which variant.

`enrol_batch` walks the audience by internal user id, a batch at a time, and each batch saves its assignments, its counts and
the place it came to in one transaction: stopped anywhere, it goes on where it was and loses or doubles nobody. `enrol_users`
takes users one by one, as rules find them. Both ask `targeting.eligibility` who may take part and `targeting.draw` with which
variant, and an assignment that is there already stays as it is, whatever has changed since.

The walk meets the audience as it is at that time: users who come to match later are not enrolled by it. Raising the coverage
(`reopen`) walks once more, and so does each wave (`waves`) and each occasion of a recurring trigger (`occasions`).
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement
from sqlmodel import Session

from experiments import service
from experiments.clock import Clock
from experiments.design import ExperimentDesign
from experiments.ending import closes_at, is_closed
from experiments.models import Experiment
from experiments.triggers import WALKED
from experiments.waves import is_waiting
from targeting import repository, waves
from targeting.draw import WAVE
from targeting.eligibility import needs_attributes
from targeting.enrolment_terms import AFRESH_FROM, Terms, settle, terms_of
from targeting.models import Enrolment
from targeting.repository import Candidate, Unplanned

AUDIENCE_SOURCE: Final = "audience"
NOT_RUNNING: Final = "not_running"
NOT_BY_RULES: Final = "not_by_rules"
CLOSED: Final = "until"
NOT_IN_AUDIENCE: Final = "audience"
UNKNOWN: Final = "unknown"
CHUNK: Final = 5000
"""Users in one statement; databases take a limited number of parameters."""


@dataclass(frozen=True, slots=True)
class EnrolmentStep:
    """What one batch did: users of the audience looked at, users assigned, and whether nobody is left to look at."""

    looked_at: int
    assigned: int
    finished: bool


@dataclass(frozen=True, slots=True)
class EnrolmentOutcome:
    """The variant of a user, or the reason why there is none. `new`: assigned just now, not before."""

    variant: str | None
    reason: str | None
    new: bool = False


def enrol_batch(
    session: Session,
    clock: Clock,
    *,
    experiment: Experiment,
    limit: int,
    ineligible: Mapping[str, ColumnElement[bool]],
    global_holdout: float,
) -> EnrolmentStep:
    """Look at the next `limit` users of the audience and assign those who can take part.

    `ineligible` maps a reason to a condition on rows of `users`; `global_holdout` is the setting of that name. An
    experiment that does not run (any more), or whose users come by rules, enrols nobody and is finished for now.
    """
    nothing = EnrolmentStep(looked_at=0, assigned=0, finished=True)
    terms = terms_of(session, clock, experiment, ineligible=ineligible, global_holdout=global_holdout)
    if terms is None or not walks(terms.design):
        return nothing
    progress = repository.enrolment_of(session, experiment_id=terms.experiment_id, now=terms.now)
    waits = terms.design.trigger.type == "recurring" and progress.occasion_at is None
    if waits or progress.finished_at is not None:
        return nothing
    if terms.design.audience.forced and progress.last_user_pk == 0:
        progress.counts = {**progress.counts, "forced": _enrol_forced(session, terms)}
    page = repository.candidates(
        session,
        terms.audience,
        reasons=terms.reasons,
        with_attributes=needs_attributes(terms.design),
        after_pk=progress.last_user_pk,
        limit=limit,
    )
    members = [
        candidate
        for candidate in terms.audience.keep(session, page)
        if candidate.user_id not in terms.design.audience.forced
    ]
    fresh = _without_assignment(session, terms, members)
    decisions, assigned = settle(session, terms, fresh, source=AUDIENCE_SOURCE)
    excluded = Counter(decision.reason for decision in decisions if decision.reason is not None)
    finished = len(page) < limit
    waits_for = progress.counts.get("excluded", {}).get(WAVE, 0) + excluded[WAVE]
    if finished and terms.released == 0 and waves.begin(session, clock, terms, waiting=waits_for):
        # Everybody has been counted, so it is known what share of them the first wave is. Now it goes out.
        progress.last_user_pk, progress.counts = 0, {**progress.counts, "excluded": {}}
        session.flush()
        return EnrolmentStep(looked_at=len(members), assigned=assigned, finished=False)
    progress.counts = _added(progress.counts, assigned=assigned, excluded=excluded, finished=finished)
    if finished and waves.are_counted(terms.design) and waves.waiting_in(progress):
        counted = waves.count_unassigned(session, clock, experiment=experiment, design=terms.design)
        progress.counts = {**progress.counts, waves.UNASSIGNED: counted}
    progress.last_user_pk = page[-1].id if page else progress.last_user_pk
    progress.finished_at = terms.now if finished else None
    if finished and is_walked_once(terms.design):
        earlier = [each for each in progress.reach or () if each[0] != terms.epoch]
        progress.reach = [*earlier, [terms.epoch, terms.design.audience.coverage, terms.released]]
    session.flush()
    return EnrolmentStep(looked_at=len(members), assigned=assigned, finished=finished)


def enrol_users(
    session: Session,
    clock: Clock,
    *,
    experiment: Experiment,
    user_pks: Sequence[int],
    ineligible: Mapping[str, ColumnElement[bool]],
    global_holdout: float,
    source: str,
) -> dict[int, EnrolmentOutcome]:
    """Enrol these users, who must be in the audience like everybody else; `source` is noted with each assignment.

    Returns the outcome of each of `user_pks`. Whoever is assigned already keeps the variant, so doing it again changes
    nothing. An experiment whose audience is walked takes nobody this way. Holds the experiment, and those of its layer,
    until the transaction ends: enrol in several experiments in the order of their ids.
    """
    terms = terms_of(session, clock, experiment, ineligible=ineligible, global_holdout=global_holdout)
    if terms is None:
        over = is_closed(service.design_of(experiment), experiment.started_at, clock.now())
        return dict.fromkeys(user_pks, EnrolmentOutcome(None, CLOSED if over else NOT_RUNNING))
    if walks(terms.design):
        # Its plan counts on an audience that is complete once it has been walked.
        return dict.fromkeys(user_pks, EnrolmentOutcome(None, NOT_BY_RULES))
    outcomes: dict[int, EnrolmentOutcome] = {}
    for start in range(0, len(user_pks), CHUNK):
        outcomes |= _enrol_some(session, terms, user_pks[start : start + CHUNK], source=source)
    return outcomes


def walks(design: ExperimentDesign) -> bool:
    """Whether the audience is walked; otherwise users come by rules."""
    return design.trigger.type in WALKED


def is_walked_once(design: ExperimentDesign) -> bool:
    """Whether everybody is there once the audience has been walked; otherwise users come by and by."""
    return design.trigger.type == "once"


def closed_since(
    experiment: Experiment, design: ExperimentDesign, progress: Enrolment | None, *, now: datetime
) -> datetime | None:
    """From when on nobody has been drawn any more: the walk of the last wave has ended, the trigger is closed, or a variant was
    shipped; None while somebody may yet be.
    """
    if experiment.shipped_at is not None:
        return experiment.shipped_at
    walked = progress.finished_at if progress and not is_waiting(experiment) else None
    if is_walked_once(design) or experiment.started_at is None:
        return walked
    closes = closes_at(design, experiment.started_at)
    if closes is None or now < closes:
        return None
    # The last occasion of a recurring trigger is walked to its end, however long that takes.
    if walks(design) and progress is not None:
        return None if walked is None else max(walked, closes)
    return closes


def reopen(session: Session, *, experiment_id: int, growth: float, afresh_from: float | None = None) -> None:
    """Have the audience walked once more, because `growth` times as many users can take part now.

    afresh_from: of a wave, what was out before it (`draw.wave_places`); None: everybody joins whose wave is out.

    The counts go on: those who are assigned stay counted, everybody else is counted anew. `expected` tells the analysis
    how many users there will be, until the walk has ended. A first walk that has not begun needs nothing.
    """
    progress = repository.find_enrolment(session, experiment_id=experiment_id)
    if progress is None:
        return
    expected = progress.counts.get("expected")
    if expected is None:
        expected = float(progress.counts.get("assigned", 0) + waves.waiting_in(progress))
        if progress.finished_at is None:
            # The users not yet looked at are taken to join at the rate of those before them.
            expected *= max(repository.highest_user(session) / max(progress.last_user_pk, 1), 1.0)
    progress.counts = {
        **progress.counts,
        "excluded": {},
        "expected": round(expected * growth),
        AFRESH_FROM: afresh_from,
    }
    progress.last_user_pk, progress.finished_at = 0, None
    session.flush()


def is_finished(session: Session, *, experiment_id: int) -> bool:
    """Whether everybody of the audience has been looked at."""
    return repository.is_enrolled(session, experiment_id=experiment_id)


def lock_running(session: Session, *, experiment_id: int) -> bool:
    """Hold an experiment until the transaction ends, so that it is not stopped meanwhile; False when it does not run."""
    return repository.lock_for_enrolment(session, experiment_id=experiment_id)


def unplanned(session: Session, *, experiment_id: int, limit: int) -> list[Unplanned]:
    """The next assignments that have no messages yet, oldest first, with what planning needs of their users."""
    return repository.unplanned(session, experiment_id=experiment_id, limit=limit)


def mark_planned(session: Session, *, ids: Sequence[int], at: datetime, occasions: int = 1) -> None:
    """Note that these assignments have been looked at, and turned into the messages of so many (more) occasions."""
    repository.mark_planned(session, ids=ids, at=at, occasions=occasions)


def _enrol_some(
    session: Session, terms: Terms, user_pks: Sequence[int], *, source: str
) -> dict[int, EnrolmentOutcome]:
    forced = terms.design.audience.forced
    before = repository.variants_of(session, experiment_id=terms.experiment_id, user_pks=user_pks)
    outcomes = dict.fromkeys(user_pks, EnrolmentOutcome(None, UNKNOWN))
    outcomes |= {pk: EnrolmentOutcome(variant, None) for pk, variant in before.items()}
    fresh = repository.candidates_among(
        session,
        terms.audience,
        reasons=terms.reasons,
        with_attributes=needs_attributes(terms.design),
        user_pks=outcomes.keys() - before.keys(),
    )
    kept = {
        candidate.id
        for candidate in terms.audience.keep(session, [candidate for candidate in fresh if candidate.fits])
    }
    members = [candidate for candidate in fresh if candidate.id in kept or candidate.user_id in forced]
    decisions, _ = settle(session, terms, members, source=source)
    outcomes |= {candidate.id: EnrolmentOutcome(None, NOT_IN_AUDIENCE) for candidate in fresh}
    return outcomes | {
        candidate.id: EnrolmentOutcome(decision.variant, decision.reason, new=decision.variant is not None)
        for candidate, decision in zip(members, decisions, strict=True)
    }


def _enrol_forced(session: Session, terms: Terms) -> dict[str, Any]:
    """Give the testers their variants, whether the audience means them or not; returns the counts of them."""
    forced = terms.design.audience.forced
    pks = repository.pks_of(session, forced)
    outcomes = _enrol_some(session, terms, sorted(pks.values()), source=AUDIENCE_SOURCE)
    excluded = Counter(outcome.reason for outcome in outcomes.values() if outcome.reason is not None)
    assigned = len(outcomes) - excluded.total()
    if len(pks) < len(forced):
        excluded[UNKNOWN] = len(forced) - len(pks)
    return {"assigned": assigned, "excluded": dict(excluded)}


def _without_assignment(session: Session, terms: Terms, members: Sequence[Candidate]) -> Sequence[Candidate]:
    if not members:
        return members
    assigned = repository.assigned_between(
        session, experiment_id=terms.experiment_id, first_pk=members[0].id, last_pk=members[-1].id
    )
    return [candidate for candidate in members if candidate.id not in assigned] if assigned else members


def _added(
    counts: Mapping[str, Any], *, assigned: int, excluded: Counter[str], finished: bool
) -> dict[str, Any]:
    total = {
        **counts,
        "assigned": counts.get("assigned", 0) + assigned,
        "excluded": dict(Counter(counts.get("excluded", {})) + excluded),
    }
    if finished:
        for passing in ("expected", waves.UNASSIGNED, AFRESH_FROM):
            total.pop(passing, None)
        if waiting := total["excluded"].get(WAVE, 0):
            total["expected"] = total["assigned"] + waiting
    return total
