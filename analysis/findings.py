"""What a report says, as frozen values. None means "cannot tell"; the reason is among the report's warnings."""

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from analysis.inputs import Messages
from analysis.stats.bayes import Posterior
from analysis.stats.difference import Interval
from experiments.clock import format_moment
from experiments.vocabulary import DecisionAction, Direction, Method, MetricKind, MetricRole


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthCheck:
    """One check of the experiment itself. ok is False for an alarm; a blocking alarm forbids `ship`.

    e_value: the sequential evidence of a mismatch (1000 is an alarm), valid at every look; p_value: of this look alone.
    """

    check: str
    stage: str | None
    p_value: float | None
    ok: bool
    detail: str
    e_value: float | None = None
    blocking: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardrailVerdict:
    """non_inferior: surely not worse than the margin (None without a margin). breached: surely worse than it."""

    margin: float | None
    non_inferior: bool | None
    breached: bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """One variant against the control on one metric: treatment - control, intention-to-treat.

    absolute, relative: intervals at the plain level 1 - alpha of the method. p_value: valid for the method (at every
    look for a sequential one). adjusted_p_value, significant, interval_adjusted: after multiplicity in the metric's
    family; interval_adjusted excludes 0 exactly where significant. test: welch, exact, exact_sequential or order_statistics;
    score_by_epoch, welch_by_epoch or exact_by_epoch where weights have changed (`verdicts/by_epoch.py`).
    cace: per user reached, at the plain level (`stats/iv.py`); None where delivery is not known or says too little, the reason
    in the notes.
    """

    variant: str
    control: str
    absolute: Interval | None = None
    relative: Interval | None = None
    p_value: float | None = None
    adjusted_p_value: float | None = None
    significant: bool | None = None
    interval_adjusted: Interval | None = None
    variance_reduction: float | None = None
    bayes: Posterior | None = None
    cace: Interval | None = None
    guardrail: GuardrailVerdict | None = None
    test: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricArm:
    """n mature users; mean and sd of their outcome (for a ratio: of the linearised ratio; for a quantile: its value)."""

    variant: str
    n: int
    mean: float | None
    sd: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FactorEffect:
    """What a level of a factor does against the factor's first level, averaged evenly over the levels of all others.

    kind: main (one factor) or interaction (two: how much the effect of one level changes with the other). factors, levels,
    against: in step, one entry for main, two for interaction. Intervals and p-values as in `Effect`, after the multiplicity
    of their own families (`crossing.py`); relative to the mean of the variants with the first level, for main only.
    """

    kind: str
    factors: tuple[str, ...]
    levels: tuple[str, ...]
    against: tuple[str, ...]
    absolute: Interval | None = None
    relative: Interval | None = None
    p_value: float | None = None
    adjusted_p_value: float | None = None
    significant: bool | None = None
    interval_adjusted: Interval | None = None
    variance_reduction: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricFinding:
    metric: str
    kind: MetricKind
    role: MetricRole
    direction: Direction
    arms: tuple[MetricArm, ...]
    effects: tuple[Effect, ...]
    factors: tuple[FactorEffect, ...] = ()

    def effect_of(self, variant: str) -> Effect | None:
        return next((effect for effect in self.effects if effect.variant == variant), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmSummary:
    variant: str
    control: bool
    assigned: int
    mature: int
    messages: Messages


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far one primary comparison has come, for the plan's smallest effect worth finding.

    power: the chance that this look would have established it. conditional_power: the chance that the look at the planned
    end still does, given the data so far; only where the plan has a rule for futility, before the end.
    """

    metric: str
    variant: str
    power: float | None = None
    conditional_power: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What to do, for which variant, and why; `rule` names the rule that fired."""

    action: DecisionAction
    variant: str | None
    because: str
    rule: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The whole answer.

    information: share of the planned users that this look rests on, where it is known. warnings: what is wrong or cannot be
    told. notes: what must be taken for granted to read a number, and why an optional one is not shown.
    """

    experiment: str
    as_of: datetime
    method: Method
    alpha: float
    information: float | None
    arms: tuple[ArmSummary, ...]
    health: tuple[HealthCheck, ...]
    metrics: tuple[MetricFinding, ...]
    decision: Decision
    progress: tuple[Progress, ...] = ()
    warnings: tuple[str, ...] = field(default=())
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The report as plain JSON values, in the contract's shape; never NaN or infinite."""
        plain = plain_json(self)
        if not isinstance(plain, dict):
            raise TypeError("a report is an object")
        plain["as_of"] = format_moment(self.as_of)
        return plain


def plain_json(value: object) -> Any:
    """Findings as plain JSON values; a number that is not finite is null."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {each.name: plain_json(getattr(value, each.name)) for each in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain_json(each) for key, each in value.items()}
    if isinstance(value, (tuple, list)):
        return [plain_json(each) for each in value]
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, str):
        return str(value)
    return value
