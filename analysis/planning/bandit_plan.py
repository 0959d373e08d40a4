"""A campaign's design in a made-up world, under each policy: what would it cost, how often would it be wrong, when would it be known?"""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import timedelta
from typing import Any, Final

import numpy as np

from analysis.planning.bandit_inputs import FEWEST, Assumed, Written
from analysis.planning.bandit_world import Policy, judged_of, policy_of, seconds_of_a_run, world_of
from analysis.planning.wave_plan import (
    Progress,
    WaveSimulation,
    further,
    is_too_much,
    no_better_than,
    simulate_broadcast,
    sizes_of,
)
from analysis.stats.simulated_bandit import BanditRuns, simulate_bandit
from analysis.stats.simulated_world import World
from experiments.allocation import OBJECTIVES
from experiments.clock import format_duration
from experiments.design import ExperimentDesign
from experiments.errors import Invalid
from experiments.metrics import MetricDefinition
from experiments.vocabulary import SHARE_KINDS, Direction, MetricRole

POLICIES: Final[tuple[Policy, ...]] = ("fixed", "thompson", "top_two")
BANDITS: Final[tuple[Policy, ...]] = ("thompson", "top_two")
REPORTS: Final = 1.25
"""Times the processor time of the policies that these take with the reports of every interval."""
USUAL: Final = 1_000
"""Runs where nobody says how many, if there is time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyOutcome:
    """Means over the runs. `regret`: what is lost against the best arm of each moment, with its Monte-Carlo error; `sends`: users by arm; `best_share`: of the traffic to the best arms of their moment.

    What reports, one after every interval, decide first, as shares of the runs: `report_ships` a variant, `report_ships_wrong` one that is not the best or no better than the
    control, `report_keeps` the control. `decided`: an arm was ahead of every other one; `wrong_winner`: one that is not better than all others. `wrong_favourite`: the most likely arm
    at the end is not the best; 0 where all arms are the same. Medians, null where it never happened: `intervals_to_report`, `intervals_to_decision`, and `moved`, the interval from which traffic moved.
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
    report_ships: float
    report_ships_wrong: float
    report_keeps: float
    intervals_to_report: float | None
    moved: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class BanditSimulation:
    """The policies side by side. `planned` is the policy of the campaign, `interval` the time between two reallocations, `window_intervals` how many of them a window takes. `unit` is what is
    lost: conversions, the metric, or money.

    What was simulated, by arm, what does not arrive included: `rates`, users with a number (a conversion) per assigned user; `values`, the mean number of those, null for proportions; `worth` of an assigned
    user in `unit`, before any drift. `best`: the best arms. `waves`: the same audience as a broadcast, null where it is none. `notes`: what to read in it.
    """

    experiment: str
    metric: str
    direction: Direction
    interval: str
    intervals: int
    users: int
    window_intervals: int
    runs: int
    unit: str
    rates: Mapping[str, float]
    values: Mapping[str, float] | None
    worth: Mapping[str, float]
    best: Sequence[str]
    planned: Policy
    outcomes: Sequence[PolicyOutcome]
    waves: WaveSimulation | None
    notes: Sequence[str]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def simulate_campaign(
    design: ExperimentDesign,
    assumed: Assumed,
    *,
    rng: np.random.Generator,
    runs: int | None = None,
    policies: Collection[Policy] = POLICIES,
    seconds: float | None = None,
    progress: Progress | None = None,
    fields: tuple[str, str] = ("", "--"),
) -> BanditSimulation:
    """Run the design under every policy, or under some; all of them begin with the same random numbers, so that asking for them one by one gives the same.

    runs: None takes what is usual, or what fits into half of `seconds`. seconds: processor time that all policies may take, by `seconds_of_a_run`; more is refused.
    progress: called with (runs done, of all policies together). fields: what stands before the path of the campaign, and before the name of an assumption, in errors.
    Raises Invalid when the metric is of no kind that a bandit can follow, or what is assumed is missing, unknown, impossible or too much.
    """
    key, definition = _objective(design, fields[0])
    interval = getattr(design.allocation, "interval", timedelta(days=1))
    written = Written(fields[1])
    made = world_of(design, definition, assumed, interval=interval, written=written)
    world, rates = made.world, made.rates
    sizes = sizes_of(design, int(world.arrivals.sum()))
    in_waves = sizes is not None and not is_too_much(world, len(sizes))
    waves = len(sizes) if sizes is not None and in_waves else 0
    runs = _affordable(world, waves, runs, seconds, written)
    asked = [policy for policy in POLICIES if policy in policies]
    bandits = [policy for policy in BANDITS if policy in policies]
    total = runs * (len(asked) + (len(bandits) if waves else 0))
    shares = np.array([design.shares[variant.key] for variant in design.variants])
    judged = judged_of(design, expected=int(world.arrivals.sum()), is_share=definition.is_share)
    control = list(rates).index(design.control.key)
    outcomes = []
    seed = rng.integers(2**63)
    for number, policy in enumerate(asked):
        found = simulate_bandit(
            world,
            policy_of(design, policy, world),
            shares=shares,
            runs=runs,
            rng=np.random.default_rng(seed),
            alpha=design.plan.alpha,
            planned_n=math.ceil(2 * world.arrivals.sum() / len(shares)),
            judged=judged,
            control=control,
            progress=None if progress is None else further(progress, number * runs, total),
        )
        outcomes.append(_outcome(policy, found, world, list(rates), control))
    broadcast = None
    if sizes is not None and in_waves:
        broadcast = simulate_broadcast(
            design,
            world,
            [policy_of(design, policy, world) for policy in bandits],
            sizes,
            is_share=definition.is_share,
            runs=runs,
            rng=np.random.default_rng(seed),
            progress=None if progress is None else further(progress, len(asked) * runs, total),
        )
    return BanditSimulation(
        experiment=design.key,
        metric=key,
        direction=definition.direction,
        interval=format_duration(interval),
        intervals=assumed.intervals,
        users=int(world.arrivals.sum()),
        window_intervals=world.delays.shape[1],
        runs=runs,
        unit="money" if world.price else "conversions" if definition.is_share else key,
        rates=rates,
        values=made.values,
        worth=dict(zip(rates, _worth(world), strict=True)),
        best=[name for name, best in zip(rates, world.best, strict=True) if best],
        planned=design.allocation.policy,
        outcomes=outcomes,
        waves=broadcast,
        notes=[
            *_of_world(world, list(rates), design.plan.alpha),
            # What is so under every policy cannot be known from some.
            *(_of_outcomes(world, outcomes) if len(asked) == len(POLICIES) else []),
            *_of_reports(design, key),
            *_of_waves(sizes, broadcast),
        ],
    )


