"""Who can take part: the one list of reasons against it, and their order. The first reason that holds is the one that counts.

    audience        does not (or no longer) match the condition; only said of users who come one by one, by rules
    phone           no phone number, while some variant sends a message
    consent         consent to the experiment's category was not given, or was withdrawn
    prerequisite    has none of the variants of another experiment that are asked for
    layer           takes part in another experiment of the same layer that is not stopped
    (others)        what delivery says, such as `cap`
    no_unit         has neither the hash attribute nor the fallback attribute
    (gates)         global_holdout, layer, holdout, coverage, wave: decided by hashes, see `targeting.draw`

All of it is decided before a variant is drawn and knows nothing of variants, so whoever is left out is left out of all arms
alike. A forced user (a tester whose variant was chosen by hand) needs a phone number and consent, and nothing else.
"""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from sqlalchemy import ColumnElement
from sqlmodel import Session

from experiments import repository as experiment_repository
from experiments.design import USER_ID, ExperimentDesign, Prerequisite
from targeting import repository, user_repository
from targeting.draw import draw_variants, unit_of
from targeting.repository import Candidate

PHONE: Final = "phone"
CONSENT: Final = "consent"
PREREQUISITE: Final = "prerequisite"
LAYER: Final = "layer"
NO_UNIT: Final = "no_unit"


class Decision(NamedTuple):
    """A variant and the propensity it was drawn with, or the reason why there is none. Forced: chosen by hand."""

    variant: str | None = None
    reason: str | None = None
    propensity: float = 0.0
    forced: bool = False


def reasons_against(
    session: Session,
    design: ExperimentDesign,
    *,
    peers: Sequence[int],
    ineligible: Mapping[str, ColumnElement[bool]],
) -> dict[str | None, ColumnElement[bool]]:
    """Conditions on rows of `users`, in the order in which they count; under None those who are spared the rest.

    peers: ids of the other experiments of the layer that are not stopped.
    """
    reasons: dict[str | None, ColumnElement[bool]] = {}
    if any(variant.message for variant in design.variants):
        # All arms alike, the silent one too: people who could not be reached are not a fair comparison.
        reasons[PHONE] = user_repository.lacks_phone()
    reasons[CONSENT] = user_repository.lacks_consent(design.category)
    if design.audience.forced:
        reasons[None] = repository.has_user_id(design.audience.forced)
    for condition in _unmet(session, design.audience.prerequisites):
        before = reasons.get(PREREQUISITE)
        reasons[PREREQUISITE] = condition if before is None else before | condition
    if peers:
        reasons[LAYER] = repository.is_assigned_in(peers)
    return reasons | dict(ineligible)


def needs_attributes(design: ExperimentDesign) -> bool:
    """Whether units are made of attributes; the outside id of a user is there anyway."""
    return design.audience.hash_attribute != USER_ID


def decide(
    design: ExperimentDesign,
    candidates: Sequence[Candidate],
    *,
    weights: Mapping[str, float],
    global_holdout: float,
    released: float | None = None,
    afresh_from: float | None = None,
) -> list[Decision]:
    """What becomes of each candidate, in their order. Pure: SQL has already named the reasons that it knows.

    released, afresh_from: as of `draw.draw_variants`.
    """
    forced = design.audience.forced
    units = _units(design, candidates)
    drawn = [
        index
        for index, candidate in enumerate(candidates)
        if candidate.reason is None and candidate.user_id not in forced and units[index] is not None
    ]
    draw = draw_variants(
        design,
        weights=weights,
        units=[unit for index in drawn if (unit := units[index]) is not None],
        global_holdout=global_holdout,
        user_ids=[candidates[index].user_id for index in drawn],
        released=released,
        afresh_from=afresh_from,
    )
    # Few decisions differ, and there are millions of users: each is made once.
    made = {
        key: Decision(variant=key, propensity=weights[key]) for key in set(draw.variants) if key is not None
    }
    stopped = {reason: Decision(reason=reason) for reason in set(draw.reasons)}
    of_drawn = {
        index: stopped[reason] if variant is None else made[variant]
        for index, variant, reason in zip(drawn, draw.variants, draw.reasons, strict=True)
    }
    return [of_drawn.get(index) or _undrawn(candidate, forced) for index, candidate in enumerate(candidates)]


def _units(design: ExperimentDesign, candidates: Sequence[Candidate]) -> Sequence[str | None]:
    if not needs_attributes(design):
        return [candidate.user_id for candidate in candidates]
    return [
        unit_of(design, user_id=candidate.user_id, attributes=candidate.attributes or {})
        for candidate in candidates
    ]


def _undrawn(candidate: Candidate, forced: Mapping[str, str]) -> Decision:
    if candidate.reason is not None:
        return Decision(reason=candidate.reason)
    if candidate.user_id in forced:
        # Chosen by hand, so with certainty.
        return Decision(variant=forced[candidate.user_id], propensity=1.0, forced=True)
    return Decision(reason=NO_UNIT)


def _unmet(session: Session, prerequisites: Sequence[Prerequisite]) -> list[ColumnElement[bool]]:
    if not prerequisites:
        return []
    ids = experiment_repository.ids_of(session, [each.experiment for each in prerequisites])
    return [
        repository.lacks_variant(ids.get(each.experiment), variants=each.variants) for each in prerequisites
    ]
