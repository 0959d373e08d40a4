"""Where the marks of a report's pictures stand. Pure geometry: numbers in, shares of the picture's width and height (percent) out.

Marks are placed in percent and never stretched, so that a picture is as readable on a phone as on paper.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from analysis.reports.history import EffectPoint, LookPoint

MARGIN: Final = 4.0
"""Percent of a picture that stays free at each end of an axis."""


@dataclass(frozen=True, slots=True)
class Tick:
    """A line of the grid: where it stands, in percent, and what is written beside it."""

    at: float
    label: str


@dataclass(frozen=True, slots=True)
class Axis:
    """A straight scale from `low` to `high`, which lie MARGIN from the ends (or at both ends, when it is turned)."""

    low: float
    high: float
    turned: bool = False

    def at(self, value: float) -> float:
        """Percent from the left, or from the top when turned; what lies outside is put at the end.

        >>> Axis(-1.0, 1.0).at(0.0)
        50.0
        """
        spread = self.high - self.low
        share = (value - self.low) / spread if spread > 0 else 0.5
        share = min(max(share, 0.0), 1.0)
        place = MARGIN + (100 - 2 * MARGIN) * share
        return round(100 - place if self.turned else place, 3)

    def ticks(self, *, scale: float, unit: str, most: int = 5) -> tuple[Tick, ...]:
        """Round values inside the axis, told as value * scale with a unit."""
        values = round_values(self.low * scale, self.high * scale, most)
        step = values[1] - values[0] if len(values) > 1 else 1.0
        decimals = max(0, -math.floor(math.log10(step))) if step > 0 else 0
        return tuple(
            Tick(self.at(value / scale), f"{value:+,.{decimals}f}{unit}".replace("-", "−") if value else "0")
            for value in values
        )


@dataclass(frozen=True, slots=True)
class Marks:
    """One interval: the ends of the bar, the point, and the wider line that allows for all comparisons (None: none)."""

    lower: float
    upper: float
    estimate: float
    wide: tuple[float, float] | None


@dataclass(frozen=True, slots=True)
class IntervalPicture:
    """All effects of one metric on one axis. marks by variant; `limit`: where the tolerated harm of a guardrail ends."""

    marks: Mapping[str, Marks]
    zero: float
    limit: float | None
    ticks: tuple[Tick, ...]


@dataclass(frozen=True, slots=True)
class Line:
    """One variant over time. band and line are points of a picture 100 by 100; last: where the newest estimate stands."""

    variant: str
    band: str
    line: str
    last: tuple[float, float]


@dataclass(frozen=True, slots=True)
class TimePicture:
    """The effects of one metric over its looks, one line a variant, all on one axis; zero: the height of no effect."""

    lines: tuple[Line, ...]
    zero: float
    ticks: tuple[Tick, ...]
    begin: datetime
    end: datetime
    looks: int


def interval_picture(metric: Mapping[str, Any], *, scale: float, unit: str) -> IntervalPicture | None:
    """The picture of one metric's effects; None when none of them can be told."""
    known = [effect for effect in metric["effects"] if effect.get("absolute") is not None]
    if not known:
        return None
    sign = -1.0 if metric.get("direction", "increase") == "increase" else 1.0
    margins = [(effect.get("guardrail") or {}).get("margin") for effect in known]
    limit = next((sign * margin for margin in margins if margin), None)
    ends = [0.0, *([] if limit is None else [limit])]
    for effect in known:
        for name in ("absolute", "interval_adjusted"):
            interval = effect.get(name)
            ends += [] if interval is None else [interval["lower"], interval["upper"]]
    axis = Axis(min(ends), max(ends))
    return IntervalPicture(
        marks={effect["variant"]: _marks(effect, axis) for effect in known},
        zero=axis.at(0.0),
        limit=None if limit is None else axis.at(limit),
        ticks=axis.ticks(scale=scale, unit=unit),
    )


def _marks(effect: Mapping[str, Any], axis: Axis) -> Marks:
    plain, wide = effect["absolute"], effect.get("interval_adjusted") or effect["absolute"]
    is_wider = wide["lower"] < plain["lower"] or wide["upper"] > plain["upper"]
    return Marks(
        lower=axis.at(plain["lower"]),
        upper=axis.at(plain["upper"]),
        estimate=axis.at(plain["estimate"]),
        wide=(axis.at(wide["lower"]), axis.at(wide["upper"])) if is_wider else None,
    )


def time_picture(
    looks: Sequence[LookPoint], metric: str, variants: Sequence[str], *, scale: float, unit: str
) -> TimePicture | None:
    """The effects on one metric over the looks; None when fewer than two looks could tell any.

    The height is that of the later half of the looks (and of all estimates): first looks are so wide that nothing else would be seen.
    """
    found = {
        variant: [
            (look.as_of, effect)
            for look in looks
            for effect in look.effects
            if (effect.metric, effect.variant) == (metric, variant) and effect.estimate is not None
        ]
        for variant in variants
    }
    drawn = {variant: points for variant, points in found.items() if len(points) > 1}
    if not drawn:
        return None
    moments = sorted({moment for points in drawn.values() for moment, _ in points})
    across, up = Axis(0.0, (moments[-1] - moments[0]).total_seconds()), _height(drawn)
    return TimePicture(
        lines=tuple(_line(variant, points, moments[0], across, up) for variant, points in drawn.items()),
        zero=up.at(0.0),
        ticks=up.ticks(scale=scale, unit=unit, most=4),
        begin=moments[0],
        end=moments[-1],
        looks=len(moments),
    )


def _height(drawn: Mapping[str, Sequence[tuple[datetime, EffectPoint]]]) -> Axis:
    ends = [0.0]
    for points in drawn.values():
        ends += [effect.estimate for _, effect in points if effect.estimate is not None]
        for _, effect in points[len(points) // 2 :]:
            ends += [end for end in (effect.lower, effect.upper) if end is not None]
    return Axis(min(ends), max(ends), turned=True)


def _line(
    variant: str, points: Sequence[tuple[datetime, EffectPoint]], begin: datetime, across: Axis, up: Axis
) -> Line:
    places = [across.at((moment - begin).total_seconds()) for moment, _ in points]
    middle = [up.at(effect.estimate or 0.0) for _, effect in points]
    upper = [up.at(_or_estimate(effect.upper, effect)) for _, effect in points]
    lower = [up.at(_or_estimate(effect.lower, effect)) for _, effect in points]
    band = [*zip(places, upper, strict=True), *reversed([*zip(places, lower, strict=True)])]
    return Line(
        variant=variant,
        band=_points(band),
        line=_points(zip(places, middle, strict=True)),
        last=(places[-1], middle[-1]),
    )


def _or_estimate(end: float | None, effect: EffectPoint) -> float:
    return end if end is not None else effect.estimate or 0.0


def _points(pairs: Any) -> str:
    return " ".join(f"{x:g},{y:g}" for x, y in pairs)


def round_values(low: float, high: float, most: int) -> list[float]:
    """At most `most` multiples of 1, 2 or 5 times a power of ten from `low` to `high`.

    >>> round_values(-0.3, 1.1, 4)
    [0.0, 0.5, 1.0]
    """
    spread = high - low
    if not 0 < spread < math.inf:
        return [low]
    power = 10.0 ** math.floor(math.log10(spread / most))
    for step in (power * part for part in (1.0, 2.0, 5.0, 10.0, 20.0)):
        first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
        if last - first < most:
            return [round(i * step, 12) + 0.0 for i in range(first, last + 1)]
    return [low]
