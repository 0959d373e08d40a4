"""What the kept reports said of an effect over time, and effects by slice of the users."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from dashboard import values
from dashboard.documents import Effect, Interval
from dashboard.reading import Unreadable, read_effect


@dataclass(frozen=True, slots=True)
class Point:
    """One effect at one look. `interval` is None where it could not be told; it holds at every look by the report's method."""

    report: int
    at: datetime
    metric: str
    variant: str
    interval: Interval | None
    users: int | None
    p_value: float | None


@dataclass(frozen=True, slots=True)
class SliceEffect:
    """One variant against the control among the users of one slice; `reasons` say why what is missing is missing."""

    slice: str
    users: int
    control_users: int
    effect: Effect
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class MetricSlices:
    """`says`: whether the slices of each variant differ by more than chance, in the report's words."""

    metric: str
    kind: str
    role: str
    slices: tuple[SliceEffect, ...]
    says: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Slices:
    by: str
    as_of: datetime | None
    alpha: float
    metrics: tuple[MetricSlices, ...]
    warnings: tuple[str, ...]
    notes: tuple[str, ...]


def read_course(document: Any) -> list[Point]:
    """Raises Unreadable when `document` is no series of looks."""
    if not isinstance(document, Mapping) or not isinstance(document.get("items"), list):
        raise Unreadable("it is not a series of looks")
    return [
        _point(look, effect)
        for look in values.mappings(document["items"])
        if values.moment(look.get("as_of")) is not None
        for effect in values.mappings(look.get("effects"))
    ]


def _point(look: Mapping[str, Any], effect: Mapping[str, Any]) -> Point:
    at = values.moment(look.get("as_of"))
    assert at is not None  # noqa: S101  # looks without a time were left out
    return Point(
        report=values.counts(look).get("report", 0),
        at=at,
        metric=values.text(effect.get("metric")),
        variant=values.text(effect.get("variant")),
        interval=values.interval(effect),
        users=values.whole(effect.get("n")),
        p_value=values.number(effect.get("p_value")),
    )


def read_slices(document: Any) -> Slices:
    """Raises Unreadable when `document` is no report by slices."""
    if not isinstance(document, Mapping) or not isinstance(document.get("metrics"), list):
        raise Unreadable("it is not a report by slices")
    return Slices(
        by=values.text(document.get("by")),
        as_of=values.moment(document.get("as_of")),
        alpha=values.number(document.get("alpha")) or 0.05,
        metrics=tuple(_metric(metric) for metric in values.mappings(document["metrics"])),
        warnings=values.texts(document.get("warnings")),
        notes=values.texts(document.get("notes")),
    )


def _metric(document: Mapping[str, Any]) -> MetricSlices:
    return MetricSlices(
        metric=values.text(document.get("metric")),
        kind=values.text(document.get("kind")),
        role=values.text(document.get("role")),
        slices=tuple(_slice(each) for each in values.mappings(document.get("slices"))),
        says=tuple(
            (values.text(each.get("variant")), values.text(each.get("says")))
            for each in values.mappings(document.get("heterogeneity"))
        ),
    )


def _slice(document: Mapping[str, Any]) -> SliceEffect:
    known = values.counts(document)
    return SliceEffect(
        slice=values.text(document.get("slice")),
        users=known.get("n", 0),
        control_users=known.get("n_control", 0),
        effect=read_effect(values.mapping(document.get("effect"))),
        reasons=values.texts(document.get("reasons")),
    )
