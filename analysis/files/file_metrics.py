"""The texts of `touchstone analyze`: NAME=KIND:COLUMN[/COLUMN] for a metric, NAME=COLUMN for its covariate."""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from analysis.inputs import MetricSpec
from experiments.errors import Invalid
from experiments.vocabulary import Direction, MetricKind, MetricRole

FILE_KINDS: Final = (
    MetricKind.PROPORTION,
    MetricKind.MEAN,
    MetricKind.RATIO,
    MetricKind.QUANTILE,
    MetricKind.COUNT,
    MetricKind.SUM,
    MetricKind.RETENTION,
)
"""In a file a count or a sum is a mean of one number per unit, and retention is a proportion: the kind says how it is shown."""
MEDIAN: Final = 0.5
MOST_COVARIATES: Final = 9


@dataclass(frozen=True, slots=True, kw_only=True)
class FileMetric:
    """A metric of a file. column: the outcome (or numerator); denominator: of a ratio; level: of a quantile.

    covariate: the first one; more_covariates: the others, for a regression on all of them. reached: 1 for a unit whom a message
    reached, else 0. role, direction, margin: as in a design. cap: what a unit has beyond it does not count; cap_share: the same,
    as a quantile of all units.
    """

    name: str
    kind: MetricKind
    column: str
    denominator: str | None = None
    covariate: str | None = None
    more_covariates: tuple[str, ...] = ()
    level: float = MEDIAN
    reached: str | None = None
    role: MetricRole = MetricRole.PRIMARY
    direction: Direction = Direction.INCREASE
    margin: float | None = None
    cap: float | None = None
    cap_share: float | None = None

    @property
    def option(self) -> str:
        """The option that an error about this metric names."""
        return f"--metric {self.name}"

    @property
    def spec(self) -> MetricSpec:
        return MetricSpec(
            key=self.name,
            kind=self.kind,
            role=self.role,
            direction=self.direction,
            margin=self.margin,
            quantile=self.level,
        )


def parse_metrics(
    texts: Sequence[str], covariates: Mapping[str, str] | Iterable[str], columns: Sequence[str]
) -> list[FileMetric]:
    """Read the metrics and covariates of the command line against the columns that the file has.

    A metric is NAME=KIND:COLUMN; a ratio NAME=ratio:COLUMN/COLUMN; a quantile NAME=quantile:COLUMN@LEVEL with a level
    in (0, 1), by default 0.5, the median. A covariate is NAME=COLUMN, NAME being a metric; a metric may have several.
    Raises Invalid that names the option.

    >>> parse_metrics(["p95=quantile:latency@0.95"], {}, ["latency"])[0].level
    0.95
    """
    pairs = (
        covariates.items()
        if isinstance(covariates, Mapping)
        else [_pair(text, "--covariate") for text in covariates]
    )
    given: dict[str, list[str]] = {}
    for name, column in pairs:
        mine = given.setdefault(name, [])
        if known_column(column, columns, f"--covariate {name}") in mine:
            raise Invalid(f"column {column!r} is given twice", field=f"--covariate {name}")
        mine.append(column)
    metrics: list[FileMetric] = []
    for text in texts:
        metric = _metric(text, columns, given)
        if any(metric.name == other.name for other in metrics):
            raise Invalid("the name is used twice", field=metric.option)
        metrics.append(metric)
    if not metrics:
        raise Invalid("at least one is needed, such as bought=proportion:bought", field="--metric")
    for name, mine in given.items():
        metric_of = next((metric for metric in metrics if metric.name == name), None)
        if metric_of is None:
            known = ", ".join(metric.name for metric in metrics)
            raise Invalid(f"there is no metric of this name; there are {known}", field=f"--covariate {name}")
        if metric_of.kind == MetricKind.QUANTILE:
            raise Invalid("a quantile takes no covariate", field=f"--covariate {name}")
        if metric_of.kind == MetricKind.RATIO and metric_of.more_covariates:
            raise Invalid("a ratio takes one covariate", field=f"--covariate {name}")
        if len(mine) > MOST_COVARIATES:
            raise Invalid(f"{MOST_COVARIATES} are the most that are taken", field=f"--covariate {name}")
    return metrics


