"""An audience becomes assignments: who takes part in an experiment, and with which variant.

Enrolment walks the audience by internal user id, a batch at a time, and each batch saves its assignments, its counts and
the place it came to in one transaction: stopped anywhere, it goes on where it was and loses or doubles nobody.

Everything that can exclude a user is decided before the draw and is the same for all arms, so that arms stay comparable.
The first reason that holds is the one that is counted, in this order:

    phone      no phone number
    consent    consent to the experiment's category was not given, or was withdrawn
    layer      takes part in another experiment of the same layer that is not stopped
    (others)   what delivery says, such as `cap`
    holdout    in the share of users that this experiment leaves alone
    coverage   outside the share of traffic that is enrolled; raising the coverage later moves nobody
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import ColumnElement
from sqlmodel import Session

from experiments import repository as experiment_repository
from experiments import service
from experiments.clock import Clock
from experiments.design import ExperimentDesign
from experiments.models import Experiment
from experiments.vocabulary import ExperimentStatus
from targeting import repository
from targeting.audience_repository import audience_of
from targeting.bucketing import bucket_ranges, choose_variants, hash_units
from targeting.repository import Unplanned

HASH_VERSION: Final = 2


@dataclass(frozen=True, slots=True)
class EnrolmentStep:
    """What one batch did: users of the audience looked at, users assigned, and whether nobody is left to look at."""

    looked_at: int
    assigned: int
    finished: bool


@dataclass(frozen=True, slots=True)
class Draw:
    """What chance decided for some users, in their order: the variant's key, or None and the reason."""

    variants: tuple[str | None, ...]
    reasons: tuple[str | None, ...]


def enrol_batch(
    session: Session,
    clock: Clock,
    *,
    experiment: Experiment,
    limit: int,
    ineligible: Mapping[str, ColumnElement[bool]],
) -> EnrolmentStep:
    """Look at the next `limit` users of the audience and assign those who can take part.

    `ineligible` maps a reason to a condition on rows of `users`. An experiment that does not run (any more) enrols nobody
    and is finished for now.
    """
    experiment_id = _id(experiment)
    design = service.design_of(experiment)
    layer = design.audience.layer
    peers = _peers(session, experiment_id, layer=layer.key if layer else None)
    if not repository.lock_for_enrolment(session, experiment_id=experiment_id, peers=peers):
        return EnrolmentStep(looked_at=0, assigned=0, finished=True)
    now = clock.now()
    progress = repository.enrolment_of(session, experiment_id=experiment_id, now=now)
    if progress.finished_at is not None:
        return EnrolmentStep(looked_at=0, assigned=0, finished=True)

    audience = audience_of(session, design.audience.condition, now=now)
    page = repository.candidates(
        session,
        audience,
        reasons=_reasons(design, peers=peers, ineligible=ineligible),
        after_pk=progress.last_user_pk,
        limit=limit,
    )
    members = audience.keep(session, page)
    able = [candidate for candidate in members if candidate.reason is None]
    epoch = experiment_repository.current_epoch(session, experiment_id)
    draw = draw_variants(design, weights=epoch.weights, user_ids=[candidate.user_id for candidate in able])
    assigned = repository.insert_assignments(
        session,
        rows=[
            {
                "experiment_id": experiment_id,
                "user_pk": candidate.id,
                "variant": variant,
                "epoch": epoch.number,
                "propensity": epoch.weights[variant],
                "assigned_at": now,
            }
            for candidate, variant in zip(able, draw.variants, strict=True)
            if variant is not None
        ],
    )
    finished = len(page) < limit
    excluded = Counter(candidate.reason for candidate in members if candidate.reason is not None)
    excluded.update(reason for reason in draw.reasons if reason is not None)
    progress.counts = _added(progress.counts, assigned=assigned, excluded=excluded)
    progress.last_user_pk = page[-1].id if page else progress.last_user_pk
    progress.finished_at = now if finished else None
    session.flush()
    return EnrolmentStep(looked_at=len(members), assigned=assigned, finished=finished)


def draw_variants(design: ExperimentDesign, *, weights: Mapping[str, float], user_ids: Sequence[str]) -> Draw:
    """The variant of each user, from the hash of the user's id alone: the same whoever asks, and whenever.

    `weights` are the shares of the current epoch, by variant. The holdout has a hash of its own, so that who is held out
    says nothing about who gets which variant.
    """
    if not user_ids:
        return Draw((), ())
    audience = design.audience
    keys = [variant.key for variant in design.variants]
    ranges = bucket_ranges(len(keys), audience.coverage, [weights[key] for key in keys])
    chosen = choose_variants(hash_units(design.key, user_ids, HASH_VERSION), ranges).tolist()
    held = (hash_units(f"holdout:{design.key}", user_ids, HASH_VERSION) < audience.holdout).tolist()
    return Draw(
        variants=tuple(
            None if out or index < 0 else keys[index] for index, out in zip(chosen, held, strict=True)
        ),
        reasons=tuple(
            "holdout" if out else "coverage" if index < 0 else None
            for index, out in zip(chosen, held, strict=True)
        ),
    )


def is_finished(session: Session, *, experiment_id: int) -> bool:
    """Whether everybody of the audience has been looked at."""
    return repository.is_enrolled(session, experiment_id=experiment_id)


def lock_running(session: Session, *, experiment_id: int) -> bool:
    """Hold an experiment until the transaction ends, so that it is not stopped meanwhile; False when it does not run."""
    return repository.lock_for_enrolment(session, experiment_id=experiment_id)


def unplanned(session: Session, *, experiment_id: int, limit: int) -> list[Unplanned]:
    """The next assignments that have no messages yet, oldest first, with what planning needs of their users."""
    return repository.unplanned(session, experiment_id=experiment_id, limit=limit)


def mark_planned(session: Session, *, ids: Sequence[int], at: datetime) -> None:
    """Note that these assignments have been turned into messages, or into none."""
    if ids:
        repository.mark_planned(session, ids=ids, at=at)


def _peers(session: Session, experiment_id: int, *, layer: str | None) -> list[int]:
    if layer is None:
        return []
    live = experiment_repository.with_status(session, ExperimentStatus.RUNNING, ExperimentStatus.PAUSED)
    return [_id(other) for other in live if other.id != experiment_id and _layer_of(other) == layer]


def _layer_of(experiment: Experiment) -> str | None:
    layer = service.design_of(experiment).audience.layer
    return layer.key if layer else None


def _reasons(
    design: ExperimentDesign, *, peers: Sequence[int], ineligible: Mapping[str, ColumnElement[bool]]
) -> dict[str, ColumnElement[bool]]:
    reasons: dict[str, ColumnElement[bool]] = {}
    if any(variant.message for variant in design.variants):
        # All arms alike, the silent one too: people who could not be reached are not a fair comparison.
        reasons["phone"] = repository.lacks_phone()
    reasons["consent"] = repository.lacks_consent(design.category)
    if peers:
        reasons["layer"] = repository.is_assigned_in(peers)
    return reasons | dict(ineligible)


def _added(counts: Mapping[str, object], *, assigned: int, excluded: Counter[str]) -> dict[str, object]:
    before = counts.get("excluded")
    total = Counter(before if isinstance(before, dict) else {}) + excluded
    known = counts.get("assigned")
    return {"assigned": (known if isinstance(known, int) else 0) + assigned, "excluded": dict(total)}


def _id(experiment: Experiment) -> int:
    assert experiment.id is not None  # noqa: S101  # a stored row has an id
    return experiment.id