def _affordable(world: World, waves: int, runs: int | None, seconds: float | None, written: Written) -> int:
    if seconds is None:
        return USUAL if runs is None else runs
    most = int(seconds / (REPORTS * seconds_of_a_run(world, waves)))
    if most < FEWEST:
        words = "so many arms and intervals are too much to simulate here; take fewer intervals, or `touchstone simulate`"
        raise Invalid(words, field=written.name("intervals"))
    if runs is not None and runs > most:
        raise Invalid(f"{runs} runs of this campaign take too long; at most {most} go", field="runs")
    # Rounded down, so that the number does not look like more than it is.
    usual = max(min(USUAL, most // 2) // 10 * 10, FEWEST)
    return usual if runs is None else runs


def _objective(design: ExperimentDesign, prefix: str) -> tuple[str, MetricDefinition]:
    primary = next(use.key for use in design.metrics if use.role == MetricRole.PRIMARY)
    key = getattr(design.allocation, "metric", None) or primary
    definition = design.metric_definitions()[key]
    if definition.kind not in (*SHARE_KINDS, *OBJECTIVES):
        raise Invalid(
            f"{key!r} is of kind {definition.kind}; a simulation draws numbers of users, so name a metric of kind {', '.join(OBJECTIVES)} as allocation.metric",
            field=f"{prefix}allocation.metric",
        )
    if any(part.message is not None for part in definition.quantities.values()) and not definition.is_share:
        raise Invalid(
            f"{key!r} comes of messages; name a metric of what users do as allocation.metric, and prices as allocation.cost",
            field=f"{prefix}allocation.metric",
        )
    return key, definition


def _worth(world: World) -> list[float]:
    undrifted = replace(world, drift=np.ones_like(world.drift)).worth[0]
    return [float(each) for each in (undrifted if world.maximise or world.price else -undrifted)]


def _outcome(
    policy: Policy, found: BanditRuns, world: World, arms: Sequence[str], control: int
) -> PolicyOutcome:
    best = world.best
    decided, reported = found.winner >= 0, found.reported > 0
    ships, no_better = reported & (found.shipped != control), no_better_than(control, world)
    moved = found.moved > 0
    return PolicyOutcome(
        policy=policy,
        regret=float(found.regret.mean()),
        regret_error=float(found.regret.std() / math.sqrt(len(found.regret))),
        sends=dict(zip(arms, found.sends.mean(axis=0).tolist(), strict=True)),
        best_share=float(found.got_best.sum() / max(found.sends.sum(), 1)),
        decided=float(decided.mean()),
        # Where several arms are the best, whichever is called ahead of them all is a false one.
        wrong_winner=float((decided & (~best[found.winner] | bool(best.sum() > 1))).mean()),
        wrong_favourite=0.0 if best.all() else float((~best[found.favourite] | (found.favourite < 0)).mean()),
        intervals_to_decision=float(np.median(found.decided[decided])) if decided.any() else None,
        report_ships=float(ships.mean()),
        report_ships_wrong=float((ships & (~best | no_better)[found.shipped]).mean()),
        report_keeps=float((reported & ~ships).mean()),
        intervals_to_report=float(np.median(found.reported[reported])) if reported.any() else None,
        moved=float(np.median(found.moved[moved])) if moved.any() else None,
    )


def _of_world(world: World, arms: Sequence[str], alpha: float) -> list[str]:
    notes = []
    tied = [arm for arm, best in zip(arms, world.best, strict=True) if best]
    if len(tied) == len(arms):
        notes.append(
            "all arms are alike in this world, so there is nothing to find and nothing to regret: none should win, and what was checked is how often "
            f"one is declared the best by mistake (at most in {100 * alpha:.3g} % of campaigns)"
        )
    elif len(tied) > 1:
        notes.append(
            f"{' and '.join(tied)} are alike in this world, so none of them should win, however many users come: a winner is declared by mistake, or of a worse arm"
        )
    others = [arm for k, arm in enumerate(arms) if not world.best[k] and world.best_of_moment[:, k].any()]
    if others:
        on_the_way = " and ".join(others)
        notes.append(
            f"with this drift {on_the_way} is the best for a while, and {' and '.join(tied)} for everybody: what is lost, and who got the best arm, is told by the best of each moment; winners by the best for everybody"
        )
    return notes


def _of_outcomes(world: World, outcomes: Sequence[PolicyOutcome]) -> list[str]:
    notes = []
    if all(outcome.moved is None for outcome in outcomes if outcome.policy != "fixed"):
        notes.append(
            "no bandit ever moved traffic: too few users or conversions, or too few intervals after the first window has closed"
        )
    # Where arms tie, no number of users tells them apart.
    # Where reports decide all the same, an arm may have too few conversions to be compared with however many users.
    undecided = all(each.decided == 0 and each.report_ships + each.report_keeps < 0.5 for each in outcomes)
    if world.best.sum() == 1 and undecided:
        notes.append("no run ended with a declared winner: more users or intervals are needed to know")
    return notes


def _of_reports(design: ExperimentDesign, metric: str) -> list[str]:
    primary = next(use.key for use in design.metrics if use.role == MetricRole.PRIMARY)
    if metric == primary:
        return []
    return [
        f"traffic follows {metric}, and reports decide by {primary}: here it is taken for both when they decide, and when waves are shipped or ended"
    ]


def _of_waves(sizes: Sequence[int] | None, made: WaveSimulation | None) -> list[str]:
    if sizes is None or made is not None:
        return []
    return [f"{len(sizes)} waves over so long a window are too many to play; nothing is said of them"]