def parse_factors(texts: Sequence[str], columns: Sequence[str]) -> dict[str, str]:
    """Factor -> its column, from NAME=COLUMN. Raises Invalid that names --factor.

    >>> parse_factors(["hour=sent_at"], ["arm", "sent_at"])
    {'hour': 'sent_at'}
    """
    factors: dict[str, str] = {}
    for text in texts:
        name, column = _pair(text, "--factor")
        if name in factors:
            raise Invalid(f"{name!r} is used twice", field="--factor")
        factors[name] = known_column(column, columns, "--factor")
    return factors


def known_column(name: str, columns: Sequence[str], option: str) -> str:
    """`name` if it is a column; Invalid that suggests the nearest one otherwise."""
    if name in columns:
        return name
    raise Invalid(f"the file has no column {name!r}{suggest(name, columns)}", field=option)


def suggest(name: str, known: Sequence[str]) -> str:
    """How to go on after an unknown name: the nearest known one, or all of them.

    >>> suggest("vist", ["visit", "spend"])
    '; did you mean visit?'
    """
    folded = {each.casefold(): each for each in reversed(known)}
    near = difflib.get_close_matches(name.casefold(), list(folded), n=1, cutoff=0.6)
    if near:
        return f"; did you mean {folded[near[0]]}?"
    shown = ", ".join(list(known)[:20])
    return f"; there are: {shown}{', ..' if len(known) > 20 else ''}"


def _pair(text: str, option: str) -> tuple[str, str]:
    name, equals, column = text.partition("=")
    if not (name.strip() and equals and column.strip()):
        raise Invalid(f"write NAME=COLUMN, not {text!r}", field=option)
    return name.strip(), column.strip()


def _metric(text: str, columns: Sequence[str], covariates: Mapping[str, Sequence[str]]) -> FileMetric:
    name, equals, rest = text.partition("=")
    kind_text, colon, column = rest.partition(":")
    name, kind_text, column = name.strip(), kind_text.strip(), column.strip()
    if not (name and equals and colon and column):
        raise Invalid(f"write NAME=KIND:COLUMN[/COLUMN], not {text!r}", field="--metric")
    option = f"--metric {name}"
    if kind_text not in FILE_KINDS:
        raise Invalid(f"unknown kind {kind_text!r}; use one of {', '.join(FILE_KINDS)}", field=option)
    kind = MetricKind(kind_text)
    covariate, *others = covariates.get(name) or (None,)
    more = tuple(each for each in others if each is not None)
    if kind == MetricKind.RATIO:
        numerator, denominator = _ratio(column, columns, option)
        return FileMetric(
            name=name,
            kind=kind,
            column=numerator,
            denominator=denominator,
            covariate=covariate,
            more_covariates=more,
        )
    level = MEDIAN
    if kind == MetricKind.QUANTILE and column not in columns:
        column, level = _quantile(column, option)
    return FileMetric(
        name=name,
        kind=kind,
        column=known_column(column, columns, option),
        covariate=covariate,
        more_covariates=more,
        level=level,
    )


def _ratio(text: str, columns: Sequence[str], option: str) -> tuple[str, str]:
    # A column's own name may hold a slash, so every slash is tried.
    cuts = [i for i, letter in enumerate(text) if letter == "/"]
    if not cuts:
        raise Invalid("a ratio needs two columns, NUMERATOR/DENOMINATOR", field=option)
    for cut in cuts:
        numerator, denominator = text[:cut].strip(), text[cut + 1 :].strip()
        if numerator in columns and denominator in columns:
            return numerator, denominator
    numerator, denominator = text[: cuts[0]].strip(), text[cuts[0] + 1 :].strip()
    return known_column(numerator, columns, option), known_column(denominator, columns, option)


def _quantile(text: str, option: str) -> tuple[str, float]:
    column, at, level_text = text.rpartition("@")
    if not at:
        return text, MEDIAN
    try:
        level = float(level_text)
    except ValueError as error:
        raise Invalid(f"{level_text!r} is not a level; write COLUMN@0.95", field=option) from error
    if not 0 < level < 1:
        raise Invalid(f"the level of a quantile lies between 0 and 1, not {level_text}", field=option)
    return column.strip(), level
