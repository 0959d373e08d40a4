"""The draw: what chance decides about a user, from hashes of their unit alone. The same whoever asks, and whenever.

Each decision has a hash of its own, so that one says nothing about another. First come the gates, which are the same for all
variants; whoever passes them all gets the variant on whose range the hash of the experiment's key falls:

    reason           who is hashed     seed              takes part when
    global_holdout   the user's id     global-holdout    share <= hash      (marketing only)
    layer            the unit          layer:LAYER       from <= hash < to
    holdout          the unit          holdout:KEY       holdout <= hash
    coverage         the unit          coverage:KEY      hash < coverage
    wave             the unit          wave:KEY          hash < released    (an audience that goes out in waves)
    (the variant)    the unit          KEY               the weights of the epoch, in the order of the design

The coverage has a hash of its own too, unlike GrowthBook's, where it takes the first part of each variant's range. Raising it
moves nobody either way; but with one hash for both, users who were left out under earlier weights would all fall on the same
variant under new ones, and the logged propensity would be wrong.

Every hash is of version 2. A doorway for other software is built from `gates` and `variant_ranges`, so that it agrees.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from experiments.design import USER_ID, ExperimentDesign
from experiments.vocabulary import Category
from targeting.bucketing import BucketRange, bucket_ranges, choose_variants, hash_units
from targeting.conditions.values import is_number, number_text

HASH_VERSION: Final = 2
GLOBAL_HOLDOUT_SEED: Final = "global-holdout"

GLOBAL_HOLDOUT: Final = "global_holdout"
LAYER: Final = "layer"
HOLDOUT: Final = "holdout"
COVERAGE: Final = "coverage"
WAVE: Final = "wave"


def layer_seed(layer: str) -> str:
    return f"layer:{layer}"


def holdout_seed(key: str) -> str:
    return f"holdout:{key}"


def coverage_seed(key: str) -> str:
    return f"coverage:{key}"


def wave_seed(key: str) -> str:
    return f"wave:{key}"


def variant_seed(key: str) -> str:
    return key


@dataclass(frozen=True, slots=True)
class Gate:
    """Takes part: whose hash with `seed` falls into [start, end). The others do not, for this `reason`.

    `of_user`: the user's id is hashed, whatever the unit of the experiment is.
    """

    reason: str
    seed: str
    start: float
    end: float
    of_user: bool = False


@dataclass(frozen=True, slots=True)
class Draw:
    """What chance decided for some units, in their order: the variant's key, or None and the reason."""

    variants: tuple[str | None, ...]
    reasons: tuple[str | None, ...]


def gates(
    design: ExperimentDesign, *, global_holdout: float, released: float | None = None
) -> tuple[Gate, ...]:
    """What a unit has to pass to take part, in the order in which the reasons count; none that everybody passes.

    `global_holdout` is the share of users who get no marketing experiment at all. `released`: see `experiments.waves`; None where
    all waves are meant, or there are none.
    """
    audience, found = design.audience, []
    if global_holdout > 0 and design.category == Category.MARKETING:
        found.append(Gate(GLOBAL_HOLDOUT, GLOBAL_HOLDOUT_SEED, global_holdout, 1.0, of_user=True))
    if audience.layer is not None and audience.layer.range is not None:
        found.append(Gate(LAYER, layer_seed(audience.layer.key), *audience.layer.range))
    if audience.holdout > 0:
        found.append(Gate(HOLDOUT, holdout_seed(design.key), audience.holdout, 1.0))
    if audience.coverage < 1:
        found.append(Gate(COVERAGE, coverage_seed(design.key), 0.0, audience.coverage))
    if released is not None and released < 1:
        found.append(Gate(WAVE, wave_seed(design.key), 0.0, released))
    return tuple(found)


def wave_places(key: str, units: Sequence[str], *, afresh_from: float | None = None) -> NDArray[np.float64]:
    """Where each unit stands in the order of the waves: out, once `released` is above it.

    afresh_from: what was out before the wave that is drawn now; units below it that nobody has drawn were not there for theirs. They get
    a place among those who still wait, another one at each wave: so a wave is as large as it was meant, however many come late.
    """
    places = hash_units(wave_seed(key), units, HASH_VERSION)
    if not afresh_from:
        return places
    again = hash_units(f"{wave_seed(key)}:{afresh_from:.4f}", units, HASH_VERSION)
    return np.where(places < afresh_from, afresh_from + (1 - afresh_from) * again, places)


def variant_ranges(design: ExperimentDesign, weights: Mapping[str, float]) -> list[BucketRange]:
    """The range of each variant, in the order of the design; `weights` are by variant, of any scale."""
    total = math.fsum(weights[variant.key] for variant in design.variants)
    shares = [weights[variant.key] / total for variant in design.variants]
    return bucket_ranges(len(shares), 1.0, shares)


def draw_variants(
    design: ExperimentDesign,
    *,
    weights: Mapping[str, float],
    units: Sequence[str],
    global_holdout: float,
    user_ids: Sequence[str] | None = None,
    released: float | None = None,
    afresh_from: float | None = None,
) -> Draw:
    """The variant of each unit under the weights of an epoch, or the first gate that it does not pass.

    units: see `unit_of`. user_ids: of the same users, in the same order; the units themselves when left out.
    released: as of `gates`. afresh_from: as of `wave_places`.
    """
    everybody = gates(design, global_holdout=global_holdout, released=released)
    stopped_by = np.full(len(units), -1, dtype=np.int64)
    # The first gate that stops a unit is its reason, so it is written last.
    for index in range(len(everybody) - 1, -1, -1):
        gate = everybody[index]
        hashed = user_ids if gate.of_user and user_ids is not None else units
        places = (
            wave_places(design.key, units, afresh_from=afresh_from)
            if gate.reason == WAVE
            else hash_units(gate.seed, hashed, HASH_VERSION)
        )
        stopped_by[(places < gate.start) | (places >= gate.end)] = index
    keys = [variant.key for variant in design.variants]
    chosen = choose_variants(
        hash_units(variant_seed(design.key), units, HASH_VERSION), variant_ranges(design, weights)
    )
    # At the end of both lists stands None, which the index -1 picks.
    variants = np.array([*keys, None], dtype=object)[np.where(stopped_by < 0, chosen, -1)]
    reasons = np.array([*(gate.reason for gate in everybody), None], dtype=object)[stopped_by]
    return Draw(variants=tuple(variants.tolist()), reasons=tuple(reasons.tolist()))


def unit_of(design: ExperimentDesign, *, user_id: str, attributes: Mapping[str, Any]) -> str | None:
    """What is hashed for a user: the value of `hash_attribute`, else of `fallback_attribute`, as text; None without either.

    `user_id` is the outside world's id of the user, whatever an attribute of that name says.
    """
    for name in (design.audience.hash_attribute, design.audience.fallback_attribute):
        if name == USER_ID:
            return user_id
        if name is not None and (unit := unit_text(attributes.get(name))) is not None:
            return unit
    return None


def unit_text(value: Any) -> str | None:
    """An attribute's value as the text that is hashed, as the GrowthBook SDKs write it; None for one that names no unit.

    Text that is not empty and finite numbers other than 0 do; the number 5 and the text "5" are one unit.

    >>> unit_text("h-1"), unit_text(5), unit_text(5.0), unit_text(0), unit_text(True), unit_text("")
    ('h-1', '5', '5', None, None, None)
    """
    if isinstance(value, str):
        return value or None
    if not is_number(value) or value == 0:
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number_text(number) if math.isfinite(number) else None
