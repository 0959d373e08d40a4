"""Power by simulation: the experiment is run thousands of times, as it is planned, and judged as the report would judge it.

For what has no formula: Holm over several arms at every look, factorial contrasts, looks at uneven shares of the data because
users come by and by and count only once their window has closed, effects that take their time.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from analysis.stats.errors import InsufficientData
from analysis.stats.exact_power import evidence
from analysis.stats.monitoring import Monitoring

AT_A_TIME = 500
"""Runs between two words about the progress."""
CLOSEST_LOOKS = 1e-3
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """An experiment to be simulated; arms in one order everywhere, the control first.

    shares: of the traffic, summing to 1. means: expected outcome of an assigned unit, once everything has happened. sds: of a
    unit, or None for proportions (outcomes are then drawn as 0 or 1).
    arrivals: units that enter on day 1, 2, .., all arms together. looks: at the end of which days somebody looks, ascending;
    the last is the planned end. window: days from a unit's entry until it counts.
    half_life: days until half of what an arm has more (or less) than the control has come in; the part that comes after the
    window is lost,  mean_a(window) = mean_C + (mean_a - mean_C)(1 - 2^(-window/half_life)).  None: nothing is lost.
    contrasts: weights of the arms in each comparison; None: each arm minus the control.
    by_e_process: whether shares are judged by `eprocess`, as the method exact does; only without sds and contrasts.
    """

    shares: tuple[float, ...]
    means: tuple[float, ...]
    sds: tuple[float, ...] | None = None
    arrivals: tuple[float, ...]
    looks: tuple[float, ...]
    window: float = 0.0
    half_life: float | None = None
    contrasts: tuple[tuple[float, ...], ...] | None = None
    by_e_process: bool = False

    def __post_init__(self) -> None:
        arms = len(self.shares)
        if arms < 2 or len(self.means) != arms or (self.sds is not None and len(self.sds) != arms):
            raise ValueError("shares, means and sds are one for each of at least two arms")
        if min(self.shares) <= 0 or abs(sum(self.shares) - 1) > 1e-6:
            raise ValueError("shares are positive and sum to 1")
        if self.sds is None and not all(0 <= mean <= 1 for mean in self.means):
            raise InsufficientData("a rate would lie outside of 0 to 1")
        if self.by_e_process and (self.sds is not None or self.contrasts is not None):
            raise ValueError("an e-process compares shares of two arms")
        if not self.looks or list(self.looks) != sorted(set(self.looks)):
            raise ValueError("looks are days in ascending order")
        if any(len(contrast) != arms for contrast in self.contrasts or ()):
            raise ValueError("a contrast has a weight for each arm")

    @property
    def weights(self) -> np.ndarray:
        """The contrasts as a matrix, shape (comparisons, arms)."""
        if self.contrasts is not None:
            return np.array(self.contrasts, dtype=float)
        others = np.eye(len(self.shares))[1:]
        others[:, 0] = -1.0
        return others

    def counted(self) -> tuple[np.ndarray, np.ndarray]:
        """The looks at which anything new counts, and how many units count there. Raises InsufficientData without any."""
        days = np.arange(len(self.arrivals) + 1)
        entered = np.concatenate([[0.0], np.cumsum(self.arrivals)])
        looks = np.array(self.looks)
        units = np.floor(np.interp(looks - self.window, days, entered) + 1e-9)
        if not units[-1] > 0:
            raise InsufficientData("nobody counts by the last look; look later, or shorten the window")
        # The looks before anybody counts say nothing, and of looks at the same data the last one speaks.
        fresh = np.concatenate([np.diff(units) / units[-1] > CLOSEST_LOOKS, [True]])
        fresh &= units / units[-1] > CLOSEST_LOOKS
        return looks[fresh], units[fresh]

    def observed_means(self) -> np.ndarray:
        """What counts of the means within the window."""
        means = np.array(self.means)
        if self.half_life is None:
            return means
        caught = 1 - 2 ** (-self.window / self.half_life)
        return np.asarray(means[0] + (means - means[0]) * caught)


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedPower:
    """What came of `runs` experiments; shares of them, each with its Monte-Carlo standard error sqrt(p (1 - p)/runs).

    each: by comparison, found in some report (after Holm). any_found, all_found: at least one comparison, and every one. by_look: the share in
    which something had been found by that look; look_days: when that is. mean_days: days until something was found, or the end.
    """

    runs: int
    each: tuple[float, ...]
    any_found: float
    all_found: float
    by_look: tuple[float, ...]
    look_days: tuple[float, ...]
    mean_days: float

    def standard_error(self, share: float) -> float:
        """Of a share of the runs; of one that is 0 or 1, what a single run would have made of it."""
        kept = min(max(share, 1 / (self.runs + 1)), self.runs / (self.runs + 1))
        return math.sqrt(kept * (1 - kept) / self.runs)


def simulate(
    trial: Trial,
    *,
    monitoring: Monitoring,
    runs: int,
    rng: np.random.Generator,
    progress: Progress | None = None,
) -> SimulatedPower:
    """Run the trial `runs` times: units are drawn into arms by their shares, counts accrue from look to look, and at each look every comparison
    is tested with

        z = c'm / sqrt( sum_a c_a^2 s2_a/n_a )        (m: means of the arms, s2: sample variances; c: the contrast)

    against the bounds of Holm's steps at that look: |z|_(1) at alpha/m, |z|_(2) at alpha/(m-1) .. (by e-process: log E against
    log(2 m/alpha), log(2 (m-1)/alpha) ..). `comparisons` of the monitoring
    is not used, nor are its fractions: both follow from the trial. Means of arms that are not proportions are drawn as normal,
    with known sd. Not for small arms (the report then tests exactly).
    progress: called with (runs done, runs) every so often. Raises InsufficientData when nobody counts by the last look.
    """
    days, units = trial.counted()
    weights = trial.weights
    step = np.diff(units, prepend=0.0).astype(np.int64)
    bounds = _holm_bounds(trial, monitoring, units, len(weights))
    means, counts = trial.observed_means(), _Counts.none(len(days), len(weights))
    for start in range(0, runs, AT_A_TIME):
        some = min(AT_A_TIME, runs - start)
        z = _statistics(trial, means, weights, step, some, rng, monitoring)
        counts.add(_rejected(z, bounds, only_last=monitoring.method == "fixed"), days)
        if progress is not None:
            progress(start + some, runs)
    return SimulatedPower(
        runs=runs,
        each=tuple((counts.each / runs).tolist()),
        any_found=counts.any_found / runs,
        all_found=counts.all_found / runs,
        by_look=tuple((counts.by_look / runs).tolist()),
        look_days=tuple(days.tolist()),
        mean_days=counts.days / runs,
    )


@dataclass(slots=True)
class _Counts:
    """Runs in which something was found, summed as they come, so that a million of them need no memory."""

    each: np.ndarray
    by_look: np.ndarray
    any_found: int = 0
    all_found: int = 0
    days: float = 0.0

    @classmethod
    def none(cls, looks: int, comparisons: int) -> "_Counts":
        return cls(each=np.zeros(comparisons), by_look=np.zeros(looks))

    def add(self, rejected: np.ndarray, days: np.ndarray) -> None:
        """rejected: found in the report of a look, shape (runs, looks, comparisons)."""
        ever = np.asarray(rejected.any(axis=1))
        by_then = np.logical_or.accumulate(rejected.any(axis=2), axis=1)
        found = by_then[:, -1]
        self.each += ever.sum(axis=0)
        self.by_look += by_then.sum(axis=0)
        self.any_found += int(found.sum())
        self.all_found += int(np.all(ever, axis=1).sum())
        self.days += float(np.where(found, days[by_then.argmax(axis=1)], days[-1]).sum())


def main_effects(
    levels: Sequence[Mapping[str, str]], factors: Mapping[str, Sequence[str]]
) -> dict[str, tuple[float, ...]]:
    """The contrast of each level of each factor with the first one, averaged over the cells of the other factors.

    levels: of each arm, by factor; arms without levels (a silent one) take no part. Keys are `FACTOR.LEVEL`.

    >>> cells = [{"hour": "early", "text": "a"}, {"hour": "late", "text": "a"}, {"hour": "early", "text": "b"}, {"hour": "late", "text": "b"}]
    >>> main_effects(cells, {"hour": ["early", "late"]})
    {'hour.late': (-0.5, 0.5, -0.5, 0.5)}
    """
    found: dict[str, tuple[float, ...]] = {}
    for factor, names in factors.items():
        cells = {name: [cell.get(factor) == name for cell in levels] for name in names}
        base = cells[names[0]]
        for name in names[1:]:
            own = cells[name]
            found[f"{factor}.{name}"] = tuple(
                own[i] / sum(own) - base[i] / sum(base) for i in range(len(levels))
            )
    return found


def _holm_bounds(trial: Trial, monitoring: Monitoring, units: np.ndarray, comparisons: int) -> np.ndarray:
    """Bounds on the ordered |z|, largest first, at each look: shape (looks, comparisons)."""
    if trial.by_e_process:
        needed = [math.log(2 * left / monitoring.alpha) for left in range(comparisons, 0, -1)]
        return np.broadcast_to(np.array(needed), (len(units), comparisons))
    fractions = tuple((units / units[-1]).tolist())
    watched = replace(monitoring, fractions=fractions)
    taking_part = np.abs(trial.weights[0]) > 0
    both = float(np.array(trial.shares)[taking_part].sum() * units[-1])
    steps = [watched.bounds(both, level=monitoring.alpha / left) for left in range(comparisons, 0, -1)]
    return np.broadcast_to(np.array(steps).T, (len(units), comparisons))


def _statistics(
    trial: Trial,
    means: np.ndarray,
    weights: np.ndarray,
    step: np.ndarray,
    runs: int,
    rng: np.random.Generator,
    monitoring: Monitoring,
) -> np.ndarray:
    """The z (or the log of the evidence) of each comparison at each look: shape (runs, looks, comparisons)."""
    drawn = np.stack([rng.multinomial(count, trial.shares, size=runs) for count in step], axis=1)
    n = np.cumsum(drawn, axis=1)
    if trial.by_e_process:
        x = np.cumsum(rng.binomial(drawn, means), axis=1)
        return _evidence(trial, n.astype(float), x.astype(float), int(step.sum()), monitoring)
    with np.errstate(divide="ignore", invalid="ignore"):
        if trial.sds is None:
            mean = np.cumsum(rng.binomial(drawn, means), axis=1) / n
            variance = mean * (1 - mean) * n / (n - 1)
        else:
            sds = np.array(trial.sds)
            total = np.cumsum(drawn * means + np.sqrt(drawn) * sds * rng.standard_normal(drawn.shape), axis=1)
            mean, variance = total / n, np.broadcast_to(sds * sds, n.shape)
        z = (mean @ weights.T) / np.sqrt((variance / n) @ (weights.T**2))
    # What cannot be told (an arm without users, nothing varies) is no finding.
    return np.asarray(np.nan_to_num(z, nan=0.0, posinf=0.0, neginf=0.0))


def _evidence(trial: Trial, n: np.ndarray, x: np.ndarray, units: int, monitoring: Monitoring) -> np.ndarray:
    found = []
    for arm in range(1, len(trial.shares)):
        both = trial.shares[0] + trial.shares[arm]
        found.append(
            evidence(
                n[..., 0], x[..., 0], n[..., arm], x[..., arm],
                share=trial.shares[arm] / both,
                planned=monitoring.tuned_to or round(units * both),
                alpha=monitoring.alpha,
            )
        )  # fmt: skip
    return np.stack(found, axis=2)


def _rejected(z: np.ndarray, bounds: np.ndarray, *, only_last: bool) -> np.ndarray:
    """Holm at each look: the comparisons in order of |z|, until the first that stays below its bound."""
    size = np.abs(z)
    order = np.argsort(-size, axis=2)
    passed = np.logical_and.accumulate(np.take_along_axis(size, order, axis=2) >= bounds, axis=2)
    rejected = np.zeros_like(passed)
    np.put_along_axis(rejected, order, passed, axis=2)
    if only_last:
        rejected[:, :-1] = False
    return rejected
