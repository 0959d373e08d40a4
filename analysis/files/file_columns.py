"""What a metric needs of the columns of a file, as SQL: which ones, how a cell is read, what is wrong with it, what is summed."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import combinations_with_replacement
from typing import Final

from analysis.files.file_metrics import FileMetric
from experiments.vocabulary import SHARE_KINDS

COVARIATES: Final = "xabcefghk"
"""Letters of covariates; one alone is x, as in `Aggregate`."""
_NUMERIC: Final = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT", "FLOAT", "DOUBLE", "DECIMAL", "BOOLEAN")  # fmt: skip
_PAIRS: Final = {"dy": "yd", "ry": "yr"}


@dataclass(frozen=True, slots=True, kw_only=True)
class WrongColumn:
    """A column with cells that do not fit its metric. hopeless: not one of them is even meant as a number."""

    metric: FileMetric
    letter: str
    column: str
    says: str
    hopeless: bool

    @property
    def option(self) -> str:
        return option_of(self.metric, self.letter)

    @property
    def is_covariate(self) -> bool:
        return self.letter in COVARIATES

    def left_out(self, metric: FileMetric) -> FileMetric | None:
        """The metric without this column; None where it is nothing without it."""
        if self.letter == "r":
            return replace(metric, reached=None)
        if not self.is_covariate:
            return None
        kept = [
            each for each in (metric.covariate, *metric.more_covariates) if each not in (None, self.column)
        ]
        return replace(metric, covariate=kept[0] if kept else None, more_covariates=tuple(kept[1:]))


def columns_of(metric: FileMetric) -> list[tuple[str, str]]:
    """The columns that a metric needs, with the letter of `Aggregate.from_sums` for each (r: reached)."""
    wanted = (
        ("y", metric.column),
        ("d", metric.denominator),
        ("r", metric.reached),
        *zip(COVARIATES, (metric.covariate, *metric.more_covariates), strict=False),
    )
    return [(letter, column) for letter, column in wanted if column is not None]


def value_of(metric: FileMetric, letter: str, column: str, type_: str) -> str:
    """A cell as a double, NULL where it is none. type_: the column's own type in DuckDB."""
    name = quoted(column)
    if type_.split("(", maxsplit=1)[0] in _NUMERIC:
        return f"CAST({name} AS DOUBLE)"
    text = f"trim(CAST({name} AS VARCHAR))"
    number = f"TRY_CAST({text} AS DOUBLE)"
    if _is_yes_or_no(metric, letter):
        return f"CASE lower({text}) WHEN 'true' THEN 1.0 WHEN 'false' THEN 0.0 ELSE {number} END"
    return number


def is_wrong(metric: FileMetric, letter: str, value: str) -> str:
    """Whether a value does not fit its metric."""
    if _is_yes_or_no(metric, letter):
        return f"COALESCE({value} NOT IN (0, 1), true)"
    return f"COALESCE(NOT isfinite({value}), true)"


def per_unit(metric: FileMetric, letter: str) -> str:
    """How the rows of one unit become one number."""
    # A covariate repeated on each row must not grow with their number, which comes after the assignment.
    if letter in COVARIATES:
        return "avg"
    if letter == "r":
        return "max"
    return "max" if metric.kind in SHARE_KINDS else "sum"


def option_of(metric: FileMetric, letter: str) -> str:
    """The option that named the column."""
    if letter == "r":
        return "--reached"
    return f"--covariate {metric.name}" if letter in COVARIATES else metric.option


def complaint(
    metric: FileMetric, letter: str, column: str, empty: int, other: int, example: str | None
) -> str:
    """What is wrong with a column: how many cells are empty, how many hold something else, and one of those."""
    wanted = "0, 1, true or false" if _is_yes_or_no(metric, letter) else "a finite number"
    told = []
    if other:
        told.append(f"holds {(example or '')[:40]!r} in {_rows(other)} that should hold {wanted}")
    if empty:
        told.append(
            f"is empty in {_rows(empty)}; write {wanted} for every user (0 for one without an outcome)"
        )
    return f"column {column!r} {', and '.join(told)}"


def _rows(count: int) -> str:
    return "1 row" if count == 1 else f"{count} rows"


def products(letters: Iterable[str]) -> list[str]:
    """What is summed: each letter, its square, and each pair once, named as `Aggregate.from_sums` names them (r as d)."""
    known = "".join(letter for letter in "drxy" + COVARIATES[1:] if letter in letters)
    pairs = (a + b for a, b in combinations_with_replacement(known, 2))
    return [*known, *(_PAIRS.get(pair, pair) for pair in pairs)]


def _is_yes_or_no(metric: FileMetric, letter: str) -> bool:
    return letter == "r" or (letter == "y" and metric.kind in SHARE_KINDS)


def quoted(column: str) -> str:
    """The name of a column in SQL."""
    return '"' + column.replace('"', '""') + '"'


def text(value: str) -> str:
    """A text in SQL."""
    return "'" + value.replace("'", "''") + "'"


def label(column: str) -> str:
    """A cell that names something (a variant, a unit, a slice): its text, NULL where it is blank."""
    cell = f"CAST({quoted(column)} AS VARCHAR)"
    return f"CASE WHEN trim({cell}) <> '' THEN {cell} END"
