"""A planned campaign whose traffic a bandit moves: the simulator of `plan_allocation`, of the campaign's own policy. Pure."""

import math
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

import numpy as np

from analysis.planning.bandit_world import MOST_BINS, MOST_CELLS, edges_within, policy_of, seconds_of_a_run
from analysis.planning.wave_plan import sizes_of
from analysis.stats.bandit_power import first_found
from analysis.stats.errors import InsufficientData
from analysis.stats.monitoring import Monitoring
from analysis.stats.simulated_amounts import Amounts
from analysis.stats.simulated_power import Progress, SimulatedPower, Trial
from analysis.stats.simulated_reports import Judged
from analysis.stats.simulated_world import World
from experiments.clock import format_duration
from experiments.design import ExperimentDesign
from experiments.metrics import MetricDefinition
from experiments.vocabulary import Direction, Method

_DAY: Final = timedelta(days=1)
SECONDS: Final = 8.0
"""Of processor time that the runs may take when nobody says how many; with a number of runs `LONGER` times as much."""
LONGER: Final = 4
USUAL: Final = 1_000
FEWEST: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class BanditTrial:
    """Runs a trial under the policy of `design`. reach: share of messages that arrive, for a price per message. definition: of the metric that is planned, `metric` its key.

    A user's number comes at a moment that is even over the window: nobody has measured another. Of amounts only mean and sd are known, so those who have one are taken to have an sd as large as their mean (all users,
    with the sd itself, where that is smaller than the mean). A broadcast goes out in waves that do not wait; whatever reports find, all of them go out.
    """

    design: ExperimentDesign
    metric: str
    definition: MetricDefinition
    reach: float

    def __call__(
        self,
        trial: Trial,
        *,
        allocation: Any,
        monitoring: Monitoring,
        runs: int,
        rng: np.random.Generator,
        progress: Progress | None,
    ) -> SimulatedPower:
        """runs: 0 takes as many as fit into `SECONDS`. The answer has the number that was run. Raises InsufficientData for what cannot be simulated."""
        if trial.contrasts is not None:
            raise InsufficientData("effects of crossed factors are not simulated while traffic moves")
        if allocation.metric != self.metric:
            raise InsufficientData(
                f"traffic follows {allocation.metric}, and the plan is about {self.metric}"
            )
        step = allocation.interval / _DAY
        waves = sizes_of(self.design, int(sum(trial.arrivals)))
        world = self._world(trial, step, waves)
        looks = _looks(
            trial, world, step, in_waves=waves is not None, only_last=monitoring.method == Method.FIXED
        )
        expected = int(world.arrivals.sum())
        first = first_found(
            world,
            policy_of(self.design, allocation.policy, world),
            shares=np.array(trial.shares),
            judged=Judged(
                method=str(Method.EXACT) if trial.by_e_process else _of_one_look(monitoring.method),
                alpha=monitoring.alpha,
                expected=expected,
                least_users=self.design.plan.rules.min_users,
                is_share=self.definition.is_share,
                planned=expected if monitoring.tuned_to is None else monitoring.tuned_to,
            ),
            looks=looks,
            early=waves is not None,
            runs=_affordable(world, looks, runs),
            rng=rng,
            progress=progress,
        )
        # A wave goes out at the beginning of its interval; whoever comes by and by has one more day on the scale of a trial.
        return _power(first, looks, step, extra=1.0 if waves is not None else 0.0)

    def _world(self, trial: Trial, step: float, waves: list[int] | None) -> World:
        arrivals = np.array(waves, dtype=np.int64) if waves is not None else _by_step(trial.arrivals, step)
        edges = edges_within(trial.window * _DAY, step * _DAY)
        bins = len(edges) - 1
        arms, intervals = len(trial.shares), len(arrivals)
        if bins > MOST_BINS or bins * arms * intervals > MOST_CELLS:
            raise InsufficientData(
                f"{intervals} reallocations, {format_duration(step * _DAY)} apart, and a window of {bins} of them are too much to simulate"
            )
        means = trial.observed_means()
        found = [self._arm(trial, k, float(mean)) for k, mean in enumerate(means)]
        if not all(0 <= rate <= 1 for rate, _ in found):
            raise InsufficientData("a rate would lie outside of 0 to 1")
        cost, order = self.design.bandit and self.design.bandit.cost, control_first(self.design)
        return World(
            rates=np.array([rate for rate, _ in found]),
            amounts=None if self.definition.is_share else [each for _, each in found if each is not None],
            delays=np.tile(np.diff(edges) / edges[-1], (arms, 1)),
            arrivals=arrivals,
            drift=np.ones(intervals),
            maximise=self.definition.direction == Direction.INCREASE,
            conversion=1.0 if not cost or cost.conversion is None else cost.conversion,
            price=cost.message if cost else 0.0,
            messages=np.array([self.design.variant(key).steps for key in order], dtype=np.int64),
            arriving=np.full(arms, self.reach),
        )

    def _arm(self, trial: Trial, k: int, mean: float) -> tuple[float, Amounts | None]:
        """The share of users with a number, and their numbers; a rate is its own share."""
        if self.definition.is_share:
            return mean, None
        if trial.sds is None or mean <= 0:
            raise InsufficientData("amounts without a mean above 0 and an sd are not simulated")
        sd = trial.sds[k]
        if sd <= mean:
            return 1.0, Amounts(mean, sd)
        # rate x value = mean, and rate x 2 value^2 = mean^2 + sd^2, with an sd of the value as large as itself.
        value = (mean**2 + sd**2) / (2 * mean)
        return mean / value, Amounts(value, value)


