"""What travels over HTTP about plans."""

from datetime import datetime
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field

from analysis.planning.plan_findings import CampaignPlan
from analysis.planning.plan_inputs import MOST_RUNS, Assumptions
from experiments.vocabulary import Direction, Method, MetricKind, MetricRole


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True)


class PlanRequest(BaseModel):
    """`simulate`: so many experiments beside the formulas, for Holm, factors and delays; 0: none, or with a
    bandit as many as take a few seconds.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    campaign: dict[str, Any] = Field(description="A campaign: the document that `POST /v1/experiments` takes")
    assumptions: Assumptions = Assumptions()
    simulate: int = Field(0, ge=0, le=MOST_RUNS, strict=True)


class PlanAudience(_Answer):
    """`matched` users meet the condition now (an estimate unless `exact`, between `lower` and `upper`); `left_out` counts those who
    cannot take part, by the first reason; `taking_part` are left. All but `matched` come from `looked_at` users.
    """

    matched: int
    exact: bool
    lower: int
    upper: int
    left_out: dict[str, int]
    taking_part: int
    looked_at: int


class PlanEntry(_Answer):
    """How users come in: `at_once` at the start, `per_day` after that, for `days`; null where nobody knows."""

    at_once: int
    per_day: float | None
    days: int
    by_the_end: int | None
    source: str


class PlanSending(_Answer):
    """`days` until the last message is out, and what makes it take that long."""

    messages: int
    people: int
    per_day: int
    days: float
    limited_by: str


class PlanBase(_Answer):
    """What one user is like without the campaign; `source` is history or campaigns (of so many `users`), or given. `sd` of a quantile is its
    standard error times the root of the users.
    """

    mean: float
    sd: float
    rho: float
    users: int | None
    source: str


class PlanMetric(_Answer):
    """`effect` is relative, on those who are reached; `assigned_effect` is what becomes of it in the whole arm, in the metric's unit. `power`
    is that of the users there are, `minimum_effect` what these find. What is null has its reason in `reasons`. `least_users` only of a share without a
    `base`: so many would be needed even if nearly everybody did it.
    """

    metric: str
    kind: MetricKind
    role: MetricRole
    direction: Direction
    base: PlanBase | None
    effect: float | None
    assigned_effect: float | None
    margin: float | None
    comparisons: int
    power: float | None
    minimum_effect: float | None
    users_needed: int | None
    least_users: int | None
    days_needed: int | None
    reasons: list[str]


class PlanFactor(_Answer):
    """A contrast of crossed variants: `kind` main or interaction, of `levels` against the first of their `factors`."""

    kind: str
    factors: list[str]
    levels: list[str]
    comparisons: int
    power: float | None
    minimum_effect: float | None
    users_needed: int | None
    reasons: list[str]


class PlanGuard(_Answer):
    """How soon a guard stops the smallest variant when `harmful` of its users are harmed instead of `base`, those of the control (`base_source`: given, campaigns, assumed, or silent).
    `stopped_early`: the share of drawn campaigns, with its error, that stop it by the time the share `early` of the `people` is messaged; `people_needed` would make that the share `wanted`.
    What is null has its reason in `reasons`.
    """

    guard: str
    base: float
    base_source: str
    harmful: float
    margin: float
    early: float
    wanted: float
    people: int | None
    stopped_early: float | None
    standard_error: float | None
    people_needed: int | None
    reasons: list[str]


class PlanMissing(_Answer):
    """Why a message cannot be written to so many `users`: the `field` of the message, and what is missing there."""

    field: str
    reason: str
    users: int


class PlanMessage(_Answer):
    """The message of a `variant`, written to `checked` users who could take part: for `failed` of them it cannot be. null: not known,
    for the reason in `unknown`.
    """

    variant: str
    checked: int
    failed: int | None
    reasons: list[PlanMissing]
    unknown: str | None


class PlanPoint(_Answer):
    users: int
    power: float


class PlanEffectPoint(_Answer):
    effect: float
    power: float


class PlanLooking(_Answer):
    """`users_needed` with so many `looks` by a `method`, and `times` those of one fixed look; by the formulas."""

    method: Method
    looks: int
    users_needed: int
    times: float


class PlanSimulation(_Answer):
    """Shares of the simulated experiments, with their Monte-Carlo standard errors; `found` by comparison, after Holm. `policy`: how traffic
    was split. `days_to_power`: after which something had been found in the planned share of the runs; null: not by the end.
    """

    metric: str
    policy: str
    runs: int
    found: dict[str, float]
    standard_errors: dict[str, float]
    any_found: float
    all_found: float
    mean_days: float
    days_to_power: float | None


class PlanStartProblem(_Answer):
    """Why `start` would refuse the campaign at this moment."""

    field: str
    message: str


class PlanAnswer(_Answer):
    """`start_problems` are moments that are past: a design may be sound that could not be started now. `method` is what the report will use; `verdict` says the plan in words, `limits` what keeps it from more, `assumptions` what it
    rests on; `factors`, `curve`, `effects` and `looking` are of the first primary metric: power by users, power by the effect with the users there are (else
    with those needed), and what looks cost.
    """

    experiment: str
    as_of: datetime
    start_problems: list[PlanStartProblem]
    method: Method
    alpha: float
    power: float
    effect: float | None
    looks: int
    reach: float
    reach_source: str
    arms: dict[str, float]
    audience: PlanAudience
    entry: PlanEntry
    sending: PlanSending | None
    messages: list[PlanMessage]
    metrics: list[PlanMetric]
    factors: list[PlanFactor]
    guards: list[PlanGuard]
    curve: list[PlanPoint]
    effects: list[PlanEffectPoint]
    looking: list[PlanLooking]
    simulation: PlanSimulation | None
    verdict: list[str]
    limits: list[str]
    assumptions: list[str]
    warnings: list[str]

    @classmethod
    def of(cls, plan: CampaignPlan) -> Self:
        return cls.model_validate(plan.to_json())
