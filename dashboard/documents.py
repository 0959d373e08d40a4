"""What the API says, as frozen values.

The API may add keys at any time, and an answer may lack what cannot be told. So everything here is read defensively:
an unknown key is ignored, an absent or impossible number is None, and None is later told in words, never as a number.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any


class Unreadable(Exception):
    """The answer is not the document that was asked for."""


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate with its bounds; a bound that is None is open."""

    estimate: float
    lower: float | None
    upper: float | None


@dataclass(frozen=True, slots=True)
class Effect:
    """One variant against the control. None everywhere means: cannot tell."""

    variant: str
    control: str
    absolute: Interval | None
    relative: Interval | None
    p_value: float | None
    adjusted_p_value: float | None
    significant: bool | None
    probability_better: float | None
    variance_reduction: float | None
    cace: Interval | None


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
    """`ok` is None when the check could not be made."""

    check: str
    stage: str
    p_value: float | None
    ok: bool | None
    detail: str


@dataclass(frozen=True, slots=True)
class Decision:
    action: str
    variant: str | None
    because: str


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
    key: str
    name: str
    hypothesis: str
    status: str
    category: str
    started_at: datetime | None
    stopped_at: datetime | None
    design: Mapping[str, Any] = field(default_factory=dict)

    @property
    def silent_variants(self) -> frozenset[str]:
        """Variants that send nothing by design."""
        return frozenset(
            str(variant.get("key"))
            for variant in _mappings(self.design.get("variants"))
            if not variant.get("message")
        )


def read_experiment(document: Any) -> Experiment:
    """Raises Unreadable when `document` is no experiment at all."""
    if not isinstance(document, Mapping) or not isinstance(document.get("key"), str):
        raise Unreadable("it is not an experiment")
    design = _mapping(document.get("design"))
    return Experiment(
        key=document["key"],
        name=_text(document.get("name")) or document["key"],
        hypothesis=_text(document.get("hypothesis")) or _text(design.get("hypothesis")),
        status=_text(document.get("status")) or "unknown",
        category=_text(document.get("category")) or _text(design.get("category")),
        started_at=_moment(document.get("started_at")),
        stopped_at=_moment(document.get("stopped_at")),
        design=design,
    )


def read_report(document: Any, *, design: Mapping[str, Any]) -> Report:
    """The report; `design` supplies the direction and the margin of a metric where the report is silent.

    Raises Unreadable when `document` is no report at all.
    """
    if not isinstance(document, Mapping) or not isinstance(document.get("arms"), Sequence):
        raise Unreadable("it is not a report")
    designed = {use.get("key"): use for use in _mappings(design.get("metrics"))}
    decision = _mapping(document.get("decision"))
    return Report(
        experiment=_text(document.get("experiment")),
        as_of=_moment(document.get("as_of")),
        method=_text(document.get("method")),
        alpha=_number(document.get("alpha")) or 0.05,
        arms=tuple(_arm(arm) for arm in _mappings(document.get("arms"))),
        health=tuple(_health(check) for check in _mappings(document.get("health"))),
        metrics=tuple(
            _metric(metric, _mapping(designed.get(metric.get("metric"))))
            for metric in _mappings(document.get("metrics"))
        ),
        decision=Decision(
            action=_text(decision.get("action")),
            variant=_text(decision.get("variant")) or None,
            because=_text(decision.get("because")),
        ),
        warnings=tuple(_text(warning) for warning in _items(document.get("warnings")) if _text(warning)),
    )


def read_counts(document: Any) -> Mapping[str, int]:
    """The whole numbers of a flat mapping; everything else in it is left out."""
    return {
        str(name): value
        for name, value in _mapping(document).items()
        if isinstance(value, int) and not isinstance(value, bool)
    }


def _arm(document: Mapping[str, Any]) -> Arm:
    messages = _mapping(document.get("messages"))
    mature = document.get("mature")
    return Arm(
        variant=_text(document.get("variant")),
        control=document.get("control") is True,
        assigned=read_counts(document).get("assigned", 0),
        mature=mature if isinstance(mature, int) else None,
        messages=read_counts(messages),
        suppressed=read_counts(messages.get("suppressed")),
    )


def _health(document: Mapping[str, Any]) -> HealthCheck:
    ok = document.get("ok")
    return HealthCheck(
        check=_text(document.get("check")),
        stage=_text(document.get("stage")),
        p_value=_number(document.get("p_value")),
        ok=ok if isinstance(ok, bool) else None,
        detail=_text(document.get("detail")),
    )


def _metric(document: Mapping[str, Any], designed: Mapping[str, Any]) -> Metric:
    direction = document.get("direction") or designed.get("direction")
    margin = document.get("margin", designed.get("margin"))
    return Metric(
        key=_text(document.get("metric")),
        kind=_text(document.get("kind")),
        role=_text(document.get("role")),
        higher_is_better=direction != "decrease" if direction else None,
        margin=_number(margin),
        arms=tuple(
            ArmMean(
                variant=_text(arm.get("variant")),
                n=read_counts(arm).get("n", 0),
                mean=_number(arm.get("mean")),
                sd=_number(arm.get("sd")),
            )
            for arm in _mappings(document.get("arms"))
        ),
        effects=tuple(_effect(effect) for effect in _mappings(document.get("effects"))),
    )


def _effect(document: Mapping[str, Any]) -> Effect:
    significant = document.get("significant")
    bayes = _mapping(document.get("bayes"))
    return Effect(
        variant=_text(document.get("variant")),
        control=_text(document.get("control")),
        absolute=_interval(document.get("absolute")),
        relative=_interval(document.get("relative")),
        p_value=_number(document.get("p_value")),
        adjusted_p_value=_number(document.get("adjusted_p_value")),
        significant=significant if isinstance(significant, bool) else None,
        probability_better=_number(bayes.get("probability_better")),
        variance_reduction=_number(document.get("variance_reduction")),
        cace=_interval(document.get("cace")),
    )


def _interval(document: Any) -> Interval | None:
    values = _mapping(document)
    estimate = _number(values.get("estimate"))
    if estimate is None:
        return None
    return Interval(estimate, _number(values.get("lower")), _number(values.get("upper")))


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _moment(value: Any) -> datetime | None:
    try:
        moment = datetime.fromisoformat(_text(value))
    except ValueError:
        return None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _items(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list | tuple) else ()


def _mappings(value: Any) -> list[Mapping[str, Any]]:
    return [item for item in _items(value) if isinstance(item, Mapping)]
