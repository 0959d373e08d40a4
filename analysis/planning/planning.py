"""A plan for a campaign before it begins: who takes part, what they are like, how sure the result will be, and when.

The document is the one that `apply` takes. Nothing is stored. What the database cannot tell is said to be unknown, with the
reason, and can be given (`plan_inputs.Assumptions`).
"""

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, Final

import numpy as np
from sqlmodel import Session

from analysis.planning import (
    plan_allocation,
    plan_audience,
    plan_guards,
    plan_messages,
    plan_past,
    plan_sending,
    plan_words,
)
from analysis.planning.plan_allocation import Simulator
from analysis.planning.plan_audience import Inflow
from analysis.planning.plan_document import read_campaign
from analysis.planning.plan_factors import plan_factors
from analysis.planning.plan_findings import CampaignPlan
from analysis.planning.plan_inputs import Assumptions
from analysis.planning.plan_metrics import Frame, curve_of, effects_of, looking_of, plan_metric
from analysis.planning.plan_simulation import simulate_plan
from analysis.stats.errors import InsufficientData
from analysis.stats.monitoring import Monitoring, evenly
from analysis.stats.power import Shares
from analysis.stats.sequential import DEFAULT_PLANNED_N
from analysis.stats.simulated_power import Progress
from delivery.limits.circumstances import tier_of
from delivery.limits.policy import current
from delivery.planning.planner import ineligible
from experiments.clock import Clock
from experiments.design import ExperimentDesign
from experiments.errors import Invalid, Problem
from experiments.metrics import MetricDefinition
from experiments.settings import Settings
from experiments.starting import start_problems
from experiments.triggers import OnceTrigger
from experiments.vocabulary import Method, MetricRole

MOST_LOOKS: Final = 90
LEAST_REACH: Final = 1e-6


def plan_campaign(
    session: Session,
    clock: Clock,
    *,
    document: Mapping[str, Any],
    settings: Settings,
    rng: np.random.Generator,
    assumptions: Assumptions,
    simulate: int = 0,
    progress: Progress | None = None,
    simulator: Simulator | None = None,
    seen: Callable[[Any], Any] | None = None,
    fields: tuple[str, str] = ("", "assumptions."),
) -> CampaignPlan:
    """What would become of the campaign in `document` if it began now. Only reads.

    simulate: experiments to run on top of the formulas; `progress` hears of them. With a bandit 0 is as many as take a few seconds. simulator: of an allocation policy that moves traffic, instead of `BanditTrial`. seen: of what is known of users, what may be told of why messages cannot be written. fields: what stands before the paths of the
    document and of the assumptions in errors. Raises Invalid with every problem of the document, as `apply` does, or of the assumptions.
    """
    design = read_campaign(session, document, prefix=fields[0])
    definitions = design.metric_definitions()
    known = plan_guards.with_opt_outs(design, definitions)
    _check(design, known, assumptions, fields)
    now, policy, window = clock.now(), current(session, settings), _window(design, definitions)
    looked = plan_audience.look_at(
        session,
        clock,
        design=design,
        ineligible=ineligible(design, policy=policy, now=now),
        global_holdout=settings.global_holdout,
        rng=rng,
        field=f"{fields[0]}audience.condition",
    )
    inflow = plan_audience.inflow_of(
        session, design=design, looked=looked, assumptions=assumptions, window=window, now=now
    )
    sending = plan_sending.sending_of(
        design,
        users=inflow.entry.by_the_end,
        policy=policy,
        tier=tier_of(session, policy, settings),
        messages_per_second=settings.messages_per_second,
    )
    arriving, source = plan_past.reach_of(session, design, assumptions, now)
    in_time = plan_sending.share_in_time(sending, days=inflow.entry.days, window=window)
    frame = _frame(design, assumptions, inflow, reach=arriving * in_time)
    bases = plan_past.bases_of(session, design, looked, known, assumptions, now, reach=frame.reach)
    metrics = tuple(
        plan_metric(
            use.key,
            use.role,
            definitions[use.key],
            margin=use.margin,
            base=bases[use.key][0],
            reasons=bases[use.key][1],
            frame=frame,
        )
        for use in design.metrics
    )
    primary = next(metric for metric in metrics if metric.role == MetricRole.PRIMARY)
    definition = definitions[primary.metric]
    messages = plan_messages.messages_of(
        session, clock, settings=settings, design=design, looked=looked, seen=seen
    )
    simulation, cannot = None, tuple[str, ...]()
    if simulate or plan_allocation.moves(design.allocation):
        try:
            simulation = simulate_plan(
                design,
                definition,
                primary,
                inflow=inflow,
                frame=frame,
                looks=assumptions.looks,
                runs=simulate,
                rng=rng,
                progress=progress,
                simulator=simulator,
            )
        except InsufficientData as error:
            cannot = (f"no simulation: {error.reason}",)
    return CampaignPlan(
        experiment=design.key,
        as_of=now,
        start_problems=tuple(start_problems(design, now=now)),
        method=str(frame.method),
        alpha=design.plan.alpha,
        power=design.plan.power,
        effect=design.plan.mde,
        looks=len(frame.monitoring.looks),
        reach=frame.reach,
        reach_source=source,
        arms=design.shares,
        audience=looked.figures,
        entry=inflow.entry,
        sending=sending,
        messages=messages,
        metrics=metrics,
        factors=plan_factors(design, definition, primary, frame),
        guards=plan_guards.plan_guards(
            design,
            base=bases[plan_guards.OPTED_OUT][0] if plan_guards.OPTED_OUT in bases else None,
            sending=sending,
            entry=inflow.entry,
        ),
        curve=curve_of(primary, definition, frame),
        effects=effects_of(primary, definition, frame),
        looking=looking_of(primary, definition, frame),
        simulation=simulation,
        verdict=plan_words.verdict_of(metrics, frame),
        limits=plan_words.limits_of(design, looked.figures, sending, frame, window=window),
        assumptions=plan_words.assumptions_of(design, inflow.entry, (arriving, source), metrics, frame),
        warnings=(
            *looked.warnings,
            *plan_messages.warnings_of(messages),
            *plan_words.warnings_of(design, sending, window=window),
            *plan_words.hopeless(design, inflow.entry),
            *plan_allocation.cautions(design.allocation, simulated=simulation is not None),
            *cannot,
        ),
    )


