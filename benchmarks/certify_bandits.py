"""Bandits: traffic to the winner although it is slow, regret against another library's Thompson sampling, and no false winners."""

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
from scipy import stats

from analysis.stats.allocation import AllocationPolicy
from analysis.stats.simulated_bandit import BanditRuns, World, simulate_bandit
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
RATES: Final = ((0.05, 0.065), (0.05, 0.055, 0.06, 0.065))
EQUAL: Final = ((2, "thompson"), (2, "top_two"), (3, "thompson"), (3, "top_two"), (5, "thompson"))
"""Arms and policies of the worlds without a best arm."""
STEPS: Final = (2, len(RATES) + 1, len(EQUAL))
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
    runs = max(size.runs // 4, 500)
    for corrected in (True, False):
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
    """Ours and MABWiser's, 200 users in each of 30 epochs, told at the end of each."""
    users, runs = 200, max(size.runs // 20, 100)
    for number, rates in enumerate(RATES):
        world = World(
            rates=np.array(rates),
            delays=np.zeros((len(rates), 0)),
            arrivals=np.full(INTERVALS, users),
            drift=np.ones(INTERVALS),
        )
        label = f"regret on a stationary world of {len(rates)} arms ({percent(rates[0], 1)} .. {percent(rates[-1], 1)})"
        findings.claims.append(_compared(label, world, BARE, runs, [seed, 61, number], below=False))
        advance()
    label = "regret when the better arm is slower by 4 epochs, with floor and burn-in"
    findings.claims.append(_compared(label, slow_winner(users), THOMPSON, runs, [seed, 62], below=True))
    advance()


def _compared(
    label: str, world: World, policy: AllocationPolicy, runs: int, seed: Sequence[int], *, below: bool
) -> Claim:
    shares = np.full(len(world.rates), 1 / len(world.rates))
    ours = simulate_bandit(
        world, policy, shares=shares, runs=4 * runs, rng=np.random.default_rng([*seed, 1])
    ).regret
    theirs = regret_of_mabwiser(world, runs, np.random.default_rng([*seed, 2]))
    gap = float(ours.mean() - theirs.mean())
    error = float(np.hypot(ours.std() / np.sqrt(len(ours)), theirs.std() / np.sqrt(runs)))
    allowed = float(stats.norm.isf(CHANCE)) * error
    return Claim(
        topic=TOPIC,
        claim=f"{label}, conversions lost in {int(world.arrivals.sum()):,} users, against MABWiser's Thompson sampling",
        bar="below it" if below else f"at most the same (by chance up to {allowed:.1f} more)",
        obtained=f"{ours.mean():.1f} against {theirs.mean():.1f}",
        error=f"{error:.1f}",
        runs=f"{4 * runs:,} and {runs:,}",
        met=gap < -allowed if below else gap <= allowed,
    )


def regret_of_mabwiser(world: World, runs: int, rng: np.random.Generator) -> Floats:
    """Users are drawn one by one; after each epoch it is told what every user has done so far. The first epoch is even, as is ours."""
    from mabwiser.mab import MAB, LearningPolicy

    arms, best = len(world.rates), world.rates.max()
    lost = np.zeros(runs)
    for run in range(runs):
        bandit = MAB(list(range(arms)), LearningPolicy.ThompsonSampling(), seed=int(rng.integers(2**31)))
        chosen, converts = np.empty(0, dtype=np.int64), np.empty(0)
        for now, users in enumerate(world.arrivals.tolist()):
            arm = (
                np.array([bandit.predict() for _ in range(users)]) if now else rng.integers(arms, size=users)
            )
            at = np.where(rng.random(users) < world.rates[arm], float(now), np.inf)
            for k in range(arms) if world.delays.shape[1] else ():
                who = (arm == k) & np.isfinite(at)
                # Delay 0 is the interval after the one of the assignment, as in the simulated worlds.
                at[who] += 1 + rng.choice(world.delays.shape[1], size=int(who.sum()), p=world.delays[k])
            chosen, converts = np.concatenate([chosen, arm]), np.concatenate([converts, at])
            bandit.fit(chosen, (converts <= now).astype(np.int64))
        lost[run] = (best - world.rates[chosen]).sum()
    return lost


def false_winners(size: Size, seed: int, findings: Findings, advance: Advance) -> None:
    """Arms that are all alike, a base rate that doubles, and a look after every epoch: how often is one declared the best?"""
    for number, (arms, policy) in enumerate(EQUAL):
        runs = max(size.runs // (4 if arms < 5 else 20), 500)
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
