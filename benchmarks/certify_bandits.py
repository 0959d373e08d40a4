"""Bandits: traffic to the winner although it is slow, regret against another library's Thompson sampling, and no false winners."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

import numpy as np
from scipy import stats

from analysis.stats.allocation import AllocationPolicy
from analysis.stats.simulated_bandit import BanditRuns, simulate_bandit
from analysis.stats.simulated_world import World
from benchmarks.claims import (
    ALPHA,
    CHANCE,
    Claim,
    Findings,
    Size,
    at_most,
    error_claim,
    percent,
    standard_error,
)
from benchmarks.simulation import Floats

TOPIC: Final = "bandits"
INTERVALS: Final = 30
THOMPSON: Final = AllocationPolicy(policy="thompson")
BARE: Final = AllocationPolicy(policy="thompson", floor=0.0, burn_in_users=0, burn_in_conversions=0)
"""As the other library has neither a floor nor a burn-in."""
PRICE: Final = (
    "Arms are compared within epochs, so that a base rate that moves favours nobody; what the epochs say together when it does not move is given away. "
    "That is the whole of the miss: with the epochs added up, which no campaign is run with because a drift would bend it, the same code loses {pooled}, "
    "which is the other library's figure. See decision 0050."
)
EQUAL: Final[tuple[tuple[int, Literal["thompson", "top_two"]], ...]] = (
    (2, "thompson"),
    (2, "top_two"),
    (3, "thompson"),
    (3, "top_two"),
    (5, "thompson"),
)
"""Arms and policies of the worlds without a best arm."""
ALIKE: Final = (
    'Arms that are equally late are bent alike by "not yet", so that there is little to correct; and nothing moves here until ten conversions come from users whose '
    "whole window has passed, for nobody can know before whether they are alike. See decision 0050."
)
STATIONARY: Final = (
    ((0.05, 0.055), 200),
    ((0.05, 0.065), 200),
    ((0.05, 0.1), 200),
    ((0.05, 0.065), 1000),
    ((0.05, 0.055, 0.06, 0.065), 200),
    (tuple(np.linspace(0.05, 0.08, 10).tolist()), 500),
)
"""Rates of the arms, and users in each of the epochs: gaps small and large, few arms and many."""
DRIFTING: Final = (("doubling", (1.0, 2.0)), ("halving", (2.0, 1.0)))
LATE: Final = (
    ("better arm slower by 4 epochs", 200),
    ("better arm slower by 4 epochs", 1000),
    ("both as late, within 8 epochs", 200),
)
STEPS: Final = (2, len(STATIONARY) + len(DRIFTING) + len(LATE), len(EQUAL))
Advance = Callable[[], None]


def late(window: int, *, after: int = 0, mean: float = 0.7) -> Floats:
    """Chances of the delays: exponential with this mean after a number of intervals in which nothing happens, all within the window."""
    edges = np.maximum(np.arange(window + 1) - after, 0)
    grown = 1 - np.exp(-edges / mean)
    return np.asarray(np.diff(grown) / grown[-1])


def slow_winner(users: int) -> World:
    """5 % against 6.5 %; conversions of the better arm come 4 epochs later."""
    return World(
        rates=np.array([0.05, 0.065]),
        delays=np.stack([late(8), late(8, after=4)]),
        arrivals=np.full(INTERVALS, users),
        drift=np.ones(INTERVALS),
    )


def delayed(size: Size, seed: int, findings: Findings, advance: Advance) -> None:
    for corrected in (True, False):
        runs = max(size.runs // (8 if corrected else 40), 250)
        found = simulate_bandit(
            slow_winner(1000),
            THOMPSON,
            shares=np.full(2, 0.5),
            runs=runs,
            rng=np.random.default_rng([seed, 60, int(corrected)]),
            delays_known=corrected,
        )
        findings.claims += _of_the_slow_winner(found, runs, corrected=corrected)
        advance()


def _of_the_slow_winner(found: BanditRuns, runs: int, *, corrected: bool) -> list[Claim]:
    shares = found.sends[:, 1] / found.sends.sum(axis=1)
    share, error = float(shares.mean()), float(shares.std() / np.sqrt(runs))
    wrong = float((found.favourite != 1).mean())
    world = "5 % against 6.5 %, the better arm slower by 4 epochs, 1,000 users in each of 30 epochs"
    if not corrected:
        return [
            Claim(
                topic=TOPIC,
                claim='the same when "not yet" is taken for "did not"',
                bar="none (for comparison)",
                obtained=f"{percent(share, 1)} of the traffic",
                error=percent(error, 1),
                runs=f"{runs:,}",
                met=None,
            )
        ]
    return [
        Claim(
            topic=TOPIC,
            claim=f"delayed winner ({world}), delays estimated: traffic to the best arm, from the first epoch on",
            bar=">= 75 %",
            obtained=percent(share, 1),
            error=percent(error, 1),
            runs=f"{runs:,}",
            met=share >= 0.75,
        ),
        Claim(
            topic=TOPIC,
            claim="delayed winner: wrong favourite at the end",
            bar="<= 2 %",
            obtained=percent(wrong),
            error=percent(standard_error(wrong, runs)),
            runs=f"{runs:,}",
            met=wrong <= at_most(0.02, runs),
        ),
    ]


def regret(size: Size, seed: int, findings: Findings, advance: Advance) -> None:
    """Ours and MABWiser's Thompson sampling: told at the end of each of 30 epochs, even shares in the first."""
    for number, (rates, users) in enumerate(STATIONARY):
        world = world_of(rates, users)
        label = (
            f"{len(rates)} arms ({percent(rates[0], 1)} .. {percent(rates[-1], 1)}), {users:,} users an epoch"
        )
        findings.claims.append(_stationary(label, world, size, [seed, 61, number]))
        advance()
    for number, (name, (first, last)) in enumerate(DRIFTING):
        world = world_of((0.05, 0.065), 200, np.linspace(first, last, INTERVALS))
        label = f"2 arms (5 % and 6.5 %), 200 users an epoch, base rate {name}"
        findings.claims.append(_drifting(label, world, size, [seed, 62, number]))
        advance()
    for number, (words, users) in enumerate(LATE):
        world = slow_winner(users)
        if words.startswith("both"):
            world = replace(world, delays=np.tile(late(8), (2, 1)))
        label = f"2 arms (5 % and 6.5 %), {users:,} users an epoch, {words}"
        claim = _late(label, world, size, [seed, 64, number])
        alike = bool((world.delays[0] == world.delays[1]).all())
        findings.claims.append(replace(claim, explained="" if claim.met or not alike else ALIKE))
        advance()


