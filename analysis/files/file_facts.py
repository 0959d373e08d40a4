# ruff: noqa: S608 - column names are quoted by `_name`, texts by `_text`; everything else is bound or our own
"""A CSV or Parquet file as fact tables in DuckDB: checked, typed, one row a unit, summed up per variant.

The rows stay in DuckDB, which spills to disk what does not fit; only sums and a few order statistics come to Python.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import combinations_with_replacement
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import duckdb

from analysis.files.file_metrics import FileMetric
from analysis.files.file_source import header_of, kind_of
from analysis.stats.aggregates import Aggregate
from analysis.stats.covariates import Moments, with_covariates
from analysis.stats.difference import linearise_ratio
from analysis.stats.errors import InsufficientData
from analysis.stats.quantiles import Quantile, order_statistic_ranks
from experiments.errors import Invalid
from experiments.vocabulary import MetricKind

_COVARIATES = "xabcefghk"
"""Letters of covariates; one alone is x, as in `Aggregate`."""
_NUMERIC = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT", "FLOAT", "DOUBLE", "DECIMAL", "BOOLEAN")  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitCounts:
    """Rows and units of a file that could not be used, and the units that could, by variant."""

    assigned: dict[str, int]
    rows_without_variant: int = 0
    rows_without_unit: int = 0
    units_in_several_variants: int = 0


@contextmanager
def open_file(path: Path) -> Iterator["FileFacts"]:
    """The facts of a file; closed, and its spilled data deleted, afterwards.

    Raises Invalid naming FILE when it is missing, empty, or neither CSV nor Parquet.
    """
    kind = kind_of(path)
    with TemporaryDirectory(prefix="touchstone-") as spill:
        connection = duckdb.connect(
            config={
                "temp_directory": spill,
                "autoinstall_known_extensions": "false",
                "autoload_known_extensions": "false",
            }
        )
        try:
            # It would be drawn over what is printed, also over JSON, once a query takes two seconds.
            connection.execute("SET enable_progress_bar = false")
            yield FileFacts(connection, path, kind)
        except duckdb.Error as error:
            first_line = str(error).strip().splitlines()[0]
            raise Invalid(f"{path.name} cannot be read: {first_line}", field="FILE") from error
        finally:
            connection.close()


class FileFacts:
    """One file, open in DuckDB. `load` once, then ask."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, path: Path, kind: str) -> None:
        self._connection = connection
        if kind == "parquet":
            source = f"SELECT * FROM read_parquet({_text(str(path))})"
        else:
            # Nothing is guessed: a dialect sniffer skips rows that do not fit, and a type sniffer looks at the first rows only.
            delimiter, names = header_of(path)
            columns = ", ".join(f"{_text(name)}: 'VARCHAR'" for name in names)
            source = (
                f"SELECT * FROM read_csv({_text(str(path))}, auto_detect = false, header = true, delim = {_text(delimiter)}, "
                f"quote = '\"', escape = '\"', columns = {{{columns}}})"
            )
        connection.execute(f"CREATE VIEW source AS {source}")
        if not self._all("SELECT 1 FROM source LIMIT 1"):
            raise Invalid(f"{path.name} has no rows", field="FILE")
        self._types: dict[str, str] = {row[0]: row[1] for row in self._all("DESCRIBE source")}
        self._by_unit = False
        self.compliance: dict[str, dict[str, Aggregate]] = {}
        """Per variant and metric, once `aggregates` has been asked: outcomes with whether the unit was reached."""

    @property
    def columns(self) -> list[str]:
        return list(self._types)

    def variants(self, column: str, *, limit: int) -> list[str]:
        """The different values of the variant column in order, at most `limit` of them."""
        name = _name(column)
        rows = self._all(
            f"SELECT DISTINCT CAST({name} AS VARCHAR) AS v FROM source WHERE {name} IS NOT NULL ORDER BY v LIMIT {limit:d}"
        )
        return [row[0] for row in rows]

    def levels(self, variant: str, column: str) -> dict[str, str]:
        """The value of another column for each variant that has one. Raises Invalid naming --factor when one has two."""
        of, name = _name(variant), _name(column)
        rows = self._all(
            f"SELECT CAST({of} AS VARCHAR), min(CAST({name} AS VARCHAR)), max(CAST({name} AS VARCHAR)) FROM source "
            f"WHERE {of} IS NOT NULL AND trim(CAST({name} AS VARCHAR)) <> '' GROUP BY {of}"
        )
        for own, low, high in rows:
            if low != high:
                raise Invalid(
                    f"variant {own!r} has several values in column {column!r} ({low!r}, {high!r}), and a level belongs to a whole "
                    "variant",
                    field="--factor",
                )
        return {own: low for own, low, _ in rows}

    def load(
        self, metrics: Sequence[FileMetric], *, variant: str, unit: str | None, cluster: str | None = None
    ) -> UnitCounts:
        """Type, check and group the rows; returns who is in which variant.

        With `unit`, a unit's rows are summed (a proportion: any of them; a covariate: their mean), and units seen in two
        variants are left out. `cluster` is a column to keep beside them, as `cluster`. Raises Invalid naming the option for an empty file or a value that does not fit its kind.
        """
        parts = [f"CAST({_name(variant)} AS VARCHAR) AS variant"]
        if unit is not None:
            parts.append(f"CAST({_name(unit)} AS VARCHAR) AS unit")
        if cluster is not None:
            parts.append(f"CAST({_name(cluster)} AS VARCHAR) AS cluster")
        wrong = []
        for i, metric in enumerate(metrics):
            for letter, column in _columns(metric):
                value = self._value(metric, letter, column)
                parts.append(f"{value} AS {letter}{i}")
                wrong.append(_bad(metric, letter, f"{letter}{i}"))
        self._connection.execute(
            f"CREATE TEMP TABLE typed AS SELECT *, {' OR '.join(wrong)} AS is_bad FROM (SELECT {', '.join(parts)} FROM source)"
        )
        if self._all("SELECT bool_or(is_bad) FROM typed")[0][0]:
            self._complain(metrics)
        return self._group(metrics, by_unit=unit is not None, with_cluster=cluster is not None)

    def columns_of(self, sql: str) -> dict[str, Any]:
        """The columns of a query over `units` (variant, cluster, y0, x0 ..) as numpy arrays, by name."""
        columns: dict[str, Any] = self._connection.execute(sql).fetchnumpy()
        return columns

    def aggregates(self, metrics: Sequence[FileMetric]) -> dict[str, dict[str, Aggregate | Quantile]]:
        """Per variant and metric name, the sufficient statistics; a quantile that cannot be bracketed is absent."""
        found: dict[str, dict[str, Aggregate | Quantile]] = {}
        sums = [(i, metric) for i, metric in enumerate(metrics) if metric.kind != MetricKind.QUANTILE]
        if sums:
            for variant, values in self._sums(sums).items():
                found.setdefault(variant, {}).update(values)
        for i, metric in enumerate(metrics):
            if metric.kind == MetricKind.QUANTILE:
                for variant, value in self._quantiles(i, metric.level).items():
                    found.setdefault(variant, {})[metric.name] = value
        return found

    def _all(self, sql: str, parameters: Sequence[object] = ()) -> list[Any]:
        return self._connection.execute(sql, list(parameters)).fetchall()

    def _value(self, metric: FileMetric, letter: str, column: str) -> str:
        name = _name(column)
        kind = self._types[column].split("(")[0]
        if kind in _NUMERIC:
            return f"CAST({name} AS DOUBLE)"
        text = f"trim(CAST({name} AS VARCHAR))"
        number = f"TRY_CAST({text} AS DOUBLE)"
        if _is_yes_or_no(metric, letter):
            return f"CASE lower({text}) WHEN 'true' THEN 1.0 WHEN 'false' THEN 0.0 ELSE {number} END"
        return number

    def _complain(self, metrics: Sequence[FileMetric]) -> None:
        """Raise Invalid for the first metric with a value that does not fit; looks at the source once more, to quote it."""
        for metric in metrics:
            for letter, column in _columns(metric):
                wrong = _bad(metric, letter, self._value(metric, letter, column))
                bad, example = self._all(
                    f"SELECT count(*), any_value(COALESCE(CAST({_name(column)} AS VARCHAR), '')) FROM source WHERE {wrong}"
                )[0]
                if bad:
                    raise Invalid(
                        _complaint(metric, letter, column, bad, example), field=_option(metric, letter)
                    )

    def _group(self, metrics: Sequence[FileMetric], *, by_unit: bool, with_cluster: bool) -> UnitCounts:
        self._by_unit = by_unit
        letters = [f"{letter}{i}" for i, metric in enumerate(metrics) for letter, _ in _columns(metric)]
        without_variant = self._all("SELECT count(*) FROM typed WHERE variant IS NULL")[0][0]
        without_unit = several = 0
        if by_unit:
            without_unit = self._all("SELECT count(*) FROM typed WHERE unit IS NULL AND variant IS NOT NULL")[
                0
            ][0]
            grouped = ", ".join(
                f"{_per_unit(metric, letter)}({letter}{i}) AS {letter}{i}"
                for i, metric in enumerate(metrics)
                for letter, _ in _columns(metric)
            )
            grouped += ", min(cluster) AS cluster" if with_cluster else ""
            self._connection.execute(
                f"CREATE TEMP TABLE every_unit AS SELECT unit, min(variant) AS variant, min(variant) <> max(variant) AS several, "
                f"{grouped} FROM typed WHERE variant IS NOT NULL AND unit IS NOT NULL GROUP BY unit"
            )
            several = self._all("SELECT count(*) FROM every_unit WHERE several")[0][0]
            self._connection.execute("CREATE VIEW units AS SELECT * FROM every_unit WHERE NOT several")
        else:
            letters += ["cluster"] if with_cluster else []
            self._connection.execute(
                f"CREATE VIEW units AS SELECT variant, {', '.join(letters)} FROM typed WHERE variant IS NOT NULL"
            )
        rows = self._all("SELECT variant, count(*) FROM units GROUP BY variant")
        return UnitCounts(
            assigned=dict(rows),
            rows_without_variant=without_variant,
            rows_without_unit=without_unit,
            units_in_several_variants=several,
        )

    def _sums(self, metrics: Sequence[tuple[int, FileMetric]]) -> dict[str, dict[str, Aggregate | Quantile]]:
        # Two passes: the pooled means first, so that the squares are of deviations and keep their digits.
        letters = [f"{letter}{i}" for i, metric in metrics for letter, _ in _columns(metric)]
        means = self._all(f"SELECT {', '.join(f'favg({letter})' for letter in letters)} FROM units")[0]
        # Whether a unit was reached is 0 or 1, which add up exactly: nobody reached must be 0 to the last digit.
        shift = {
            letter: 0.0 if letter.startswith("r") else float(mean or 0.0)
            for letter, mean in zip(letters, means, strict=True)
        }
        asked, names = ["variant", "count(*)"], []
        for i, metric in metrics:
            deviations = {
                letter: f"({letter}{i} - {shift[f'{letter}{i}']!r})" for letter, _ in _columns(metric)
            }
            for name in _products(deviations):
                asked.append(f"fsum({' * '.join(deviations[letter] for letter in name)})")
                names.append((i, name))
            asked.append(f"max(y{i})")
            names.append((i, "maximum"))
        found: dict[str, dict[str, Aggregate | Quantile]] = {}
        together: dict[str, dict[str, Moments]] = {
            metric.name: {} for _, metric in metrics if metric.more_covariates
        }
        for variant, n, *values in self._all(f"SELECT {', '.join(asked)} FROM units GROUP BY variant"):
            sums: dict[int, dict[str, float]] = {}
            for (i, name), value in zip(names, values, strict=True):
                sums.setdefault(i, {})[name] = value
            mine = found.setdefault(variant, {})
            for i, metric in metrics:
                own = {letter: shift[f"{letter}{i}"] for letter, _ in _columns(metric)}
                if metric.name in together:
                    together[metric.name][variant] = _moments(n, sums[i], own)
                    continue
                mine[metric.name] = _aggregate(n, sums[i], own)
                if metric.reached is not None:
                    as_d = {
                        name.replace("r", "d"): value for name, value in sums[i].items() if "d" not in name
                    }
                    reached = {letter.replace("r", "d"): value for letter, value in own.items()}
                    self.compliance.setdefault(variant, {})[metric.name] = _aggregate(n, as_d, reached)
        for name, arms in together.items():
            for variant, aggregate in zip(arms, with_covariates(list(arms.values())), strict=True):
                found[variant][name] = aggregate
        return found

    def _quantiles(self, i: int, level: float) -> dict[str, Quantile]:
        rows = "typed SEMI JOIN units USING (unit, variant)" if self._by_unit else "units"
        column = f"y{i}"
        found: dict[str, Quantile] = {}
        for variant, n, value in self._all(
            f"SELECT variant, count(*), quantile_cont({column}, ?) FROM {rows} GROUP BY variant", [level]
        ):
            units, effect = (
                (n, 1.0) if not self._by_unit else self._design_effect(column, variant, value, level)
            )
            try:
                low, high, z = order_statistic_ranks(n, level, design_effect=effect)
            except InsufficientData:
                continue
            lower, upper = (
                self._all(
                    f"SELECT {column} FROM {rows} WHERE variant = ? ORDER BY {column} LIMIT 1 OFFSET {rank - 1:d}",
                    [variant],
                )[0][0]
                for rank in (low, high)
            )
            found[variant] = Quantile(
                n=n, units=units, level=level, value=value, lower=lower, upper=upper, z=z
            )
        return found

    def _design_effect(self, column: str, variant: str, value: float, level: float) -> tuple[int, float]:
        # The share of rows at or below the quantile is a ratio of sums per unit; its variance over that of independent rows.
        units, y, yy, d, dd, yd = self._all(
            f"SELECT count(*), sum(y), sum(y * y), sum(d), sum(d * d), sum(y * d) FROM (SELECT count(*)::DOUBLE AS d, "
            f"(count(*) FILTER (WHERE {column} <= ?))::DOUBLE AS y FROM typed SEMI JOIN units USING (unit, variant) "
            "WHERE variant = ? GROUP BY unit)",
            [value, variant],
        )[0]
        share = linearise_ratio(Aggregate.from_sums(units, y, yy, d=d, dd=dd, yd=yd))
        effect = share.variance / units * d / (level * (1 - level))
        return units, effect if effect > 0 else 1.0


