"""What the API says, as frozen values. None means: cannot tell, or not said; `reading.py` makes them from JSON."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate with its bounds; a bound that is None is open."""

    estimate: float
    lower: float | None
    upper: float | None


@dataclass(frozen=True, slots=True)
class GuardrailVerdict:
    """Surely not worse than the margin; surely worse than it. Neither: not told apart yet."""

    non_inferior: bool
    breached: bool


@dataclass(frozen=True, slots=True)
class Effect:
    """One variant against the control. None everywhere means: cannot tell.

    `absolute` and `relative` are at the plain level; `adjusted` is the absolute interval that allows for all comparisons. `believed`: the
    bounds of the posterior's central credible interval, at the same level; `expected_loss` in units of the metric.
    """

    variant: str
    control: str
    absolute: Interval | None
    relative: Interval | None
    adjusted: Interval | None
    p_value: float | None
    adjusted_p_value: float | None
    significant: bool | None
    probability_better: float | None
    variance_reduction: float | None
    cace: Interval | None
    guardrail: GuardrailVerdict | None
    expected_loss: float | None = None
    believed: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class FactorEffect:
    """A level of a factor against the factor's first level, over all others (kind main); or of two factors (kind interaction)."""

    kind: str
    factors: tuple[str, ...]
    levels: tuple[str, ...]
    against: tuple[str, ...]
    absolute: Interval | None
    relative: Interval | None
    adjusted_p_value: float | None
    significant: bool | None


@dataclass(frozen=True, slots=True)
class ArmMean:
    variant: str
    n: int
    mean: float | None
    sd: float | None


@dataclass(frozen=True, slots=True)
class Metric:
    """`higher_is_better` is None when neither the report nor the design says so."""

    key: str
    kind: str
    role: str
    higher_is_better: bool | None
    margin: float | None
    arms: tuple[ArmMean, ...]
    effects: tuple[Effect, ...]
    factors: tuple[FactorEffect, ...] = ()

    @property
    def limit(self) -> float | None:
        """The harm that a guardrail tolerates, absolute; None when this metric is not judged against a margin."""
        return self.margin if self.role == "guardrail" and self.higher_is_better is not None else None

    def arm(self, variant: str) -> ArmMean | None:
        return next((arm for arm in self.arms if arm.variant == variant), None)


@dataclass(frozen=True, slots=True)
class Arm:
    """`messages` are counts by stage (accepted, delivered, read, clicked, ..); `suppressed` are counts by reason."""

    variant: str
    control: bool
    assigned: int
    mature: int | None
    messages: Mapping[str, int]
    suppressed: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class HealthCheck:
    """`ok` is None when the check could not be made. `blocking`: a failure forbids to trust the effects."""

    check: str
    stage: str
    p_value: float | None
    ok: bool | None
    detail: str
    blocking: bool


@dataclass(frozen=True, slots=True)
class Decision:
    """`rule` names what decided it; empty when the API does not say."""

    action: str
    variant: str | None
    because: str
    rule: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    experiment: str
    as_of: datetime | None
    method: str
    alpha: float
    arms: tuple[Arm, ...]
    health: tuple[HealthCheck, ...]
    metrics: tuple[Metric, ...]
    decision: Decision
    warnings: tuple[str, ...]

    @property
    def primary(self) -> Metric | None:
        return next((metric for metric in self.metrics if metric.role == "primary"), None)

    @property
    def users(self) -> int:
        return sum(arm.assigned for arm in self.arms)

    @property
    def messages(self) -> int:
        """Messages that WhatsApp accepted."""
        return sum(arm.messages.get("accepted", 0) for arm in self.arms)


@dataclass(frozen=True, slots=True)
class Experiment:
    """`shipped`: the variant that everybody who comes gets. `released`: of an audience that goes out in waves, the share that is out.

    `measured_until`: of a stopped one, when the last window closes.
    """

    key: str
    name: str
    hypothesis: str
    status: str
    category: str
    started_at: datetime | None
    stopped_at: datetime | None
    design: Mapping[str, Any] = field(default_factory=dict)
    shipped: str | None = None
    released: float | None = None
    measured_until: datetime | None = None

    @property
    def is_live(self) -> bool:
        return self.status in {"running", "paused"}

    def may_change(self, as_of: datetime | None) -> bool:
        """Whether a look may say something else than the report of that moment does."""
        if self.is_live or self.measured_until is None or as_of is None:
            return self.status != "draft"
        return as_of < self.measured_until

    @property
    def policy(self) -> str:
        """Who decides on the weights: fixed, thompson or top_two."""
        allocation = self.design.get("allocation")
        named = allocation.get("policy") if isinstance(allocation, Mapping) else None
        return str(named or "fixed")

    @property
    def variants(self) -> list[Mapping[str, Any]]:
        """The variants as they were designed."""
        found = self.design.get("variants")
        return [item for item in found if isinstance(item, Mapping)] if isinstance(found, list) else []

    @property
    def control(self) -> str | None:
        """The variant with which all others are compared."""
        return next((str(item.get("key")) for item in self.variants if item.get("control")), None)

    @property
    def silent_variants(self) -> frozenset[str]:
        """Variants that send nothing by design."""
        return frozenset(str(variant.get("key")) for variant in self.variants if not variant.get("message"))


@dataclass(frozen=True, slots=True)
class Outbox:
    """Messages by state; `holds` says whether every planned message is accounted for, None when that was not said."""

    states: Mapping[str, int] = field(default_factory=dict)
    holds: bool | None = None


@dataclass(frozen=True, slots=True)
class ImportRun:
    """One import by file or pull. `light` is ok, look or bad; `counts` are its rows by what became of them."""

    id: int
    source: str
    actor: str
    started_at: datetime | None
    finished_at: datetime | None
    error: str
    light: str
    counts: Mapping[str, int]
    rejects: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True, slots=True)
class Topic:
    """One side of the quality of an import, in one sentence; `light` is empty when it cannot be told."""

    name: str
    light: str
    sentence: str


@dataclass(frozen=True, slots=True)
class QualityColumn:
    """One column of an import. `becomes` is empty for a column that is not read; `share` is of its filled cells."""

    name: str
    becomes: str
    light: str
    share: float | None
    invalid: int
    distinct: int | None
    exact: bool
    kinds: Mapping[str, int]
    numbers: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Quality:
    light: str
    rows: int
    topics: tuple[Topic, ...]
    findings: tuple[Topic, ...]
    columns: tuple[QualityColumn, ...]
