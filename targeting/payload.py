"""Running experiments as the payload of a GrowthBook SDK, so that any such SDK gives every user the variant that enrolment gives.

An experiment is a feature under its own key, and its value is the key of a variant. Somebody who takes no part gets null, never
the control's key: whoever counts by the value would count them among those who were drawn. The default in the application's own
code is what they see.

What makes a variant here makes it there: the condition (`sdk_conditions`), the gates and ranges of `draw`, the forced testers,
and the variants of other experiments (`parentConditions`). Where weights have changed between walks of the audience, each walk has a
rule of its own (`_as_drawn`). An experiment of which an SDK would know too little is left out, and
`left_out` says why. What an SDK never knows is who can be messaged: consent, phone and caps stay with enrolment.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

from experiments.clock import format_moment
from experiments.design import USER_ID, ExperimentDesign
from targeting.draw import HASH_VERSION, gates, variant_ranges, variant_seed
from targeting.sdk_conditions import SDK_ID, NotPortableError, names_unit, saved_group, translate

MAX_LISTED: Final = 10_000
"""Users of one list segment that travel with a payload."""
AGES_STAY: Final = timedelta(minutes=1)
"""How long "30 days ago" may stand in a payload before it is worked out again."""
BUCKET_VERSION: Final = 1
"""The same through all weights, so that an SDK that remembers variants (sticky bucketing) keeps them when weights change."""


MAX_WALKS: Final = 100
"""Walks with weights of their own that travel with an experiment."""


@dataclass(frozen=True, slots=True)
class Walked:
    """What a walk of the audience has reached: the weights it drew with, the coverage, and the share of waves (as of `draw.gates`)."""

    weights: Mapping[str, float]
    coverage: float
    released: float | None


@dataclass(frozen=True, slots=True)
class Running:
    """An experiment that runs. `condition` is that of its audience with condition segments written out.

    begins_at: when enrolment begins; weights: shares of the open epoch. problem: why the condition cannot be used. released: as
    of `draw.gates`. walked: what was walked before, oldest first.
    """

    design: ExperimentDesign
    begins_at: datetime
    weights: Mapping[str, float]
    condition: Mapping[str, Any]
    problem: str | None = None
    released: float | None = None
    walked: Sequence[Walked] = ()


@dataclass(frozen=True, slots=True)
class Payload:
    """What SDKs load. `left_out`: key of an experiment -> why it is not among the features.

    `changes_at` is when it has to be made anew even if no experiment changes; None: never.
    """

    features: Mapping[str, Any]
    saved_groups: Mapping[str, Sequence[str]]
    left_out: Mapping[str, str]
    made_at: datetime
    changes_at: datetime | None

    def to_json(self) -> dict[str, Any]:
        """As `GET /api/features/{client_key}` answers; SDKs ignore `leftOut`."""
        return {
            "status": 200,
            "features": self.features,
            "experiments": [],
            "savedGroups": self.saved_groups,
            "dateUpdated": format_moment(self.made_at),
            "leftOut": self.left_out,
        }


def payload_of(
    running: Sequence[Running],
    *,
    lists: Mapping[str, Sequence[str] | None],
    global_holdout: float,
    now: datetime,
    paused: Sequence[ExperimentDesign] = (),
) -> Payload:
    """The payload of the experiments that run at `now`. Pure.

    paused: those that may run again, and keep their users until then. lists: user ids of the list segments that their conditions name; None for one that is longer than `MAX_LISTED`.
    """
    features: dict[str, Any] = {}
    left_out: dict[str, str] = {}
    groups: dict[str, Sequence[str]] = {}
    changes = [one.begins_at for one in running if one.begins_at > now]
    for one in running:
        try:
            _check_layer(one.design, [*(other.design for other in running), *paused])
            rules, segments, ages = _rules(one, lists, global_holdout=global_holdout, now=now)
        except NotPortableError as error:
            left_out[one.design.key] = str(error)
            continue
        features[one.design.key] = {"defaultValue": None, "rules": rules}
        groups |= {saved_group(key): listed for key in sorted(segments) if (listed := lists[key]) is not None}
        if ages:
            changes.append(now + AGES_STAY)
    _leave_out_orphans({one.design.key: one.design for one in running}, features, left_out)
    return Payload(features, groups, left_out, made_at=now, changes_at=min(changes, default=None))


def _rules(
    one: Running, lists: Mapping[str, Sequence[str] | None], *, global_holdout: float, now: datetime
) -> tuple[list[dict[str, Any]], frozenset[str], bool]:
    design = one.design
    _check(one, now)
    condition = translate(dict(one.condition), now=now)
    for key in sorted(condition.segments):
        if lists.get(key) is None:
            raise NotPortableError(
                f"its condition names the list {key!r}, which has more than {MAX_LISTED} users"
            )
    rules = [_forced(variant.key, design) for variant in design.variants]
    lacking: list[dict[str, Any]] = []
    for attribute in _hashed(design):
        rules += [
            _experiment(each, attribute, [condition.condition, *lacking], global_holdout)
            for each in _as_drawn(one)
        ]
        # SDKs use a fallback only when they remember variants, and never in a filter: so it is a rule of its own.
        lacking.append({"$not": names_unit(attribute)})
    return [rule for rule in rules if rule], condition.segments, condition.ages


def _as_drawn(one: Running) -> list[Running]:
    """The experiment as it was at each walk with other weights, oldest first, and as it is now.

    Coverage and waves only grow, and the first rule that applies counts: so a hash is met by the rule of the walk that reached it
    first, with the weights of that walk, and whoever was drawn then keeps the variant without any memory in the SDK.
    """
    whole = [
        *one.walked,
        Walked(one.weights, one.design.audience.coverage, one.released),
    ]
    # What a later walk drew with the same weights holds all of the earlier one.
    kept = [
        walk
        for walk, later in zip(whole, [*whole[1:], None], strict=True)
        if later is None or walk.weights != later.weights
    ]
    if len(kept) > MAX_WALKS:
        raise NotPortableError(f"its audience was drawn with more than {MAX_WALKS} different weights")
    return [
        replace(
            one,
            design=one.design.model_copy(
                update={"audience": one.design.audience.model_copy(update={"coverage": walk.coverage})}
            ),
            # A variant that was added since had none then.
            weights={variant.key: walk.weights.get(variant.key, 0.0) for variant in one.design.variants},
            released=walk.released,
        )
        for walk in kept
    ]


def _check(one: Running, now: datetime) -> None:
    if one.problem is not None:
        raise NotPortableError(one.problem)
    if one.design.trigger.type != "once":
        raise NotPortableError("its users come by rules, which only the server follows")
    if one.begins_at > now:
        raise NotPortableError(f"it begins at {format_moment(one.begins_at)}")
    for name in _hashed(one.design):
        if name == SDK_ID or "." in name or name.startswith("$"):
            raise NotPortableError(f"it hashes the attribute `{name}`, which an SDK reads differently")


def _hashed(design: ExperimentDesign) -> list[str]:
    """The attributes of which the first that somebody has is hashed; everybody has a user id."""
    first, fallback = design.audience.hash_attribute, design.audience.fallback_attribute
    return [first] if fallback is None or first == USER_ID else [first, fallback]


def _check_layer(design: ExperimentDesign, others: Sequence[ExperimentDesign]) -> None:
    """Ranges of one layer keep experiments apart by themselves only if all have one, of the same hash."""
    layer = design.audience.layer
    if layer is None:
        return
    for other in [design, *others]:
        theirs = other.audience.layer
        if theirs is None or theirs.key != layer.key:
            continue
        if theirs.range is None:
            whose = "it" if other is design else f"experiment {other.key!r}"
            raise NotPortableError(
                f"{whose} has no range in the layer {layer.key!r}: who is taken is known to the server only"
            )
        if _hashed(other) != _hashed(design):
            raise NotPortableError(
                f"experiment {other.key!r} of its layer {layer.key!r} hashes another attribute: "
                "who is taken is known to the server only"
            )


def _sdk_name(attribute: str) -> str:
    return SDK_ID if attribute == USER_ID else attribute


def _forced(variant: str, design: ExperimentDesign) -> dict[str, Any]:
    testers = sorted(user for user, key in design.audience.forced.items() if key == variant)
    return {"condition": {SDK_ID: {"$in": testers}}, "force": variant} if testers else {}


def _experiment(
    one: Running, hashed: str, conditions: list[dict[str, Any]], global_holdout: float
) -> dict[str, Any]:
    design = one.design
    attribute = _sdk_name(hashed)
    fallback = next(iter(_hashed(design)[1:]), None) if hashed == design.audience.hash_attribute else None
    if attribute != SDK_ID:
        # One SDK hashes true and lists as well.
        conditions = [*conditions, names_unit(attribute)]
    conditions = [condition for condition in conditions if condition]
    filters = [
        {
            "seed": gate.seed,
            "ranges": [[gate.start, gate.end]],
            "hashVersion": HASH_VERSION,
            "attribute": SDK_ID if gate.of_user else attribute,
        }
        for gate in gates(design, global_holdout=global_holdout, released=one.released)
    ]
    parents = [
        {"id": each.experiment, "condition": {"value": {"$in": list(each.variants)}}}
        for each in design.audience.prerequisites
    ]
    return {
        "key": design.key,
        "name": design.name,
        **({"parentConditions": parents} if parents else {}),
        **(
            {"condition": conditions[0] if len(conditions) == 1 else {"$and": conditions}}
            if conditions
            else {}
        ),
        **({"filters": filters} if filters else {}),
        "variations": [variant.key for variant in design.variants],
        "meta": [{"key": variant.key, "name": variant.key} for variant in design.variants],
        "weights": [one.weights[variant.key] for variant in design.variants],
        "ranges": [list(pair) for pair in variant_ranges(design, one.weights)],
        "hashAttribute": attribute,
        **({"fallbackAttribute": _sdk_name(fallback)} if fallback is not None else {}),
        "hashVersion": HASH_VERSION,
        "seed": variant_seed(design.key),
        "bucketVersion": BUCKET_VERSION,
    }


def _leave_out_orphans(
    designs: Mapping[str, ExperimentDesign], features: dict[str, Any], left_out: dict[str, str]
) -> None:
    """An experiment whose prerequisite is not among the features goes too, and so on; circles keep nobody."""
    settled: set[str] = set()
    waiting = list(features)
    while True:
        ready = [
            key
            for key in waiting
            if all(each.experiment in settled for each in designs[key].audience.prerequisites)
        ]
        if not ready:
            break
        settled.update(ready)
        waiting = [key for key in waiting if key not in settled]
    for key in waiting:
        del features[key]
        missing = [
            each.experiment for each in designs[key].audience.prerequisites if each.experiment not in settled
        ]
        left_out[key] = f"its prerequisite {missing[0]!r} is not among the features"
