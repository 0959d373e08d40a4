"""Which metrics are computed in one pass over the same rows, and what is known of them together."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property

from experiments.metrics import MetricDefinition
from experiments.quantities import QuantityFields

Source = tuple[str, str]


@dataclass(frozen=True, kw_only=True)
class MetricGroup:
    """Metrics that are computed in one pass, because they look at the same events (or at messages) in the same window."""

    window: timedelta
    metrics: tuple[tuple[str, MetricDefinition], ...]

    @cached_property
    def events(self) -> tuple[str, ...]:
        """The names of all events that count."""
        names = (part.event for _, metric in self.metrics for part in metric.quantities.values())
        return tuple(dict.fromkeys(name for name in names if name is not None))

    @cached_property
    def has_messages(self) -> bool:
        return any(part.message for _, metric in self.metrics for part in metric.quantities.values())

    @cached_property
    def has_ranked_caps(self) -> bool:
        """Whether a cap is a quantile of the numbers of all users."""
        caps = (part.cap for _, metric in self.metrics for part in metric.quantities.values())
        return any(cap is not None and cap.quantile is not None for cap in caps)

    @cached_property
    def longest_covariate(self) -> timedelta | None:
        return max((metric.covariate for _, metric in self.metrics if metric.covariate), default=None)


def group_metrics(definitions: Mapping[str, MetricDefinition]) -> list[MetricGroup]:
    """Metrics with a source and a window in common, in the order of their first appearance.

    A ratio of two events brings the metrics of both together.
    """
    groups: list[tuple[timedelta, set[Source], list[tuple[str, MetricDefinition]]]] = []
    for key, metric in definitions.items():
        sources = {_source(part) for part in metric.quantities.values()}
        joined = [group for group in groups if group[0] == metric.window and group[1] & sources]
        if not joined:
            groups.append((metric.window, sources, [(key, metric)]))
            continue
        first, *others = joined
        for other in others:
            first[1].update(other[1])
            first[2].extend(other[2])
            groups.remove(other)
        first[1].update(sources)
        first[2].append((key, metric))
    return [MetricGroup(window=window, metrics=tuple(metrics)) for window, _, metrics in groups]


def _source(part: QuantityFields) -> Source:
    return ("event", part.event) if part.event is not None else ("messages", "")


def letters_of(metric: MetricDefinition) -> tuple[str, ...]:
    """The columns of `outcomes` for a metric, in the words of `Aggregate.from_sums`: y, d of a ratio, x of a covariate."""
    return (*metric.quantities, *(("x",) if metric.covariate is not None else ()))
