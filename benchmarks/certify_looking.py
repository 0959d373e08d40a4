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
from analysis.stats.variance_clock import VarianceClock
from analysis.verdicts.compare import FEW_CONVERSIONS
from benchmarks.bandit_worlds import Sums, Worlds, play
from benchmarks.certify_adaptive import ARMS, DRIFTS, POLICIES, TOPIC, Advance, Cell, arm_of, shares_of
from benchmarks.claims import ALPHA, Claim, Findings, Grid, Size, at_most, percent, standard_error
from benchmarks.simulation import Floats
from benchmarks.variance_bounds import Hits, beyond, own_bound, typical_bounds

LOOKING: Final = ((14, 1000, 1), (10, 1000, 5), (14, 300, 5))
"""Epochs, users who come in each of them, and looks at each of them."""
EVEN: Final = (2, 3)
"""Arms of the cells in which nobody moves traffic: what the drift does by itself."""
METHODS: Final = ("spending", "always_valid")


def peeking(size: Size, seed: int, findings: Findings, advance: Advance) -> None:
    """No effect, a look after every part of an epoch: how often does a report ever call any arm significant?"""
    arms_told = ARMS if size.name == "full" else (2, 5)
    for number, (epochs, users, parts) in enumerate(LOOKING):
        rates: dict[str, dict[tuple[int, str, str], tuple[float, float]]] = {each: {} for each in METHODS}
        for which, (arms, policy, drift) in enumerate(product(arms_told, POLICIES[:2], DRIFTS[:2])):
            cell = Cell(arms, drift, policy, epochs, users, "no effect")
            worlds = play(
                np.random.default_rng([seed, 42, number, arms, which]),
                worlds=_looked_at("spending", arms, size),
                rates=cell.rates(),
                users=users,
                policy=policy,
                parts=parts,
            )
            for method, found in rates.items():
                looked_at = worlds.first(_looked_at(method, arms, size))
                found[arms, policy, drift] = ever_significant(looked_at, method, cell)
        for method, found in rates.items():
            findings.claims.append(_of_looks(method, found, epochs, users, parts, size))
            findings.grids.append(
                Grid(
                    title=f"False alarms during a bandit: {method}, {epochs * parts} looks at {epochs} epochs of {users} users",
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
        _with_even_shares([seed, 43, number], epochs, users, parts, size, findings)
        advance()


def _looked_at(method: str, arms: int, size: Size) -> int:
    """Fewer for `always_valid`, whose e-processes take most of the time, and whose errors lie far below the bar."""
    return size.runs // ((4 if arms < 10 else 20) * (1 if method == "spending" else 2))


def _with_even_shares(
    seed: list[int], epochs: int, users: int, parts: int, size: Size, findings: Findings
) -> None:
    """The same looks by `spending` where nobody moves traffic: what the drift does by itself, with all the runs there are."""
    found: dict[tuple[int, str], tuple[float, float]] = {}
    for arms, drift in product(EVEN, DRIFTS[:2]):
        cell = Cell(arms, drift, "even", epochs, users, "no effect")
        rng = np.random.default_rng([*seed, arms, DRIFTS.index(drift)])
        worlds = play(rng, worlds=size.runs, rates=cell.rates(), users=users, policy="even", parts=parts)
        found[arms, drift] = (
            ever_significant(worlds, "spending", cell)[0],
            ever_significant(worlds, "spending", cell, users_clock=True)[0],
        )
    worst = max(found, key=lambda cell: found[cell][0])
    share, limit = found[worst][0], at_most(ALPHA, size.runs, len(found))
    findings.claims.append(
        Claim(
            topic=TOPIC,
            claim=f"spending, {epochs * parts} looks at {epochs} epochs of {users} users with even shares, base rate drifting by 2x: any arm "
            f"ever called significant without an effect, in every one of {len(found)} cells",
            bar=f"<= 5 % (by chance up to {percent(limit)})",
            obtained=f"worst {percent(share)} ({worst[0]} arms, base {worst[1]})",
            error=percent(standard_error(share, size.runs)),
            runs=f"{size.runs:,} a cell",
            met=share <= limit,
        )
    )
    findings.grids.append(
        Grid(
            title=f"False alarms with even shares: spending, {epochs * parts} looks at {epochs} epochs of {users} users, {size.runs:,} runs a cell",
            corner="arms, base rate",
            columns=(
                "looks as alike as their variances (what reports do)",
                "as their users (for comparison)",
            ),
            rows=[
                (f"{arms} arms, {drift}", tuple(percent(each) for each in shares))
                for (arms, drift), shares in found.items()
            ],
        )
    )


def _of_looks(
    method: str,
    rates: dict[tuple[int, str, str], tuple[float, float]],
    epochs: int,
    users: int,
    parts: int,
    size: Size,
) -> Claim:
    # The cell that is furthest beyond what its own number of runs may show by chance.
    def over(cell: tuple[int, str, str]) -> float:
        return rates[cell][0] - at_most(ALPHA, _looked_at(method, cell[0], size), len(rates))

    worst = max(rates, key=over)
    runs = _looked_at(method, worst[0], size)
    share, winner = rates[worst]
    return Claim(
        topic=TOPIC,
        claim=f"{method}, {epochs * parts} looks at {epochs} epochs of {users} users, base rate drifting by 2x: any arm ever "
        f"called significant without an effect, in every one of {len(rates)} cells",
        bar=f"<= 5 % (by chance up to {percent(at_most(ALPHA, runs, len(rates)))})",
        obtained=f"worst {percent(share)} ({worst[0]} arms, {worst[1]}, base {worst[2]}), as a winner {percent(winner)}",
        error=percent(standard_error(share, runs)),
        runs=f"{runs:,} in this cell",
        met=over(worst) <= 0,
    )


def ever_significant(
    worlds: Worlds, method: str, cell: Cell, *, users_clock: bool = False
) -> tuple[float, float]:
    """The shares of worlds with a significant effect at some look, and with a significant winner (Holm: the first step).

    users_clock: with looks as alike as their users, which no report does any more.
    """
    any_ = wins = np.zeros(len(worlds.n), dtype=bool)
    for look in range(worlds.n.shape[1] * worlds.n.shape[2]):
        hits, won = significant_at(worlds, look, method, cell, asked=~any_ | ~wins, users_clock=users_clock)
        any_, wins = any_ | hits, wins | won
    return float(any_.mean()), float(wins.mean())


def significant_at(
    worlds: Worlds, look: int, method: str, cell: Cell, *, asked: Hits, users_clock: bool = False
) -> tuple[Hits, Hits]:
    """Which worlds have a significant effect at this look (from 0), and a significant winner; only those that are `asked`."""
    _, epochs, parts, arms = worlds.n.shape
    planned, level, looks = int(worlds.n[0].sum()), ALPHA / (arms - 1), epochs * parts
    sums = worlds.until(look // parts, look % parts)
    fractions = [(each + 1) / looks for each in range(look + 1)]
    varies = 0.0 * cell.rates()[:, 0] + 1 if users_clock else cell.rates()[:, 0] * (1 - cell.rates()[:, 0])
    typical = _bounds(method, looks, planned, level, tuple(np.repeat(varies, parts).tolist()))[look]
    spread = _within_arms(sums)

    def own(world: int) -> float:
        if method != "spending" or users_clock:
            return typical
        clock = VarianceClock.of_epochs(sums.users[world].tolist(), spread[world].tolist(), fractions[-1])
        return own_bound(fractions, clock, level)

    any_ = wins = np.zeros(len(worlds.n), dtype=bool)
    for k in range(1, arms):
        shares = shares_of(sums, k)
        told = shares.reason() == 0
        exact = _exact(method, sums, shares, k)
        z = -special.ndtri(adaptive_shares.p_values(shares) / 2)
        hit = beyond(lambda bound, z=z: z > bound, typical, own, asked & told & ~exact)  # type: ignore[misc]
        if (chosen := asked & told & exact).any():
            hit[chosen] = _e_process(sums, k, chosen, planned) < level
        any_, wins = any_ | hit, wins | (hit & (shares.estimate > 0))
    return any_, wins


def _within_arms(sums: Sums) -> Floats:
    """The variance of an outcome within the arms of each epoch, (worlds, epochs), as `analysis.verdicts.clocks` has it."""
    free = np.maximum(sums.n - 1, 0)
    own = (free * sums.variance).sum(axis=-1) / np.maximum(free.sum(axis=-1), 1)
    usual = (free * sums.variance).sum(axis=(1, 2)) / np.maximum(free.sum(axis=(1, 2)), 1)
    return np.asarray(np.where(free.sum(axis=-1) > 0, own, usual[:, None]))


@cache
def _bounds(
    method: str, looks: int, planned: int, level: float, variance: tuple[float, ...]
) -> tuple[float, ...]:
    """The bound on |z| of one comparison at `level` at each of evenly spaced looks, as `by_epoch` asks its rules; under `spending` where
    users vary by `variance` at each look.
    """
    if method == "spending":
        fractions = [(each + 1) / looks for each in range(looks)]
        return tuple(typical_bounds(fractions, np.array(variance), level).tolist())
    rho = tightest_at(planned, ALPHA)
    rules = [AlwaysValid(n=planned * (look + 1) // looks, rho=rho) for look in range(looks)]
    return tuple(float(-special.ndtri(rule.level(level) / 2)) for rule in rules)


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
