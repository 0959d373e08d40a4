"""Puts a report together: facts and plan in, findings out. Pure; start reading at `build_report`.

Health first (`health.py`), effects second (`compare.py` one pair, `effects.py` the families), decision last (`decision.py`).
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from analysis.findings import ArmSummary, Decision, HealthCheck, MetricFinding, Report
from analysis.inputs import AnalysisPlan, ArmFacts, FactorSpec, Messages, MetricSpec
from analysis.stats.sequential import spending_rule
from analysis.verdicts.clocks import clocks_of
from analysis.verdicts.compare import Look, effective_information
from analysis.verdicts.compliers import with_complier_effects
from analysis.verdicts.crossing import with_factor_effects
from analysis.verdicts.decision import WEEK, decide
from analysis.verdicts.effects import findings_of
from analysis.verdicts.health import check_health, first_skew
from analysis.verdicts.progress import progress_of
from experiments.errors import Invalid
from experiments.vocabulary import Direction, Method

SMALLEST_INFORMATION = 1e-4
__all__ = ["AnalysisPlan", "ArmFacts", "HealthCheck", "Messages", "MetricSpec", "Report", "build_report"]


def build_report(
    *,
    experiment: str,
    as_of: datetime,
    plan: AnalysisPlan,
    metrics: Sequence[MetricSpec],
    arms: Sequence[ArmFacts],
    factors: Sequence[FactorSpec] = (),
    checks: Sequence[HealthCheck] = (),
    warnings: Sequence[str] = (),
) -> Report:
    """The report of one experiment at one moment.

    as_of: aware datetime. factors: of a crossing, whose arms say their `levels`. checks, warnings: what the source of the facts found (unknown variants, left-out rows); they
    join the report's own. Data never make it fail: what cannot be told is None, with a reason among the warnings.
    Raises Invalid when there is not exactly one control, a name is used twice, or alpha is outside (0, 1).
    """
    _validate(plan, metrics, arms)
    said: list[str] = list(warnings)
    said += [f"{variant} is stopped and gets nobody new: {why}" for variant, why in plan.stopped_arms.items()]
    mature = sum(arm.mature for arm in arms)
    information = effective_information(plan, mature)
    look = look_of(plan, information, said, metrics=metrics, arms=arms)
    finished = plan.ended or (information is not None and information >= 1)
    health = (*check_health(arms, look.method), *checks)
    said += [skew] if (skew := first_skew(health)) is not None else []
    said += [
        f"{check.check} at {check.stage}: {check.detail}"
        for check in health
        if not check.ok or check.p_value is None
    ]
    said += _about_users(arms)
    notes: list[str] = []
    findings = with_complier_effects(findings_of(metrics, arms, look, said, notes), arms, look, notes)
    notes += _about_cleared(findings)
    findings = with_factor_effects(findings, factors, arms, look, said, notes)
    progress = progress_of(plan, findings, arms, look, information, said)
    summaries = tuple(
        ArmSummary(
            variant=arm.variant, control=arm.control, assigned=arm.assigned, mature=arm.mature,
            messages=arm.messages or Messages(),
        )
        for arm in arms
    )  # fmt: skip
    if look.method == Method.FIXED and not finished:
        said.append(
            "the fixed method is valid at its planned end only, which is not reached: do not act on these numbers yet"
        )
    decision = decide(
        plan,
        method=look.method,
        finished=finished,
        arms=summaries,
        health=health,
        metrics=findings,
        progress=progress,
    )
    said += _about_weekdays(plan, decision)
    return Report(
        experiment=experiment,
        as_of=as_of,
        method=look.method,
        alpha=plan.alpha,
        information=information,
        arms=summaries,
        health=health,
        metrics=findings,
        decision=decision,
        progress=progress,
        warnings=tuple(dict.fromkeys(said)),
        notes=tuple(dict.fromkeys(notes)),
    )


def _validate(plan: AnalysisPlan, metrics: Sequence[MetricSpec], arms: Sequence[ArmFacts]) -> None:
    if not 0 < plan.alpha < 1:
        raise Invalid("must lie between 0 and 1", field="alpha")
    if sum(arm.control for arm in arms) != 1:
        raise Invalid("exactly one arm must be the control", field="arms")
    for field, names in (
        ("arms", [arm.variant for arm in arms]),
        ("metrics", [spec.key for spec in metrics]),
    ):
        for name in names:
            if names.count(name) > 1:
                raise Invalid(f"{name!r} is used twice", field=field)


def look_of(
    plan: AnalysisPlan,
    information: float | None,
    said: list[str],
    *,
    metrics: Sequence[MetricSpec] = (),
    arms: Sequence[ArmFacts] = (),
) -> Look:
    """How a look at this information is judged; what stands in for the planned method is appended to `said`.

    metrics, arms: those whose variances say how alike looks are, where the plan asks for it (`AnalysisPlan.variances`).
    """
    method = plan.method
    if method == Method.SPENDING and information is None:
        method = Method.ALWAYS_VALID
        said.append("no planned sample size is known, so the always_valid method stands in for spending")
    common: dict[str, Any] = {
        "alpha": plan.alpha,
        "planned_n": plan.planned_n,
        "by_epoch": plan.weights_changed,
    }
    if method != Method.SPENDING or information is None:
        return Look(method=method, **common)
    if information > 1 + 1e-9:
        said.append(
            f"there are {information:.2f} times as many users as planned; the boundary is that of the planned end"
        )
    now = max(information, SMALLEST_INFORMATION)
    rule = spending_rule(plan.looks, now, plan.alpha, kind=plan.spending, final=plan.ended)
    return Look(method=method, spending=rule, clocks=clocks_of(plan, metrics, arms, now), **common)


def _about_users(arms: Sequence[ArmFacts]) -> list[str]:
    said = [f"{arm.variant} has no users" for arm in arms if arm.assigned == 0]
    immature = sum(max(arm.assigned - arm.mature, 0) for arm in arms)
    if immature:
        said.append(f"{immature} users are left out because their window is still open")
    return said


def _about_cleared(findings: Sequence[MetricFinding]) -> list[str]:
    """Guardrails that are cleared although the interval beside them reaches beyond the margin: a reader would take it for a mistake."""
    said = []
    for finding in findings:
        for effect in finding.effects:
            guard, shown = effect.guardrail, effect.absolute
            if guard is None or guard.margin is None or shown is None or not guard.non_inferior:
                continue
            most_harm = -shown.lower if finding.direction == Direction.INCREASE else shown.upper
            if most_harm >= guard.margin:
                said.append(
                    f"{finding.metric}, {effect.variant}: harm beyond the margin of {guard.margin:g} is ruled out, which is asked on one "
                    "side only; the interval answers for both sides, so it is wider and reaches beyond the margin"
                )
    return said


def _about_weekdays(plan: AnalysisPlan, decision: Decision) -> list[str]:
    if (
        plan.run_time is None
        or plan.run_time >= WEEK
        or decision.rule not in {"winner", "worse", "too_small"}
    ):
        return []
    warning = (
        f"this was decided after {plan.run_time.days} days, so not all days of the week are in it; plan.rules.min_weeks makes decisions "
        "wait for whole weeks"
    )
    return [warning]
