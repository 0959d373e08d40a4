# ruff: noqa: S608 - column names are quoted by `quoted`, texts by `text`; everything else is bound or our own
"""A CSV or Parquet file as fact tables in DuckDB: checked, typed, one row a unit, summed up per variant and slice.

The rows stay in DuckDB, which spills to disk what does not fit; only sums and a few order statistics come to Python.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import duckdb

from analysis.facts.slice_facts import MOST_SLICES, OTHERS, UNKNOWN, Slices
from analysis.files import file_columns as columns
from analysis.files.file_columns import WrongColumn, columns_of, label, text
from analysis.files.file_metrics import FileMetric
from analysis.files.file_source import header_of, kind_of
from analysis.files.file_sums import sums_of
from analysis.stats.aggregates import Aggregate
from analysis.stats.difference import linearise_ratio
from analysis.stats.errors import InsufficientData
from analysis.stats.quantiles import Quantile, order_statistic_ranks
from experiments.errors import Invalid
from experiments.vocabulary import MetricKind

SEVERAL: Final = "(several)"
"""The slice of units whose rows do not agree on it."""


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
            source = f"SELECT * FROM read_parquet({text(str(path))})"
        else:
            # Nothing is guessed: a dialect sniffer skips rows that do not fit, and a type sniffer looks at the first rows only.
            delimiter, names = header_of(path)
            texts = ", ".join(f"{text(name)}: 'VARCHAR'" for name in names)
            source = (
                f"SELECT * FROM read_csv({text(str(path))}, auto_detect = false, header = true, delim = {text(delimiter)}, "
                f"quote = '\"', escape = '\"', columns = {{{texts}}})"
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
        """The different values of the variant column in order, at most `limit` of them; blank ones are none."""
        rows = self._all(
            f"SELECT DISTINCT {label(column)} AS v FROM source WHERE v IS NOT NULL ORDER BY v LIMIT {limit:d}"
        )
        return [row[0] for row in rows]

    def levels(self, variant: str, column: str) -> dict[str, str]:
        """The value of another column for each variant that has one. Raises Invalid naming --factor when one has two."""
        rows = self._all(
            f"SELECT v, min(level), max(level) FROM (SELECT {label(variant)} AS v, {label(column)} AS level FROM source) "
            "WHERE v IS NOT NULL AND level IS NOT NULL GROUP BY v"
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
        self,
        metrics: Sequence[FileMetric],
        *,
        variant: str,
        unit: str | None,
        cluster: str | None = None,
        by: str | None = None,
    ) -> UnitCounts:
        """Type, check and group the rows; returns who is in which variant.

        With `unit`, a unit's rows are summed (a proportion: any of them; a covariate: their mean), and units seen in two
        variants are left out. `cluster` and `by` are columns to keep beside them, as `cluster` and `slice`.
        Raises Invalid naming the option for a value that does not fit its kind (ask `wrong_columns` before, to go on without it).
        """
        self._type(metrics, variant=variant, unit=unit, cluster=cluster, by=by)
        if self._all("SELECT bool_or(is_wrong) FROM typed WHERE variant IS NOT NULL AND unit IS NOT NULL")[0][
            0
        ]:
            for wrong in self._wrong(metrics, variant=variant, unit=unit):
                raise Invalid(wrong.says, field=wrong.option)
        return self._group(metrics, by_unit=unit is not None)

    def load_what_fits(
        self, metrics: Sequence[FileMetric], *, variant: str, unit: str | None, by: str | None = None
    ) -> tuple[list[FileMetric], UnitCounts, list[WrongColumn]]:
        """As `load`, without what does not fit: a metric whose outcome has wrong cells, a covariate, who was reached.

        Returns the metrics that can be summed up as well, and what is wrong with the rest. Nobody is left out for a wrong cell:
        those who have one are not like those who have none. Raises Invalid for a column that holds no numbers at all.
        """
        self._type(metrics, variant=variant, unit=unit, cluster=None, by=by)
        wrong: list[WrongColumn] = []
        usable: list[FileMetric] = list(metrics)
        if self._all("SELECT bool_or(is_wrong) FROM typed WHERE variant IS NOT NULL AND unit IS NOT NULL")[0][
            0
        ]:
            wrong = self._wrong(metrics, variant=variant, unit=unit)
            for each in wrong:
                if each.hopeless:
                    raise Invalid(each.says, field=each.option)
            usable = []
            for metric in metrics:
                kept: FileMetric | None = metric
                for each in wrong:
                    if kept is not None and each.metric is metric:
                        kept = each.left_out(kept)
                if kept is not None:
                    usable.append(kept)
            self._connection.execute("DROP TABLE typed")
            self._type(usable, variant=variant, unit=unit, cluster=None, by=by)
        return usable, self._group(usable, by_unit=unit is not None), wrong

    def columns_of(self, sql: str) -> dict[str, Any]:
        """The columns of a query over `units` (variant, cluster, y0, x0 ..) as numpy arrays, by name."""
        columns: dict[str, Any] = self._connection.execute(sql).fetchnumpy()
        return columns

    def aggregates(self, metrics: Sequence[FileMetric]) -> dict[str, dict[str, Aggregate | Quantile]]:
        """Per variant and metric name, the sufficient statistics."""
        found: dict[str, dict[str, Aggregate | Quantile]] = {}
        summed = sums_of(self._all, _added_up(metrics))
        for (variant,), values in summed.aggregates.items():
            found.setdefault(variant, {}).update(values)
        self.compliance = {variant: values for (variant,), values in summed.compliance.items()}
        for i, metric in enumerate(metrics):
            if metric.kind == MetricKind.QUANTILE:
                for variant, value in self._quantiles(i, metric.level).items():
                    found.setdefault(variant, {})[metric.name] = value
        return found

    def slices(self, metrics: Sequence[FileMetric]) -> Slices:
        """The statistics of all metrics but quantiles by the column `by` of `load`; what is beyond the largest is one slice.

        Of several covariates the first one is used.
        """
        first = [replace(metric, reached=None, more_covariates=()) for metric in metrics]
        self._connection.execute(
            "CREATE OR REPLACE TEMP TABLE frequent AS SELECT slice FROM units GROUP BY slice "
            f"ORDER BY count(*) DESC, slice LIMIT {MOST_SLICES:d}"
        )
        self._connection.execute(
            "CREATE OR REPLACE VIEW sliced AS SELECT * REPLACE "
            f"(CASE WHEN slice IN (SELECT slice FROM frequent) THEN slice ELSE {text(OTHERS)} END AS slice) FROM units"
        )
        summed = sums_of(self._all, _added_up(first), source="sliced", by=("slice",))
        found: dict[str, dict[str, dict[str, Aggregate]]] = {
            metric.name: {} for _, metric in _added_up(first)
        }
        for (variant, name), values in summed.aggregates.items():
            for metric, value in values.items():
                found[metric].setdefault(name, {})[variant] = value
        return found

    def _all(self, sql: str, parameters: Sequence[object] = ()) -> list[Any]:
        return self._connection.execute(sql, list(parameters)).fetchall()

    def _type(
        self,
        metrics: Sequence[FileMetric],
        *,
        variant: str,
        unit: str | None,
        cluster: str | None,
        by: str | None,
    ) -> None:
        asked = [
            f"{label(variant)} AS variant",
            f"{'true' if unit is None else label(unit)} AS unit",
            f"{'NULL' if cluster is None else label(cluster)} AS cluster",
            f"{'NULL' if by is None else f'COALESCE({label(by)}, {text(UNKNOWN)})'} AS slice",
        ]
        wrong = ["false"]
        for i, metric in enumerate(metrics):
            for letter, column in columns_of(metric):
                asked.append(f"{self._value(metric, letter, column)} AS {letter}{i}")
                wrong.append(columns.is_wrong(metric, letter, f"{letter}{i}"))
        self._connection.execute(
            f"CREATE TEMP TABLE typed AS SELECT *, {' OR '.join(wrong)} AS is_wrong FROM (SELECT {', '.join(asked)} FROM source)"
        )

    def _value(self, metric: FileMetric, letter: str, column: str) -> str:
        return columns.value_of(metric, letter, column, self._types[column])

    def _wrong(self, metrics: Sequence[FileMetric], *, variant: str, unit: str | None) -> list[WrongColumn]:
        """What is wrong with which column; looks at the source once more for each, to quote it."""
        found = []
        used = f"{label(variant)} IS NOT NULL" + ("" if unit is None else f" AND {label(unit)} IS NOT NULL")
        for metric in metrics:
            for letter, column in columns_of(metric):
                value = self._value(metric, letter, column)
                is_wrong = columns.is_wrong(metric, letter, value)
                empty, other, example, numbers = self._all(
                    f"SELECT count(*) FILTER (WHERE {is_wrong} AND cell = ''), count(*) FILTER (WHERE {is_wrong} AND cell <> ''), "
                    f"any_value(cell) FILTER (WHERE {is_wrong} AND cell <> ''), count({value}) "
                    f"FROM (SELECT *, COALESCE({label(column)}, '') AS cell FROM source WHERE {used})"
                )[0]
                if empty or other:
                    found.append(
                        WrongColumn(
                            metric=metric,
                            letter=letter,
                            column=column,
                            says=columns.complaint(metric, letter, column, empty, other, example),
                            hopeless=bool(other and not numbers),
                        )
                    )
        return found

    def _group(self, metrics: Sequence[FileMetric], *, by_unit: bool) -> UnitCounts:
        self._by_unit = by_unit
        names = [f"{letter}{i}" for i, metric in enumerate(metrics) for letter, _ in columns_of(metric)]
        without_variant = self._all("SELECT count(*) FROM typed WHERE variant IS NULL")[0][0]
        without_unit = several = 0
        if by_unit:
            without_unit = self._all("SELECT count(*) FROM typed WHERE unit IS NULL AND variant IS NOT NULL")[
                0
            ][0]
            grouped = [
                f"{columns.per_unit(metric, letter)}({letter}{i}) AS {letter}{i}"
                for i, metric in enumerate(metrics)
                for letter, _ in columns_of(metric)
            ]
            grouped += [
                "min(cluster) AS cluster",
                f"CASE WHEN min(slice) <> max(slice) THEN {text(SEVERAL)} ELSE min(slice) END AS slice",
            ]
            self._connection.execute(
                f"CREATE TEMP TABLE every_unit AS SELECT unit, min(variant) AS variant, min(variant) <> max(variant) AS several, "
                f"{', '.join(grouped)} FROM typed WHERE variant IS NOT NULL AND unit IS NOT NULL GROUP BY unit"
            )
            several = self._all("SELECT count(*) FROM every_unit WHERE several")[0][0]
            found = "SELECT * EXCLUDE (several) FROM every_unit WHERE NOT several"
        else:
            found = f"SELECT {', '.join(['variant', 'cluster', 'slice', *names])} FROM typed WHERE variant IS NOT NULL"
        self._connection.execute(f"CREATE VIEW units AS {self._capped(metrics, found)}")
        rows = self._all("SELECT variant, count(*) FROM units GROUP BY variant")
        return UnitCounts(
            assigned=dict(rows),
            rows_without_variant=without_variant,
            rows_without_unit=without_unit,
            units_in_several_variants=several,
        )

    def _capped(self, metrics: Sequence[FileMetric], units: str) -> str:
        """The units with what has a cap cut there; a share is looked up over all units together, before anybody sees arms."""
        shares: dict[str, float] = {}
        limits: dict[str, float] = {}
        for i, metric in enumerate(metrics):
            if metric.cap_share is not None:
                capped = [
                    letter
                    for letter, _ in columns_of(metric)
                    if letter == "y" or letter in columns.COVARIATES
                ]
                shares |= {f"{letter}{i}": metric.cap_share for letter in capped}
            if metric.cap is not None:
                limits[f"y{i}"] = metric.cap
        if shares:
            # The smallest number that so large a share does not exceed, as for an experiment (`experiments/quantities.py`).
            asked = ", ".join(f"quantile_disc({name}, {share!r})" for name, share in shares.items())
            found = self._all(f"SELECT {asked} FROM ({units})")[0]
            limits |= {
                name: float(limit) for name, limit in zip(shares, found, strict=True) if limit is not None
            }
        if not limits:
            return units
        cut = ", ".join(f"least({name}, {limit!r}) AS {name}" for name, limit in limits.items())
        return f"SELECT * REPLACE ({cut}) FROM ({units})"

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
                found[variant] = Quantile(
                    n=n, units=units, level=level, value=value, lower=None, upper=None, z=None
                )
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


def _added_up(metrics: Sequence[FileMetric]) -> list[tuple[int, FileMetric]]:
    return [(i, metric) for i, metric in enumerate(metrics) if metric.kind != MetricKind.QUANTILE]
