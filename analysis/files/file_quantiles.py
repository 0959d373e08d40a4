# ruff: noqa: S608 - names of columns are our own
"""A quantile of a column of a file per variant, with the order statistics of its interval."""

from collections.abc import Callable, Sequence
from typing import Any

from analysis.stats.aggregates import Aggregate
from analysis.stats.difference import linearise_ratio
from analysis.stats.errors import InsufficientData
from analysis.stats.quantiles import Quantile, order_statistic_ranks

Ask = Callable[[str, Sequence[object]], Sequence[Any]]
"""Runs a query with parameters, returns its rows."""


def quantiles_of(ask: Ask, column: str, level: float, *, by_unit: bool) -> dict[str, Quantile]:
    """The quantile `level` of `column` per variant: of units, or of rows (by_unit) whose units are what varies."""
    rows = "typed SEMI JOIN units USING (unit, variant)" if by_unit else "units"
    found: dict[str, Quantile] = {}
    for variant, n, value in ask(
        f"SELECT variant, count(*), quantile_cont({column}, ?) FROM {rows} GROUP BY variant", [level]
    ):
        units, effect = _design_effect(ask, column, variant, value, level) if by_unit else (n, 1.0)
        try:
            low, high, z = order_statistic_ranks(n, level, design_effect=effect)
        except InsufficientData:
            found[variant] = Quantile(
                n=n, units=units, level=level, value=value, lower=None, upper=None, z=None
            )
            continue
        lower, upper = (
            ask(
                f"SELECT {column} FROM {rows} WHERE variant = ? ORDER BY {column} LIMIT 1 OFFSET {rank - 1:d}",
                [variant],
            )[0][0]
            for rank in (low, high)
        )
        found[variant] = Quantile(n=n, units=units, level=level, value=value, lower=lower, upper=upper, z=z)
    return found


def _design_effect(ask: Ask, column: str, variant: str, value: float, level: float) -> tuple[int, float]:
    # The share of rows at or below the quantile is a ratio of sums per unit; its variance over that of independent rows.
    units, y, yy, d, dd, yd = ask(
        f"SELECT count(*), sum(y), sum(y * y), sum(d), sum(d * d), sum(y * d) FROM (SELECT count(*)::DOUBLE AS d, "
        f"(count(*) FILTER (WHERE {column} <= ?))::DOUBLE AS y FROM typed SEMI JOIN units USING (unit, variant) "
        "WHERE variant = ? GROUP BY unit)",
        [value, variant],
    )[0]
    share = linearise_ratio(Aggregate.from_sums(units, y, yy, d=d, dd=dd, yd=yd))
    effect = share.variance / units * d / (level * (1 - level))
    return units, effect if effect > 0 else 1.0
