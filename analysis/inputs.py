"""What a report is made from: the metrics, the arms with their sufficient statistics, and the plan of the analysis.

`facts.py` and `files.py` fill these in; `report.build_report(experiment=, as_of=, plan=, metrics=, arms=, checks=(),
warnings=()) -> Report` reads them. All are frozen values.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from analysis.stats.aggregates import Aggregate
from analysis.stats.quantiles import Quantile
from experiments.vocabulary import Direction, Method, MetricKind, MetricRole


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricSpec:
    """One metric of the report.

    margin: for a guardrail, the worsening that is tolerated, in absolute units of the metric (>= 0); without one the
    guardrail only looks for harm and never holds a decision up. quantile: the level in (0, 1) of kind quantile.
    """

    key: str
    kind: MetricKind
    role: MetricRole = MetricRole.PRIMARY
    direction: Direction = Direction.INCREASE
    margin: float | None = None
    quantile: float = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Messages:
    """What happened to the messages of one arm, in messages."""

    accepted: int = 0
    delivered: int = 0
    read: int = 0
    clicked: int = 0
    suppressed: Mapping[str, int] = field(default_factory=dict)
    """Messages that were not sent, by reason (cap, consent, quiet_hours ..)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reached:
    """How many *users* of one arm got as far as each stage (at least one message); what the health checks compare."""

    accepted: int = 0
    delivered: int = 0
    read: int = 0
    clicked: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochFacts:
    """One arm in one epoch, over mature users. users: of the epoch in any arm. propensity: the chance to be drawn into this arm.

    propensity: None where it is not known any more.
    """

    epoch: int
    users: int
    propensity: float | None
    outcome: Aggregate


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmFacts:
    """One arm.

    weight: its share of the traffic as it was really drawn (any positive scale; the mean propensity when weights
    changed); 0 means that nobody should be in it. assigned: users assigned. units: what was drawn, where users are drawn together
    (households); None where each is drawn alone. mature: those whose window has closed.
    sends: False for a holdout arm. messages and reached are None where there are no messages at all (a file).
    aggregates: metric key -> sufficient statistics over the mature users; a metric that could not be computed is absent.
    compliance: the same for metrics that are to be told per user reached, with D = 1 for a user whom a message reached.
    levels: factor -> level, for an arm that was made by crossing factors.
    epochs: metric key -> its statistics by epoch, where weights have changed; every arm has the same epochs, ascending.
    """

    variant: str
    control: bool
    weight: float
    assigned: int
    mature: int
    sends: bool = True
    messages: Messages | None = None
    reached: Reached | None = None
    aggregates: Mapping[str, Aggregate | Quantile] = field(default_factory=dict)
    compliance: Mapping[str, Aggregate] = field(default_factory=dict)
    levels: Mapping[str, str] = field(default_factory=dict)
    epochs: Mapping[str, tuple[EpochFacts, ...]] = field(default_factory=dict)
    units: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FactorSpec:
    """One factor of a crossing. levels: in the order of the design; the others are compared with the first."""

    key: str
    levels: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class AnalysisPlan:
    """How the comparison was planned.

    planned_n: mature users of all arms together at the planned end; None when no maximum is known (`spending` then
    falls back to `always_valid`, with a warning). information: the information fraction of this look, by default
    mature / planned_n. looks: the fractions of all earlier looks at which a report was shown. ended: no more data
    will come (stopped, or past its end with every window closed); the last look then spends all alpha that is left.
    closed: nobody enters any more, though windows may be open.
    minimum_effect: the smallest relative lift worth finding; at the end, an interval wholly below it says keep_control.
    minimum_users: no decision but stop_harm before every arm has so many mature users. minimum_weeks: nor before so many
    whole weeks have run; run_time: how long it has run (None: not known, so that weeks are not asked for); stopped: and that
    it will not run longer.
    power: planned; stop_at_power: a look that would have established minimum_effect with this probability is an end.
    futility: give up when the conditional power of every comparison falls below this. quiet_guardrails: those whose breach
    stops nothing (it still holds a winner up).
    weights_changed: users were drawn with different weights over time, by a bandit or by hand, so arms are compared by epoch.
    variances: metric -> (information fraction, variance of a user's outcome within the arms) at earlier looks, as far as they are kept; then looks under
    `spending` are as alike as variances say. None, as in plans from before these were kept and in files: as their users say.
    stopped_arms: variants that a guardrail has stopped while the experiment ran -> why. retired_arms: those that get nobody new because
    somebody said so; they count in every comparison, and nobody waits for their users.
    """

    method: Method = Method.SPENDING
    alpha: float = 0.05
    planned_n: int | None = None
    information: float | None = None
    looks: tuple[float, ...] = ()
    ended: bool = False
    closed: bool = False
    spending: str = "obrien_fleming"
    minimum_effect: float | None = None
    minimum_users: int = 100
    minimum_weeks: int = 0
    run_time: timedelta | None = None
    stopped: bool = False
    power: float = 0.8
    stop_at_power: bool = False
    futility: float | None = None
    quiet_guardrails: tuple[str, ...] = ()
    weights_changed: bool = False
    variances: Mapping[str, tuple[tuple[float, float], ...]] | None = None
    stopped_arms: Mapping[str, str] = field(default_factory=dict)
    retired_arms: tuple[str, ...] = ()


def share_of(arms: Sequence[ArmFacts], treatment: ArmFacts) -> float:
    """The share of all traffic that goes to the control and this arm together; 1 where weights do not say."""
    weights = sum(arm.weight for arm in arms)
    pair = treatment.weight + sum(arm.weight for arm in arms if arm.control)
    share = pair / weights if weights > 0 else 1.0
    return share if 0 < share <= 1 else 1.0