def control_first(design: ExperimentDesign) -> list[str]:
    """The keys of the variants, in the order of a trial."""
    return sorted((each.key for each in design.variants), key=lambda key: key != design.control.key)


def _by_step(arrivals: tuple[float, ...], step: float) -> np.ndarray:
    """Users of each interval, from users of each day; whole numbers, with nobody lost in rounding."""
    intervals = max(math.ceil(len(arrivals) / step - 1e-9), 1)
    entered = np.concatenate([[0.0], np.cumsum(arrivals)])
    ends = np.minimum(np.arange(1, intervals + 1) * step, len(arrivals))
    by_then = np.floor(np.interp(ends, np.arange(len(entered)), entered) + 1e-9)
    return np.asarray(np.diff(by_then, prepend=0.0).astype(np.int64))


def _looks(trial: Trial, world: World, step: float, *, in_waves: bool, only_last: bool) -> list[int]:
    """Intervals (0 the first) at whose end there is a report: as planned; of a broadcast, from the first wave that counts on, each."""
    bins, intervals = world.delays.shape[1], len(world.arrivals)
    last = intervals + bins - (2 if in_waves else 1)
    if only_last:
        return [last]
    if in_waves:
        return list(range(bins - 1, last + 1))
    return sorted({min(max(math.ceil(day / step - 1e-9) - 1, 0), last) for day in trial.looks} | {last})


def _of_one_look(method: str) -> str:
    """A fixed plan has one look, at the end; spending all of alpha at one look is the same."""
    return str(Method.SPENDING) if method == Method.FIXED else method


def _affordable(world: World, looks: list[int], runs: int) -> int:
    # A report costs about as much as the weights of an interval.
    of_one = seconds_of_a_run(world) / 2 * (1 + len(looks) / len(world.arrivals))
    most = int(SECONDS * (LONGER if runs else 1) / of_one)
    if most < FEWEST:
        raise InsufficientData(
            f"{len(world.arrivals)} reallocations among {len(world.rates)} variants take too long to simulate: `touchstone simulate` takes its time"
        )
    return min(runs or USUAL, most)


def _power(first: np.ndarray, looks: list[int], step: float, *, extra: float) -> SimulatedPower:
    runs = len(first)
    days = np.array([(look + 1) * step + extra for look in looks])
    any_ = np.where(first > 0, first, np.iinfo(np.intp).max).min(axis=1)
    found = any_ < np.iinfo(np.intp).max
    by_look = [float((any_ <= look + 1).mean()) for look in looks]
    return SimulatedPower(
        runs=runs,
        each=tuple((first > 0).mean(axis=0).tolist()),
        any_found=float(found.mean()),
        all_found=float((first > 0).all(axis=1).mean()),
        by_look=tuple(by_look),
        look_days=tuple(days.tolist()),
        mean_days=float(np.where(found, np.where(found, any_, 0) * step + extra, days[-1]).mean()),
    )
