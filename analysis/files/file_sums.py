# ruff: noqa: S608 - names of columns are our own
"""The sums of the metrics of a file over its units, per variant (and slice), as sufficient statistics."""

import math
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from analysis.files.file_columns import columns_of, products
from analysis.files.file_metrics import FileMetric
from analysis.stats.aggregates import Aggregate
from analysis.stats.covariates import Moments, with_covariates
from experiments.vocabulary import SHARE_KINDS

_ROUNDING: Final = 4 * sys.float_info.epsilon
Key = tuple[str, ...]
"""The variant, and the slice where that is asked for."""


@dataclass(frozen=True, slots=True)
class Summed:
    """By key and the name of the metric: outcomes, and for `reached` outcomes with whether the unit was reached."""

    aggregates: dict[Key, dict[str, Aggregate]] = field(default_factory=dict)
    compliance: dict[Key, dict[str, Aggregate]] = field(default_factory=dict)


def sums_of(
    ask: Callable[[str], Sequence[Any]],
    metrics: Sequence[tuple[int, FileMetric]],
    *,
    source: str = "units",
    by: Sequence[str] = (),
    means: Mapping[str, float | None] | None = None,
) -> Summed:
    """Sum up the numbered metrics over `source` per variant and the columns `by`. ask: runs a query, returns its rows.

    Two passes: the pooled means first, so that the squares are of deviations and keep their digits. means: where
    the columns are known already to be around.
    """
    found = Summed()
    if not metrics:
        return found
    shift = _shifts(metrics, means or _means(ask, metrics, source))
    keys = ["variant", *by]
    asked, names = [*keys, "count(*)"], []
    for i, metric in metrics:
        deviations = {
            letter: f"({letter}{i} - {shift[f'{letter}{i}']!r})" for letter, _ in columns_of(metric)
        }
        for name in products(deviations):
            asked.append(f"fsum({' * '.join(deviations[letter] for letter in name)})")
            names.append((i, name))
        asked.append(f"max(y{i})")
        names.append((i, "maximum"))
    together: dict[str, dict[Key, Moments]] = {
        metric.name: {} for _, metric in metrics if metric.more_covariates
    }
    listed = ", ".join(keys)
    for row in ask(f"SELECT {', '.join(asked)} FROM {source} GROUP BY {listed} ORDER BY {listed}"):
        key, n, values = tuple(row[: len(keys)]), row[len(keys)], row[len(keys) + 1 :]
        sums: dict[int, dict[str, float]] = {}
        for (i, name), value in zip(names, values, strict=True):
            sums.setdefault(i, {})[name] = value
        mine = found.aggregates.setdefault(key, {})
        for i, metric in metrics:
            own = {letter: shift[f"{letter}{i}"] for letter, _ in columns_of(metric)}
            if metric.name in together:
                together[metric.name][key] = _moments(n, sums[i], own)
                continue
            mine[metric.name] = _aggregate(n, sums[i], own)
            if metric.reached is not None:
                as_d = {name.replace("r", "d"): value for name, value in sums[i].items() if "d" not in name}
                reached = {letter.replace("r", "d"): value for letter, value in own.items()}
                found.compliance.setdefault(key, {})[metric.name] = _aggregate(n, as_d, reached)
    for name, arms in together.items():
        for key, aggregate in zip(arms, with_covariates(list(arms.values())), strict=True):
            found.aggregates[key][name] = aggregate
    return found


def _means(
    ask: Callable[[str], Sequence[Any]], metrics: Sequence[tuple[int, FileMetric]], source: str
) -> dict[str, float | None]:
    names = _names(metrics)
    found = ask(f"SELECT {', '.join(f'favg({name})' for name in names)} FROM {source}")[0]
    return dict(zip(names, found, strict=True))


def _shifts(metrics: Sequence[tuple[int, FileMetric]], means: Mapping[str, float | None]) -> dict[str, float]:
    # What is 0 or 1 adds up exactly as it is: where nobody bought, or was reached, the mean must be 0 to the last digit. A mean
    # beyond the largest double is no number that could be written into a query; the sums will be none either, and say so.
    whole = {f"y{i}" for i, metric in metrics if metric.kind in SHARE_KINDS}
    return {
        name: 0.0
        if name.startswith("r") or name in whole or (mean := means[name]) is None or not math.isfinite(mean)
        else float(mean)
        for name in _names(metrics)
    }


def _names(metrics: Sequence[tuple[int, FileMetric]]) -> list[str]:
    return [f"{letter}{i}" for i, metric in metrics for letter, _ in columns_of(metric)]


def _aggregate(n: int, sums: Mapping[str, float], shift: Mapping[str, float]) -> Aggregate:
    names = ("d", "dd", "yd", "x", "xx", "xy", "dx", "maximum")
    made = Aggregate.from_sums(
        n,
        sums["y"],
        sums["yy"],
        **{name: sums[name] for name in names if name in sums},
        **{f"shift_{letter}": value for letter, value in shift.items() if letter in "ydx"},
    )
    mean = _without_rounding(made.mean, shift["y"])
    if made.mean_d is None:
        return replace(made, mean=mean)
    return replace(made, mean=mean, mean_d=_without_rounding(made.mean_d, shift["d"]))


def _without_rounding(mean: float, shift: float) -> float:
    """A mean, or 0 where it is no more than what rounding left of `shift`: in an arm without revenue there is no lift to tell."""
    return 0.0 if abs(mean) <= _ROUNDING * abs(shift) else mean


def _moments(n: int, sums: Mapping[str, float], shift: Mapping[str, float]) -> Moments:
    def product(a: str, b: str) -> float:
        return sums[a + b] if a + b in sums else sums[b + a]

    made = Moments.from_sums(
        n,
        [sums[letter] for letter in shift],
        [[product(a, b) for b in shift] for a in shift],
        shift=list(shift.values()),
        maximum=sums["maximum"],
    )
    return replace(made, mean=(_without_rounding(made.mean[0], shift["y"]), *made.mean[1:]))
