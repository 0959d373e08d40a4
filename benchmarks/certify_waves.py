"""Broadcasts in waves: how often somebody is messaged for nothing, and how often nobody although a variant is better."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from analysis.stats.allocation import AllocationPolicy
from analysis.stats.simulated_reports import Judged
from analysis.stats.simulated_waves import End, WaveRuns, simulate_waves
from analysis.stats.simulated_world import World
from benchmarks.certify_bandits import TOPIC, late
from benchmarks.claims import ALPHA, Claim, Findings, Grid, Size, error_claim, percent, standard_error

WAVES: Final = 10
AUDIENCE: Final = 20_000
Advance = Callable[[], None]


@dataclass(frozen=True, slots=True)
class _Case:
    """Rates of the control and of the others."""

    rates: tuple[float, ...]
    policy: Literal["thompson", "top_two"]

    @property
    def words(self) -> str:
        others = ", ".join(percent(rate) for rate in self.rates[1:])
        return f"control {percent(self.rates[0])}, others {others}, {self.policy}"


ALIKE: Final = tuple(
    _Case(rates, policy) for rates in ((0.05, 0.05), (0.05, 0.05, 0.05)) for policy in ("thompson", "top_two")
)
BETTER: Final = tuple(
    _Case(rates, policy)
    for rates in ((0.05, 0.0525), (0.05, 0.055), (0.05, 0.06), (0.05, 0.065), (0.05, 0.05, 0.06))
    for policy in ("thompson", "top_two")
)
WORSE: Final = tuple(_Case((0.05, 0.045), policy) for policy in ("thompson", "top_two"))
STEPS: Final = len(ALIKE) + len(BETTER) + len(WORSE)


def waves(size: Size, seed: int, findings: Findings, advance: Advance) -> None:
    """20,000 users in ten waves a day apart, orders within three days counted, `spending`: what became of the rest of the audience."""
    rows = []
    # A quick run is a look at the rules, not at a rate of one in a hundred.
    runs = max(size.runs // 10, 250)
    for number, case in enumerate((*ALIKE, *BETTER, *WORSE)):
        found = _played(case, runs, [seed, 65, number])
        shares = {end: float((found.end == end).mean()) for end in End}
        rows.append((case.words, tuple(percent(shares[end]) for end in (End.SHIPPED, End.WORSE, End.NOTHING_BETTER, End.ALL_OUT))))  # fmt: skip
        if case in ALIKE:
            findings.claims.append(_for_nothing(case, shares, runs))
        elif case in BETTER:
            findings.claims.append(_for_nobody(case, shares, runs))
        advance()
    findings.grids.append(
        Grid(
            title=f"Broadcasts of {AUDIENCE:,} users in {WAVES} waves: what the rest of the audience got",
            corner="share of users who buy, policy",
            columns=(
                "a winner, by the report",
                "the control, by the report",
                "the control, before the last wave",
                "every wave went out",
            ),
            rows=rows,
        )
    )


def _played(case: _Case, runs: int, seed: list[int]) -> WaveRuns:
    arms = len(case.rates)
    return simulate_waves(
        World(
            rates=np.array(case.rates),
            delays=np.tile(late(3), (arms, 1)),
            arrivals=np.full(WAVES, AUDIENCE // WAVES),
            drift=np.ones(WAVES),
        ),
        AllocationPolicy(policy=case.policy),
        shares=np.full(arms, 1 / arms),
        control=0,
        judged=Judged(
            method="spending",
            alpha=ALPHA,
            expected=AUDIENCE,
            least_users=100,
            is_share=True,
            planned=AUDIENCE,
        ),
        runs=runs,
        rng=np.random.default_rng(seed),
    )


def _for_nothing(case: _Case, shares: dict[End, float], runs: int) -> Claim:
    wrong = shares[End.SHIPPED]
    return error_claim(
        TOPIC,
        f"broadcast in {WAVES} waves, nothing better than the control ({case.words}): the rest gets a variant all the same",
        wrong,
        runs=runs,
        cells=len(ALIKE),
        obtained=f"{percent(wrong)} (nobody more is messaged in {percent(shares[End.WORSE] + shares[End.NOTHING_BETTER], 1)}, every wave went out in {percent(shares[End.ALL_OUT], 1)})",
    )


def _for_nobody(case: _Case, shares: dict[End, float], runs: int) -> Claim:
    wrong = shares[End.WORSE] + shares[End.NOTHING_BETTER]
    return Claim(
        topic=TOPIC,
        claim=f"broadcast in {WAVES} waves, a variant is better ({case.words}): the last wave, or more, gets the control all the same",
        bar="none (a choice between probabilities)",
        obtained=f"{percent(wrong, 1)} (a winner for the rest in {percent(shares[End.SHIPPED], 1)})",
        error=percent(standard_error(wrong, runs)),
        runs=f"{runs:,}",
        met=None,
    )
