"""The primary metric of a plan by simulation: the arms, the weights, the arrivals and the looks of the campaign itself."""

import math
from collections.abc import Sequence
from datetime import timedelta
from typing import Final

import numpy as np

from analysis.planning.bandit_trial import BanditTrial, control_first
from analysis.planning.plan_allocation import Simulator, moves, run_trial
from analysis.planning.plan_audience import Inflow
from analysis.planning.plan_findings import MetricPlan, Simulation
from analysis.planning.plan_metrics import Frame, outcome_of
from analysis.stats.errors import InsufficientData
from analysis.stats.simulated_power import Progress, Trial, main_effects
from experiments.design import ExperimentDesign
from experiments.metrics import MetricDefinition
from experiments.vocabulary import Method

_DAY: Final = timedelta(days=1)


def simulate_plan(
    design: ExperimentDesign,
    definition: MetricDefinition,
    plan: MetricPlan,
    *,
    inflow: Inflow,
    frame: Frame,
    looks: int | None,
    runs: int,
    rng: np.random.Generator,
    progress: Progress | None,
    simulator: Simulator | None = None,
) -> Simulation:
    """Simulate one metric. Every variant (with factors: every level but the first of its factor) has the planned effect.

    looks: how many; None: daily, as long as anybody new counts. simulator: of the policy, where that moves traffic; None: `BanditTrial`. runs: 0 only where it moves, for as many as are usual. Raises InsufficientData without a base, an effect or users.
    """
    if plan.base is None or plan.effect is None or not frame.available:
        raise InsufficientData("it needs a base, an `mde` and users who take part")
    outcome, window = outcome_of(plan.base, definition, frame), definition.window / _DAY
    # What comes after the window is lost in the simulation itself.
    delta = plan.base.mean * plan.effect * outcome.reach / frame.caught(definition.window)
    names, contrasts, moved = _comparisons(design)
    by_e_process = frame.method == Method.EXACT and definition.is_share and contrasts is None
    moving = moves(design.allocation)
    # Where weights change, shares are not adjusted by their covariate.
    drawn_as_rates = definition.is_share and (plan.base.rho == 0 or by_e_process or moving)
    by_day, days = inflow.by_day, inflow.entry.days
    arrivals = (by_day[0], *(by_day[day] - by_day[day - 1] for day in range(1, days + 1)))
    made = run_trial(
        Trial(
            shares=tuple(design.shares[key] for key in control_first(design)),
            means=tuple(plan.base.mean + delta * steps for steps in moved),
            sds=None
            if drawn_as_rates
            else tuple(math.sqrt(outcome.variances(delta * steps)[1 if steps else 0]) for steps in moved),
            arrivals=arrivals,
            looks=_days_of_looks(len(arrivals), math.ceil(window), looks),
            window=window,
            half_life=None if frame.half_life is None else frame.half_life / _DAY,
            contrasts=contrasts,
            by_e_process=by_e_process,
        ),
        allocation=design.allocation,
        simulator=simulator
        or BanditTrial(design=design, metric=plan.metric, definition=definition, reach=frame.reach),
        monitoring=frame.monitoring,
        runs=runs,
        rng=rng,
        progress=progress,
    )
    return Simulation(
        metric=plan.metric,
        policy=design.allocation.policy,
        runs=made.runs,
        found=dict(zip(names, made.each, strict=True)),
        standard_errors={
            name: made.standard_error(share) for name, share in zip(names, made.each, strict=True)
        },
        any_found=made.any_found,
        all_found=made.all_found,
        # The first to enter do so on day 0.
        mean_days=max(made.mean_days - 1, 0.0),
        days_to_power=next(
            (
                max(day - 1, 0.0)
                for day, share in zip(made.look_days, made.by_look, strict=True)
                if share >= design.plan.power
            ),
            None,
        ),
    )


def _days_of_looks(entering: int, window: int, looks: int | None) -> tuple[float, ...]:
    first, last = 1 + window, entering + window
    # From the end backwards, so that one look is the last.
    chosen = np.linspace(last, first, min(looks or last, last - first + 1))
    return tuple(np.unique(chosen.round()).tolist())


def _comparisons(
    design: ExperimentDesign,
) -> tuple[Sequence[str], tuple[tuple[float, ...], ...] | None, Sequence[int]]:
    """Names of the comparisons, their contrasts (None: each variant minus the control), and how many effects each arm has."""
    variants = [design.variant(key) for key in control_first(design)]
    if not design.factors:
        return [each.key for each in variants[1:]], None, [int(not each.control) for each in variants]
    first = {factor.key: factor.levels[0].key for factor in design.factors}
    effects = main_effects(
        [each.levels for each in variants],
        {factor.key: [level.key for level in factor.levels] for factor in design.factors},
    )
    moved = [sum(level != first[factor] for factor, level in each.levels.items()) for each in variants]
    return list(effects), tuple(effects.values()), moved