def _columns(metric: FileMetric) -> list[tuple[str, str]]:
    """The columns that a metric needs, with the letter of `Aggregate.from_sums` for each."""
    wanted = (
        ("y", metric.column),
        ("d", metric.denominator),
        ("r", metric.reached),
        *zip(_COVARIATES, (metric.covariate, *metric.more_covariates), strict=False),
    )
    return [(letter, column) for letter, column in wanted if column is not None]


_PAIRS = {"dy": "yd", "ry": "yr"}


def _products(letters: Iterable[str]) -> list[str]:
    """What is summed: each letter, its square, and each pair once, named as `Aggregate.from_sums` names them (r as d)."""
    known = "".join(letter for letter in "drxy" + _COVARIATES[1:] if letter in letters)
    pairs = (a + b for a, b in combinations_with_replacement(known, 2))
    return [*known, *(_PAIRS.get(pair, pair) for pair in pairs)]


def _aggregate(n: int, sums: Mapping[str, float], shift: Mapping[str, float]) -> Aggregate:
    names = ("d", "dd", "yd", "x", "xx", "xy", "dx", "maximum")
    return Aggregate.from_sums(
        n,
        sums["y"],
        sums["yy"],
        **{name: sums[name] for name in names if name in sums},
        **{f"shift_{letter}": value for letter, value in shift.items() if letter in "ydx"},
    )


