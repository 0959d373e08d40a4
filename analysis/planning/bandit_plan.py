"""A campaign's design in a made-up world, under each policy: what would it cost, how often would it be wrong, when would it be known?"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any, Final, Literal

import numpy as np

from analysis.stats.allocation import AllocationPolicy
from analysis.stats.simulated_bandit import BanditRuns, World, simulate_bandit
from experiments.clock import format_duration
from experiments.design import ExperimentDesign
from experiments.errors import Invalid, Problem
from experiments.metrics import MetricDefinition
from experiments.vocabulary import Direction, MetricRole

Floats = np.ndarray
Policy = Literal["fixed", "thompson", "top_two"]
POLICIES: Final[tuple[Policy, ...]] = ("fixed", "thompson", "top_two")
MOST_BINS: Final = 60
"""Intervals in a window: more would make the life of a user longer than anybody wants to wait for a simulation."""
MOST_CELLS: Final = 20_000
"""Intervals x arms x intervals of a window: what one world keeps in memory, and a policy looks at every time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Assumed:
    """What is true in the made-up world; by arm, None or absent where nothing is said.

    rates: conversions per user whom the message reaches, within the window. lift: relative to the control's rate, instead of a rate.
    delay: mean time until a conversion. non_delivery: share of messages that do not arrive; such a user does what the silent control would
    (nothing, where no control is silent). drift: what all rates have been multiplied with by the last interval.
    """

    rates: Mapping[str, float]
    lift: Mapping[str, float]
    delay: Mapping[str, timedelta]
    non_delivery: Mapping[str, float]
    users_per_interval: int
    intervals: int
    drift: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyOutcome:
    """Means over the runs. regret: conversions lost against the best arm for everybody; sends: users by arm.

    decided: share of runs in which an arm was declared the best; wrong_winner: in which one was that is not. wrong_favourite: the most likely arm at the
    end is not the best; both None where all arms are the same. intervals_to_decision: the median of those decided, None without any.
    best_share: of the traffic to the best arms. moved: median interval from which on traffic moved, None when it never did.
    """

    policy: Policy
    regret: float
    regret_error: float
    sends: Mapping[str, float]
    best_share: float
    decided: float
    wrong_winner: float
    wrong_favourite: float
    intervals_to_decision: float | None
    moved: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class BanditSimulation:
    """The policies side by side. interval: in words. rates: what was simulated, per assigned user; best: the best arms."""

    experiment: str
    metric: str
    direction: str
    interval: str
    intervals: int
    users: int
    window_intervals: int
    runs: int
    rates: Mapping[str, float]
    best: Sequence[str]
    planned: Policy
    outcomes: Sequence[PolicyOutcome]
    notes: Sequence[str]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def simulate_campaign(
    design: ExperimentDesign,
    assumed: Assumed,
    *,
    runs: int,
    rng: np.random.Generator,
    progress: Callable[[int, int], None] | None = None,
    field: str = "--",
) -> BanditSimulation:
    """Run the design under every policy; all of them begin with the same random numbers.

    progress: called with (runs done, of all policies together). field: before the name of an assumption in an error. Raises Invalid when the metric is no
    share of users, or what is assumed is missing, unknown or impossible.
    """
    key, definition = _objective(design)
    interval = getattr(design.allocation, "interval", timedelta(days=1))
    world, rates = _world(design, definition, assumed, interval, field)
    shares = np.array([design.shares[variant.key] for variant in design.variants])
    outcomes = []
    seed = rng.integers(2**63)
    for number, policy in enumerate(POLICIES):
        found = simulate_bandit(
            world,
            _policy(design, policy, maximise=world.maximise),
            shares=shares,
            runs=runs,
            rng=np.random.default_rng(seed),
            alpha=design.plan.alpha,
            planned_n=math.ceil(2 * world.arrivals.sum() / len(shares)),
            progress=None if progress is None else _further(progress, number * runs, len(POLICIES) * runs),
        )
        outcomes.append(_outcome(policy, found, world, list(rates)))
    return BanditSimulation(
        experiment=design.key,
        metric=key,
        direction=str(definition.direction),
        interval=format_duration(interval),
        intervals=assumed.intervals,
        users=int(world.arrivals.sum()),
        window_intervals=world.delays.shape[1],
        runs=runs,
        rates=rates,
        best=[name for name, best in zip(rates, world.best, strict=True) if best],
        planned=design.allocation.policy,
        outcomes=outcomes,
        notes=_notes(world, outcomes),
    )


def _further(progress: Callable[[int, int], None], before: int, total: int) -> Callable[[int, int], None]:
    return lambda done, _some: progress(before + done, total)


def _objective(design: ExperimentDesign) -> tuple[str, MetricDefinition]:
    primary = next(use.key for use in design.metrics if use.role == MetricRole.PRIMARY)
    key = getattr(design.allocation, "metric", None) or primary
    definition = design.metric_definitions()[key]
    if not definition.is_share:
        raise Invalid(
            f"{key!r} is of kind {definition.kind}; a simulation draws who converts, so name a proportion as allocation.metric",
            field="allocation.metric",
        )
    return key, definition


def _policy(design: ExperimentDesign, policy: Policy, *, maximise: bool) -> AllocationPolicy:
    # A design with policy fixed has no such fields; the others are then run as they would be by default.
    said, usual = design.allocation, AllocationPolicy()
    burn_in = getattr(said, "burn_in", None)
    floor = getattr(said, "floor", usual.floor)
    return AllocationPolicy(
        policy=policy,
        floor=min(floor, 1 / len(design.variants)),
        burn_in_users=getattr(burn_in, "users", usual.burn_in_users),
        burn_in_conversions=getattr(burn_in, "conversions", usual.burn_in_conversions),
        leader=getattr(said, "leader", None) or usual.leader,
        maximise=maximise,
    )


