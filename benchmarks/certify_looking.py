"""Does a report hold that is looked at all the time while a bandit moves the traffic, and the base rate drifts by a factor of 2?"""

from functools import cache
from itertools import product
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import special

from analysis.stats import adaptive, adaptive_shares
from analysis.stats.adaptive_shares import Shares
from analysis.stats.eprocess import bet_size, log_e_by_epoch
from analysis.stats.proportions import SMALL_CELL
from analysis.stats.sequential import AlwaysValid, tightest_at
from analysis.stats.spending import spending_boundaries
from analysis.verdicts.compare import FEW_CONVERSIONS
from benchmarks.bandit_worlds import Sums, Worlds, play
from benchmarks.certify_adaptive import ARMS, DRIFTS, POLICIES, TOPIC, Advance, Cell, arm_of, shares_of
from benchmarks.claims import ALPHA, Claim, Findings, Grid, Size, at_most, percent, standard_error
from benchmarks.simulation import Floats

LOOKING: Final = ((10, 1000), (14, 300))
"""Epochs, and users who come in each of them."""
PARTS: Final = 5
CLOCK: Final = (
    "Not the bandit: with even shares the same looks err in {even}. Information is counted in users, and a base rate that doubles while everybody looks makes late users say "
    "more than early ones: the early looks are then less alike to the last than the boundary takes them for. See decision 0050."
)


def peeking(size: Size, seed: int, findings: Findings, advance: Advance) -> None:
    """No effect, a look after every fifth of an epoch: how often does a report ever call any arm significant?"""
    arms_told = ARMS if size.name == "full" else (2, 5)
    for number, (epochs, users) in enumerate(LOOKING):
        rates: dict[str, dict[tuple[int, str, str], tuple[float, float]]] = {
            "spending": {},
            "always_valid": {},
        }
        for which, (arms, policy, drift) in enumerate(product(arms_told, POLICIES[:2], DRIFTS[:2])):
            cell = Cell(arms, drift, policy, epochs, users, "no effect")
            worlds = play(
                np.random.default_rng([seed, 42, number, arms, which]),
                worlds=_looked_at("spending", arms, size),
                rates=cell.rates(),
                users=users,
                policy=policy,
                parts=PARTS,
            )
            for method, found in rates.items():
                looked_at = worlds.first(_looked_at(method, arms, size))
                found[arms, policy, drift] = ever_significant(looked_at, method, arms)
        even = _with_even_shares(np.random.default_rng([seed, 43, number]), epochs, users, size)
        for method, found in rates.items():
            findings.claims.append(_of_looks(method, found, even[method], epochs, users, size))
            findings.grids.append(
                Grid(
                    title=f"False alarms during a bandit: {method}, {epochs} epochs of {users} users",
                    corner="arms, policy, base rate",
                    columns=("any arm ever significant", "as a winner over the control", "runs"),
                    rows=[
                        (
                            f"{arms} arms, {policy}, {drift}",
                            (percent(share), percent(winner), f"{_looked_at(method, arms, size):,}"),
                        )
                        for (arms, policy, drift), (share, winner) in found.items()
                    ],
                )
            )
        advance()


def _looked_at(method: str, arms: int, size: Size) -> int:
    """Fewer for `always_valid`, whose e-processes take most of the time, and whose errors lie far below the bar."""
    return size.runs // ((4 if arms < 10 else 20) * (1 if method == "spending" else 2))


def _with_even_shares(rng: np.random.Generator, epochs: int, users: int, size: Size) -> dict[str, float]:
    """The same looks at two arms that nobody moved traffic between, while the base rate doubles: what the drift does by itself."""
    cell = Cell(2, "up", "even", epochs, users, "no effect")
    worlds = play(rng, worlds=size.runs, rates=cell.rates(), users=users, policy="even", parts=PARTS)
    return {
        method: ever_significant(worlds.first(_looked_at(method, 2, size) * 4), method, 2)[0]
        for method in ("spending", "always_valid")
    }