def _moments(n: int, sums: Mapping[str, float], shift: Mapping[str, float]) -> Moments:
    def product(a: str, b: str) -> float:
        return sums[a + b] if a + b in sums else sums[b + a]

    return Moments.from_sums(
        n,
        [sums[letter] for letter in shift],
        [[product(a, b) for b in shift] for a in shift],
        shift=list(shift.values()),
        maximum=sums["maximum"],
    )


def _per_unit(metric: FileMetric, letter: str) -> str:
    # A covariate repeated on each row must not grow with their number, which comes after the assignment.
    if letter in _COVARIATES:
        return "avg"
    if letter == "r":
        return "max"
    return "max" if metric.kind == MetricKind.PROPORTION else "sum"


def _bad(metric: FileMetric, letter: str, value: str) -> str:
    if _is_yes_or_no(metric, letter):
        return f"COALESCE({value} NOT IN (0, 1), true)"
    return f"COALESCE(NOT isfinite({value}), true)"


def _is_yes_or_no(metric: FileMetric, letter: str) -> bool:
    return letter == "r" or (letter == "y" and metric.kind == MetricKind.PROPORTION)


def _option(metric: FileMetric, letter: str) -> str:
    if letter == "r":
        return "--reached"
    return f"--covariate {metric.name}" if letter in _COVARIATES else metric.option


def _complaint(metric: FileMetric, letter: str, column: str, bad: int, example: str) -> str:
    wanted = "0, 1, true or false" if _is_yes_or_no(metric, letter) else "a finite number"
    rows = "1 row" if bad == 1 else f"{bad} rows"
    if example == "":
        return f"column {column!r} is empty in {rows}; write {wanted} for every user (0 for one without an outcome)"
    return f"column {column!r} holds {example[:40]!r} in {rows} that should hold {wanted}"


def _name(column: str) -> str:
    return '"' + column.replace('"', '""') + '"'


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