def _world(
    design: ExperimentDesign,
    definition: MetricDefinition,
    assumed: Assumed,
    interval: timedelta,
    field: str,
) -> tuple[World, dict[str, float]]:
    bins = math.ceil(definition.window / interval)
    arms = len(design.variants)
    if bins > MOST_BINS or bins * arms * assumed.intervals > MOST_CELLS:
        raise Invalid(
            f"{assumed.intervals} intervals of {format_duration(interval)}, {arms} arms and a window of {format_duration(definition.window)} are too "
            "much to simulate; take a longer allocation.interval, a shorter window or fewer intervals",
            field=f"{field}intervals",
        )
    rates = _rates(design, assumed, field)
    drift = np.linspace(1, assumed.drift, assumed.intervals)
    highest = max(rates.values()) * max(1.0, assumed.drift)
    if not highest <= 1:
        raise Invalid(f"with this drift a rate becomes {highest:.0%}", field=f"{field}drift")
    return World(
        rates=np.array(list(rates.values())),
        delays=np.stack([_delays(assumed.delay.get(name), interval, bins) for name in rates]),
        arrivals=np.full(assumed.intervals, assumed.users_per_interval, dtype=np.int64),
        drift=drift,
        maximise=definition.direction == Direction.INCREASE,
    ), rates


def _delays(mean: timedelta | None, interval: timedelta, bins: int) -> Floats:
    """Exponential within the window; all in the first interval where nothing is said."""
    if mean is None:
        return np.asarray(np.eye(1, bins)[0])
    grown = -np.expm1(-np.arange(bins + 1) * (interval / mean))
    return np.asarray(np.diff(grown) / grown[-1])


def _rates(design: ExperimentDesign, assumed: Assumed, field: str) -> dict[str, float]:
    """Conversions per assigned user, by arm in the order of the design."""
    arms, control = [variant.key for variant in design.variants], design.control
    problems = [
        Problem(f"{field}{name}", f"there is no variant {key!r}; there are {', '.join(arms)}")
        for name, given in (
            ("rates", assumed.rates),
            ("lift", assumed.lift),
            ("delay", assumed.delay),
            ("non-delivery", assumed.non_delivery),
        )
        for key in given
        if key not in arms
    ]
    reached: dict[str, float] = {}
    for key in arms:
        if key in assumed.rates:
            reached[key] = assumed.rates[key]
        elif key in assumed.lift and control.key in assumed.rates:
            reached[key] = assumed.rates[control.key] * (1 + assumed.lift[key])
    missing = [key for key in arms if key not in reached]
    if missing and not problems:
        example = ",".join(f"{key}={0.04 + 0.01 * i:.2f}" for i, key in enumerate(arms))
        problems.append(
            Problem(
                f"{field}rates",
                f"say which share of users converts in {', '.join(missing)}, such as --rates {example}; or give the control's, "
                f"--rates {control.key}=0.04, and what the others add to it: --lift 0.1",
            )
        )
    problems += [
        Problem(
            f"{field}{'rates' if key in assumed.rates else 'lift'}", f"{key}: {rate:g} is not between 0 and 1"
        )
        for key, rate in reached.items()
        if not 0 <= rate <= 1
    ]
    problems += [
        Problem(f"{field}non-delivery", f"{key}: {share:g} is not between 0 and 1")
        for key, share in assumed.non_delivery.items()
        if not 0 <= share <= 1
    ]
    if problems:
        raise Invalid.of(problems)
    otherwise = reached[control.key] if control.message is None else 0.0
    return {
        variant.key: reached[variant.key]
        if variant.message is None
        else reached[variant.key]
        + (otherwise - reached[variant.key]) * assumed.non_delivery.get(variant.key, 0.0)
        for variant in design.variants
    }


def _outcome(policy: Policy, found: BanditRuns, world: World, arms: Sequence[str]) -> PolicyOutcome:
    best = world.best
    decided = found.winner >= 0
    moved = found.moved > 0
    return PolicyOutcome(
        policy=policy,
        regret=float(found.regret.mean()),
        regret_error=float(found.regret.std() / math.sqrt(len(found.regret))),
        sends=dict(zip(arms, found.sends.mean(axis=0).tolist(), strict=True)),
        best_share=float(found.sends[:, best].sum() / max(found.sends.sum(), 1)),
        decided=float(decided.mean()),
        # With all arms alike every winner is a false one.
        wrong_winner=float((decided & (~best[found.winner] | bool(best.all()))).mean()),
        wrong_favourite=0.0 if best.all() else float((~best[found.favourite] | (found.favourite < 0)).mean()),
        intervals_to_decision=float(np.median(found.decided[decided])) if decided.any() else None,
        moved=float(np.median(found.moved[moved])) if moved.any() else None,
    )


def _notes(world: World, outcomes: Sequence[PolicyOutcome]) -> list[str]:
    notes = []
    if bool(world.best.all()):
        notes.append(
            "all arms are alike here: every declared winner is a wrong one, and there is nothing to regret"
        )
    if all(outcome.moved is None for outcome in outcomes if outcome.policy != "fixed"):
        notes.append(
            "no bandit ever moved traffic: too few users or conversions, or too few intervals after the first window has closed"
        )
    if all(outcome.intervals_to_decision is None for outcome in outcomes):
        notes.append("no run ended with a declared winner: more users or intervals are needed to know")
    return notes