def _check(
    design: ExperimentDesign,
    definitions: Mapping[str, MetricDefinition],
    assumptions: Assumptions,
    fields: tuple[str, str],
) -> None:
    """Refuse what would be a slip: names of no metric, a rate above 1, a spread of a proportion, a plan that chance alone fulfils."""
    campaign, given = fields
    assumptions.check_keys(definitions, field=given)
    problems = []
    for key, value in assumptions.baseline.items():
        if definitions[key].is_share and not 0 < value < 1:
            problems.append(Problem(f"{given}baseline.{key}", f"is a share between 0 and 1, not {value:g}"))
        elif not value > 0:
            problems.append(
                Problem(
                    f"{given}baseline.{key}", f"must be above 0, not {value:g}: effects are relative to it"
                )
            )
    problems += [
        Problem(f"{given}sd.{key}", "is not needed: that of a proportion follows from its baseline")
        for key in assumptions.sd
        if definitions[key].is_share
    ]
    problems += [
        Problem(
            f"{given}rho.{key}", "the metric has no `covariate`, so no report would adjust it; give it one"
        )
        for key in assumptions.rho
        if definitions[key].covariate is None
    ]
    if design.plan.power <= design.plan.alpha:
        problems.append(
            Problem(
                f"{campaign}plan.power",
                f"must be above `alpha`, {design.plan.alpha:g}, which chance alone reaches",
            )
        )
    if problems:
        raise Invalid.of(problems)


def _window(design: ExperimentDesign, definitions: Mapping[str, MetricDefinition]) -> timedelta:
    """The window of the metric that decides."""
    return next(definitions[use.key].window for use in design.metrics if use.role == MetricRole.PRIMARY)


def _frame(design: ExperimentDesign, assumptions: Assumptions, inflow: Inflow, *, reach: float) -> Frame:
    entry, at_once, method = inflow.entry, isinstance(design.trigger, OnceTrigger), design.plan.method
    if method == Method.SPENDING and not at_once:
        # Nobody knows how many users will come by and by, so the report cannot tell how much alpha is to be spent.
        method = Method.ALWAYS_VALID
    # The sequence stands in for `exact` where that has no answer: for means, as in the report.
    monitored = Method.ALWAYS_VALID if method == Method.EXACT else method
    # Those who were assigned at once count at once, so that only one look finds anything new.
    looks = assumptions.looks or min(max(entry.days, 1), MOST_LOOKS)
    shares, control = design.shares, design.control.key
    others = len(shares) - 1
    return Frame(
        method=method,
        monitoring=Monitoring(
            method=str(monitored),
            alpha=design.plan.alpha,
            fractions=evenly(looks),
            tuned_to=None if at_once else DEFAULT_PLANNED_N,
        ),
        families={
            role: max(1, others * sum(use.role == role for use in design.metrics)) for role in MetricRole
        },
        power=design.plan.power,
        effect=design.plan.mde,
        shares=Shares(
            control=shares[control],
            treatment=min(share for key, share in shares.items() if key != control),
        ),
        reach=max(reach, LEAST_REACH),
        half_life=assumptions.half_life,
        available=entry.by_the_end,
        day_of=inflow.day_of,
        control_sends=design.control.message is not None,
    )