def _of_looks(
    method: str,
    rates: dict[tuple[int, str, str], tuple[float, float]],
    even: float,
    epochs: int,
    users: int,
    size: Size,
) -> Claim:
    # The cell that is furthest beyond what its own number of runs may show by chance.
    def beyond(cell: tuple[int, str, str]) -> float:
        return rates[cell][0] - at_most(ALPHA, _looked_at(method, cell[0], size), len(rates))

    worst = max(rates, key=beyond)
    runs = _looked_at(method, worst[0], size)
    share, winner = rates[worst]
    met = beyond(worst) <= 0
    # Only of a base rate that rises, and only while no bandit is worse than even shares are, is the clock the cause.
    clock = worst[2] == "up" and share <= at_most(even, runs, len(rates))
    return Claim(
        topic=TOPIC,
        claim=f"{method}, {epochs * PARTS} looks at {epochs} epochs of {users} users, base rate drifting by 2x: any arm ever "
        f"called significant without an effect, in every one of {len(rates)} cells",
        bar=f"<= 5 % (by chance up to {percent(at_most(ALPHA, runs, len(rates)))})",
        obtained=f"worst {percent(share)} ({worst[0]} arms, {worst[1]}, base {worst[2]}), as a winner {percent(winner)}; "
        f"for comparison, 2 arms with even shares, base up: {percent(even)} ({4 * _looked_at(method, 2, size):,} runs)",
        error=percent(standard_error(share, runs)),
        runs=f"{runs:,} in this cell",
        met=met,
        explained=CLOCK.format(even=percent(even)) if not met and clock else "",
    )


def ever_significant(worlds: Worlds, method: str, arms: int) -> tuple[float, float]:
    """The shares of worlds with a significant effect at some look, and with a significant winner (Holm: the first step)."""
    count, epochs, parts, _ = worlds.n.shape
    planned = int(worlds.n[0].sum())
    any_, wins = np.zeros(count, dtype=bool), np.zeros(count, dtype=bool)
    level, looks = ALPHA / (arms - 1), epochs * parts
    bounds = _bounds(method, looks, planned, level)
    for look in range(looks):
        sums = worlds.until(look // parts, look % parts)
        bound = bounds[look]
        for k in range(1, arms):
            shares = shares_of(sums, k)
            told = shares.reason() == 0
            exact = _exact(method, sums, shares, k)
            hit = told & ~exact & (adaptive_shares.p_values(shares) < bound)
            if (told & exact).any():
                chosen = told & exact
                hit[chosen] = _e_process(sums, k, chosen, planned) < level
            any_ |= hit
            wins |= hit & (shares.estimate > 0)
    return float(any_.mean()), float(wins.mean())


@cache
def _bounds(method: str, looks: int, planned: int, level: float) -> tuple[float, ...]:
    """What one comparison at `level` may claim at each of evenly spaced looks, as `by_epoch` asks its rules."""
    if method == "spending":
        found = spending_boundaries([(each + 1) / looks for each in range(looks)], level)
        return tuple(float(2 * special.ndtr(-bound)) for bound in found)
    rho = tightest_at(planned, ALPHA)
    return tuple(AlwaysValid(n=planned * (look + 1) // looks, rho=rho).level(level) for look in range(looks))


def _exact(method: str, sums: Sums, shares: Shares, k: int) -> NDArray[np.bool_]:
    """Which worlds are compared by the e-process, as `by_epoch` chooses."""
    n = [each.sum(axis=-1) for each in (shares.n_c, shares.n_t)]
    x = [each.sum(axis=-1) for each in (shares.x_c, shares.x_t)]
    rate = (x[0] + x[1]) / np.maximum(n[0] + n[1], 1)
    left = np.minimum(*adaptive.worth(sums.users, arm_of(sums, 0), arm_of(sums, k)))
    small: NDArray[np.bool_] = left * np.minimum(rate, 1 - rate) < SMALL_CELL
    if method == "always_valid":
        fewest = np.min([np.minimum(a, b - a) for a, b in zip(x, n, strict=True)], axis=0)
        small = small | (fewest < FEW_CONVERSIONS)
    return small


def _e_process(sums: Sums, k: int, chosen: NDArray[np.bool_], planned: int) -> Floats:
    counts = [
        each[chosen] for each in (sums.n[..., 0], sums.total[..., 0], sums.n[..., k], sums.total[..., k])
    ]
    pair = sums.propensity[chosen][..., [0, k]]
    share = pair[..., 1] / pair.sum(axis=-1)
    size = bet_size(round(planned * float(pair[0, 0].sum())), ALPHA)
    zero = np.zeros(len(share))
    up = log_e_by_epoch(*counts, share=share, size=size, margin=zero)
    down = log_e_by_epoch(*counts[2:], *counts[:2], share=1 - share, size=size, margin=zero)
    return np.asarray(np.minimum(1.0, 2 * np.exp(-np.maximum(np.maximum(up, down), 0.0))))