def world_of(rates: Sequence[float], users: int, drift: Floats | None = None) -> World:
    """Conversions are known at the end of their epoch."""
    return World(
        rates=np.array(rates),
        delays=np.zeros((len(rates), 0)),
        arrivals=np.full(INTERVALS, users),
        drift=np.ones(INTERVALS) if drift is None else drift,
    )


def _runs(world: World, size: Size) -> int:
    """Ten arms cost us fifty times what two cost; a thousand users an epoch cost the other library five times what 200 do."""
    arms, crowded = len(world.rates), int(world.arrivals[0]) >= 1000
    return max(size.runs // (400 if arms >= 10 else 80 if crowded or arms > 2 else 50), 40)


@dataclass(frozen=True, slots=True)
class _Lost:
    """Conversions lost, a number for each run."""

    each: Floats

    @property
    def mean(self) -> float:
        return float(self.each.mean())

    @property
    def error(self) -> float:
        return float(self.each.std(ddof=1) / np.sqrt(len(self.each)))

    def __str__(self) -> str:
        return f"{self.mean:.1f} +- {self.error:.1f}"

    def beyond(self, other: "_Lost") -> float:
        """By how many standard errors this is more."""
        return (self.mean - other.mean) / float(np.hypot(self.error, other.error))


def _ours(
    world: World, policy: AllocationPolicy, size: Size, seed: Sequence[int], *, apart: bool = True
) -> _Lost:
    shares = np.full(len(world.rates), 1 / len(world.rates))
    rng = np.random.default_rng([*seed, 1])
    return _Lost(
        simulate_bandit(
            world, policy, shares=shares, runs=_runs(world, size), rng=rng, epochs_apart=apart
        ).regret
    )


def _theirs(world: World, size: Size, seed: Sequence[int], policy: AllocationPolicy = BARE) -> _Lost:
    return _Lost(
        regret_of_mabwiser(world, _runs(world, size), np.random.default_rng([*seed, 2]), policy=policy)
    )


def _stationary(label: str, world: World, size: Size, seed: Sequence[int]) -> Claim:
    ours, theirs = _ours(world, BARE, size, seed), _theirs(world, size, seed)
    pooled = _ours(world, BARE, size, seed, apart=False)
    as_shipped = _ours(world, THOMPSON, size, seed)
    allowed = float(stats.norm.isf(CHANCE / len(STATIONARY)))
    met = ours.beyond(theirs) <= allowed
    # The explanation is itself a claim: only where the epochs added up do lose no more than the other library, is that the cause.
    because = "" if met or pooled.beyond(theirs) > allowed else PRICE.format(pooled=pooled)
    return Claim(
        topic=TOPIC,
        claim=f"conversions lost in {int(world.arrivals.sum()):,} users, stationary: {label}; against MABWiser's Thompson sampling at the same cadence, "
        "both without floor and burn-in",
        bar=f"at most the same (by chance up to {allowed * float(np.hypot(ours.error, theirs.error)):.1f} more)",
        obtained=f"{ours.mean:.1f} against {theirs.mean:.1f} (epochs added up: {pooled.mean:.1f}; floor and burn-in as by default: {as_shipped.mean:.1f})",
        error=f"{ours.error:.1f} and {theirs.error:.1f}",
        runs=f"{_runs(world, size):,} each",
        met=met,
        explained=because,
    )


def _drifting(label: str, world: World, size: Size, seed: Sequence[int]) -> Claim:
    ours, theirs = _ours(world, BARE, size, seed), _theirs(world, size, seed)
    pooled = _ours(world, BARE, size, seed, apart=False)
    return Claim(
        topic=TOPIC,
        claim=f"conversions lost in {int(world.arrivals.sum()):,} users: {label}; against MABWiser's Thompson sampling",
        bar="none (for comparison)",
        obtained=f"{ours.mean:.1f} against {theirs.mean:.1f} (epochs added up: {pooled.mean:.1f})",
        error=f"{ours.error:.1f} and {theirs.error:.1f}",
        runs=f"{_runs(world, size):,} each",
        met=None,
    )


def _late(label: str, world: World, size: Size, seed: Sequence[int]) -> Claim:
    ours, theirs = _ours(world, THOMPSON, size, seed), _theirs(world, size, seed, THOMPSON)
    plain = _theirs(world, size, [*seed, 3])
    allowed = float(stats.norm.isf(CHANCE))
    met = ours.beyond(theirs) < -allowed
    return Claim(
        topic=TOPIC,
        claim=f"conversions lost in {int(world.arrivals.sum()):,} users: {label}; against MABWiser's Thompson sampling with the same floor and burn-in, "
        'for which "not yet" is "did not"',
        bar="below it",
        obtained=f"{ours.mean:.1f} against {theirs.mean:.1f} (MABWiser without floor and burn-in: {plain.mean:.1f})",
        error=f"{ours.error:.1f} and {theirs.error:.1f}",
        runs=f"{_runs(world, size):,} each",
        met=met,
    )


def regret_of_mabwiser(
    world: World, runs: int, rng: np.random.Generator, *, policy: AllocationPolicy = BARE
) -> Floats:
    """After each epoch it is told what every user so far has done; a floor is drawn evenly, and so is all until the burn-in of `policy` is over."""
    from mabwiser.mab import MAB, LearningPolicy

    arms, best = len(world.rates), world.rates.max()
    floored = arms * policy.floor
    bins = world.delays.shape[1]
    lost = np.zeros(runs)
    for run in range(runs):
        bandit = MAB(list(range(arms)), LearningPolicy.ThompsonSampling(), seed=int(rng.integers(2**31)))
        chosen, converts, ready = np.empty(0, dtype=np.int64), np.empty(0), False
        for now, users in enumerate(world.arrivals.tolist()):
            arm = rng.integers(arms, size=users)
            if ready:
                # A row for each user: it draws for each of them, and looks at nothing in the row.
                theirs = np.array(bandit.predict(np.zeros((users, 1))))
                arm = np.where(rng.random(users) < floored, arm, theirs)
            at = np.where(rng.random(users) < world.rates[arm] * world.drift[now], float(now), np.inf)
            for k in range(arms) if bins else ():
                who = (arm == k) & np.isfinite(at)
                # Delay 0 is the interval after the one of the assignment, as in the simulated worlds.
                at[who] += 1 + rng.choice(bins, size=int(who.sum()), p=world.delays[k])
            chosen, converts = np.concatenate([chosen, arm]), np.concatenate([converts, at])
            done = converts <= now
            bandit.fit(chosen, done.astype(np.int64))
            seen, sold = (np.bincount(each, minlength=arms).min() for each in (chosen, chosen[done]))
            ready = bool(seen >= policy.burn_in_users and sold >= policy.burn_in_conversions)
            lost[run] += ((best - world.rates[arm]) * world.drift[now]).sum()
    return lost


def false_winners(size: Size, seed: int, findings: Findings, advance: Advance) -> None:
    """Arms that are all alike, a base rate that doubles, and a look after every epoch: how often is one declared the best?"""
    for number, (arms, policy) in enumerate(EQUAL):
        runs = max(size.runs // {2: 8, 3: 12, 5: 40}[arms], 250)
        world = World(
            rates=np.full(arms, 0.05),
            delays=np.tile(late(3), (arms, 1)),
            arrivals=np.full(INTERVALS, 500 * arms),
            drift=np.linspace(1, 2, INTERVALS),
        )
        found = simulate_bandit(
            world,
            AllocationPolicy(policy=policy),
            shares=np.full(arms, 1 / arms),
            runs=runs,
            rng=np.random.default_rng([seed, 63, number]),
            alpha=ALPHA,
            planned_n=2 * 500 * INTERVALS,
        )
        share = float((found.winner >= 0).mean())
        findings.claims.append(
            error_claim(
                TOPIC,
                f"false winners: {arms} equal arms, {policy}, base rate doubling, a look after each of 30 epochs",
                share,
                runs=runs,
                cells=len(EQUAL),
                obtained=percent(share),
            )
        )
        advance()
