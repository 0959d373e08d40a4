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
from analysis.files.file_quantiles import quantiles_of
from analysis.files.file_source import header_of, kind_of
from analysis.files.file_sums import sums_of
from analysis.stats.aggregates import Aggregate
from analysis.stats.quantiles import Quantile
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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    """One look at the typed rows: those that can be used by variant, the others, and what the columns are around."""

    rows: dict[str, int]
    without_variant: int
    without_unit: int
    anything_wrong: bool
    means: dict[str, float | None]


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
        self._kind = kind
        self._typed: str | None = None
        self._by_unit = False
        self._means: dict[str, float | None] | None = None
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
        seen = self._look(metrics)
        if seen.anything_wrong:
            for wrong in self._wrong(metrics, variant=variant, unit=unit):
                raise Invalid(wrong.says, field=wrong.option)
        return self._group(metrics, seen, by_unit=unit is not None)

    def load_what_fits(
        self, metrics: Sequence[FileMetric], *, variant: str, unit: str | None, by: str | None = None
    ) -> tuple[list[FileMetric], UnitCounts, list[WrongColumn]]:
        """As `load`, without what does not fit: a metric whose outcome has wrong cells, a covariate, who was reached.

        Returns the metrics that can be summed up as well, and what is wrong with the rest. Nobody is left out for a wrong cell:
        those who have one are not like those who have none. Raises Invalid for a column that holds no numbers at all.
        """
        self._type(metrics, variant=variant, unit=unit, cluster=None, by=by)
        seen = self._look(metrics)
        if not seen.anything_wrong:
            return list(metrics), self._group(metrics, seen, by_unit=unit is not None), []
        wrong = self._wrong(metrics, variant=variant, unit=unit)
        for each in wrong:
            if each.hopeless:
                raise Invalid(each.says, field=each.option)
        usable: list[FileMetric] = []
        for metric in metrics:
            kept: FileMetric | None = metric
            for each in wrong:
                if kept is not None and each.metric is metric:
                    kept = each.left_out(kept)
            if kept is not None:
                usable.append(kept)
        self._type(usable, variant=variant, unit=unit, cluster=None, by=by)
        return usable, self._group(usable, self._look(usable), by_unit=unit is not None), wrong

    def columns_of(self, sql: str) -> dict[str, Any]:
        """The columns of a query over `units` (variant, cluster, y0, x0 ..) as numpy arrays, by name."""
        columns: dict[str, Any] = self._connection.execute(sql).fetchnumpy()
        return columns

    def aggregates(self, metrics: Sequence[FileMetric]) -> dict[str, dict[str, Aggregate | Quantile]]:
        """Per variant and metric name, the sufficient statistics."""
        found: dict[str, dict[str, Aggregate | Quantile]] = {}
        summed = sums_of(self._all, _added_up(metrics), means=self._means)
        for (variant,), values in summed.aggregates.items():
            found.setdefault(variant, {}).update(values)
        self.compliance = {variant: values for (variant,), values in summed.compliance.items()}
        for i, metric in enumerate(metrics):
            if metric.kind == MetricKind.QUANTILE:
                for variant, value in quantiles_of(
                    self._all, f"y{i}", metric.level, by_unit=self._by_unit
                ).items():
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
        # To read Parquet twice more takes less than to write what was read into a table; text is parsed once, and what is asked
        # for more than twice (units, slices, order statistics) is worth a table of any file.
        asked_twice = unit is None and by is None and all(m.kind != MetricKind.QUANTILE for m in metrics)
        kept_as = "VIEW" if self._kind == "parquet" and asked_twice else "TABLE"
        if self._typed is not None:
            self._connection.execute(f"DROP {self._typed} typed")
        self._typed = kept_as
        self._connection.execute(
            f"CREATE TEMP {kept_as} typed AS SELECT *, {' OR '.join(wrong)} AS is_wrong FROM (SELECT {', '.join(asked)} FROM source)"
        )

    def _look(self, metrics: Sequence[FileMetric]) -> "_Seen":
        """Counts, whether a used cell is wrong, and the means of all columns, in one pass over `typed`."""
        used = "variant IS NOT NULL AND unit IS NOT NULL"
        names = [f"{letter}{i}" for i, metric in _added_up(metrics) for letter, _ in columns_of(metric)]
        means = "".join(f", favg({name}) FILTER (WHERE {used})" for name in names)
        found = self._all(
            "SELECT variant, count(*), count(*) FILTER (WHERE unit IS NULL), "
            f"COALESCE(bool_or(is_wrong) FILTER (WHERE {used}), false){means} FROM typed GROUP BY variant"
        )
        rows = {row[0]: row[1] - row[2] for row in found if row[0] is not None}
        # Any number near the values will do to take deviations from; of one arm, so that of equal values it is exactly theirs.
        largest = max(
            (i for i, row in enumerate(found) if rows.get(row[0])),
            key=lambda i: rows[found[i][0]],
            default=None,
        )
        return _Seen(
            rows={name: count for name, count in rows.items() if count},
            without_variant=sum(row[1] for row in found if row[0] is None),
            without_unit=sum(row[2] for row in found if row[0] is not None),
            anything_wrong=any(row[3] for row in found),
            means=dict(zip(names, found[largest][4:], strict=True)) if largest is not None else {},
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

    def _group(self, metrics: Sequence[FileMetric], seen: "_Seen", *, by_unit: bool) -> UnitCounts:
        self._by_unit = by_unit
        names = [f"{letter}{i}" for i, metric in enumerate(metrics) for letter, _ in columns_of(metric)]
        several = 0
        if by_unit:
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
        capped = self._capped(metrics, found)
        self._connection.execute(f"CREATE VIEW units AS {capped}")
        # Of units, or of what is cut, the means are others than those of the rows.
        self._means = seen.means if capped == found and not by_unit else None
        counted = self._all("SELECT variant, count(*) FROM units GROUP BY variant") if by_unit else seen.rows
        return UnitCounts(
            assigned=dict(counted),
            rows_without_variant=seen.without_variant,
            rows_without_unit=seen.without_unit,
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


def _added_up(metrics: Sequence[FileMetric]) -> list[tuple[int, FileMetric]]:
    return [(i, metric) for i, metric in enumerate(metrics) if metric.kind != MetricKind.QUANTILE]
