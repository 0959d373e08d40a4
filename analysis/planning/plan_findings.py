"""What a plan says, as values: `to_json` is what `POST /v1/plan` answers and `touchstone plan --json` prints."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from experiments.clock import format_moment
from experiments.errors import Problem
from experiments.vocabulary import Direction, MetricKind, MetricRole


@dataclass(frozen=True, slots=True, kw_only=True)
class Base:
    """What one user is like without the campaign. source: `history`, `campaigns` (earlier ones) or `given`; users: whose history it is.

    sd of a quantile: its standard error times the root of the users.
    """

    mean: float
    sd: float
    rho: float
    users: int | None
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AudienceFigures:
    """The audience now. `matched` users meet the condition (an estimate unless `exact`, between `lower` and `upper`);
    `left_out` says why users cannot take part, by the first reason; `taking_part` are left. Estimates from `looked_at` users.
    """

    matched: int
    exact: bool
    lower: int
    upper: int
    left_out: Mapping[str, int]
    taking_part: int
    looked_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """How users come in. at_once: at the start; per_day: on a day after that, None where nobody knows. days: for how long;
    by_the_end: how many until then. source: where that is known from.
    """

    at_once: int
    per_day: float | None
    days: int
    by_the_end: int | None
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Sending:
    """What is to be sent. messages: of everybody by the end; people: who get any. per_day: what the number and the policy let
    through; days: until the last one is out; limited_by: what makes it take that long.
    """

    messages: int
    people: int
    per_day: int
    days: float
    limited_by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricPlan:
    """One metric. effect: relative, on those who are reached; assigned_effect: what becomes of it in the whole arm, in units of the
    metric. comparisons: among which alpha is shared out. power: of finding the effect (a guardrail with a margin: of showing that
    it is kept) by the end; minimum_effect: found with the planned power by the users there are; users_needed, days_needed: for the
    planned power. least_users: of a share without a base, needed if the base were the best there can be (`plan_metrics.least_users`).
    What is null has a reason among `reasons`, but for least_users.
    """

    metric: str
    kind: MetricKind
    role: MetricRole
    direction: Direction
    base: Base | None = None
    effect: float | None = None
    assigned_effect: float | None = None
    margin: float | None = None
    comparisons: int = 1
    power: float | None = None
    minimum_effect: float | None = None
    users_needed: int | None = None
    least_users: int | None = None
    days_needed: int | None = None
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class FactorPlan:
    """One contrast of crossed variants, of the first primary metric, at an effect of the planned size. kind: `main` (a level against the first,
    over all cells) or `interaction` (how much one effect changes with another level); the rest as in `MetricPlan`.
    """

    kind: str
    factors: tuple[str, ...]
    levels: tuple[str, ...]
    comparisons: int = 1
    power: float | None = None
    minimum_effect: float | None = None
    users_needed: int | None = None
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardPlan:
    """How soon a guard stops the smallest variant, where `harmful` users are harmed by it instead of `base`, those of the control. base_source: `given`, `campaigns` (earlier ones),
    `assumed`, or `silent` (a control without messages harms nobody). margin: how much more is tolerated.

    stopped_early: the share of campaigns that stop it by the time the share `early` of the `people` is messaged, with its Monte-Carlo error; people_needed: with so many it would be the share
    `wanted`. What is null has a reason among `reasons`.
    """

    guard: str
    base: float
    base_source: str
    harmful: float
    margin: float
    early: float
    wanted: float
    people: int | None
    stopped_early: float | None = None
    standard_error: float | None = None
    people_needed: int | None = None
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Missing:
    """Why a message cannot be written to so many `users`: the `field` of the message, and what is missing there."""

    field: str
    reason: str
    users: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MessagePlan:
    """The message of a variant, tried on `checked` users of those who could take part: `failed` of them cannot be written to, most for the
    first of `reasons`. failed None: it is not known, because of `unknown`.
    """

    variant: str
    checked: int
    failed: int | None
    reasons: tuple[Missing, ...] = ()
    unknown: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """Power at a number of users, for the picture."""

    users: int
    power: float


@dataclass(frozen=True, slots=True, kw_only=True)
class EffectPoint:
    """Power at a relative effect, for the picture."""

    effect: float
    power: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Looking:
    """What so many `looks` by a `method` cost: `users_needed`, `times` those of one fixed look."""

    method: str
    looks: int
    users_needed: int
    times: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Simulation:
    """What `runs` simulated experiments say of one metric: shares with their Monte-Carlo standard errors.

    found: by comparison, after Holm; any_found, all_found: at least one, every one. mean_days: until something is found, or the end.
    policy: how traffic was split, by which each run was. days_to_power: after which something had been found in the planned share of the runs; None: not by the end.
    """

    metric: str
    policy: str
    runs: int
    found: Mapping[str, float]
    standard_errors: Mapping[str, float]
    any_found: float
    all_found: float
    mean_days: float
    days_to_power: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CampaignPlan:
    """The whole plan. start_problems: why a start now would be refused, though the design is sound: moments that are past. method: what the report will use; looks: how often it finds new results; effect: the planned mde.

    reach: share of the messaged arms that is reached in time, with reach_source. messages: whether they can be written. factors: of crossed variants. guards: what is stopped while it runs, and how soon. curve: power of the first primary metric, by users; effects: by the effect, with the users there are; looking: what looks cost it. verdict: the plan in
    words, the most important first; limits: what keeps it from more; assumptions: what it rests on that nobody measured.
    """

    experiment: str
    as_of: datetime
    start_problems: tuple[Problem, ...] = ()
    method: str
    alpha: float
    power: float
    effect: float | None
    looks: int
    reach: float
    reach_source: str
    arms: Mapping[str, float]
    audience: AudienceFigures
    entry: Entry
    sending: Sending | None
    messages: tuple[MessagePlan, ...] = ()
    metrics: tuple[MetricPlan, ...]
    factors: tuple[FactorPlan, ...] = ()
    guards: tuple[GuardPlan, ...] = ()
    curve: tuple[Point, ...] = ()
    effects: tuple[EffectPoint, ...] = ()
    looking: tuple[Looking, ...] = ()
    simulation: Simulation | None = None
    verdict: tuple[str, ...] = ()
    limits: tuple[str, ...] = ()
    assumptions: tuple[str, ...] = ()
    warnings: tuple[str, ...] = field(default=())

    def to_json(self) -> dict[str, Any]:
        """Plain values; moments as ISO 8601."""
        return {**asdict(self), "as_of": format_moment(self.as_of)}
