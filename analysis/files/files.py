"""`touchstone analyze`: the report of an experiment that somebody else ran, from one CSV or Parquet file."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from analysis.facts.facts import NOBODY
from analysis.facts.slice_facts import Slices
from analysis.files.file_columns import WrongColumn
from analysis.files.file_facts import FileFacts, UnitCounts, open_file
from analysis.files.file_metrics import FileMetric, known_column, parse_factors, parse_metrics, suggest
from analysis.files.file_roles import with_roles
from analysis.findings import HealthCheck, Report
from analysis.inputs import AnalysisPlan, ArmFacts, FactorSpec
from analysis.reports.evidence import ReportInputs
from analysis.reports.segment_effects import segment_effects
from analysis.reports.segment_findings import SegmentReport
from analysis.reports.service import earlier_looks
from analysis.stats.aggregates import Aggregate
from analysis.stats.quantiles import Quantile, ranks_of
from experiments.clock import Clock, SystemClock
from experiments.errors import Invalid
from experiments.vocabulary import Method, MetricKind

MAX_VARIANTS = 50
MULTIPLE_EXPOSURES = 0.01
COLUMN_OF_NOW: Final = (
    "a column that the campaign could change (tags, lifetime value) makes slices of users who are not alike"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class FileRead:
    """What a file was made into: the inputs of its report, and its statistics by the values of column `by`."""

    inputs: ReportInputs
    by: str | None
    slices: Slices

    def segments(self) -> SegmentReport | None:
        """The effects by slice, where they were asked for; by the same rule as the report."""
        if self.by is None:
            return None
        about = [
            said
            for said in self.inputs.warnings
            if said.startswith(tuple(f"{m.key}: " for m in self.inputs.metrics))
        ]
        return segment_effects(self.inputs, self.slices, by=self.by, warnings=about, caution=COLUMN_OF_NOW)


def analyze_file(path: str | Path, **options: Any) -> Report:
    """The report of a file; options and errors are those of `read_file`."""
    return file_inputs(path, **options).report()


def file_inputs(path: str | Path, **options: Any) -> ReportInputs:
    """What the report of a file is made from; options and errors are those of `read_file`."""
    return read_file(path, **options).inputs


def read_file(
    path: str | Path,
    *,
    variant: str,
    control: str,
    metrics: Sequence[str],
    unit: str | None = None,
    covariates: Mapping[str, str] | Iterable[str] = (),
    secondary: Sequence[str] = (),
    guardrails: Sequence[str] = (),
    decrease: Sequence[str] = (),
    caps: Sequence[str] = (),
    reached: str | None = None,
    factors: Sequence[str] = (),
    by: str | None = None,
    method: Method | str = Method.FIXED,
    alpha: float = 0.05,
    planned: int | None = None,
    looks: Sequence[int] = (),
    mde: float | None = None,
    weights: Mapping[str, float] | None = None,
    clock: Clock | None = None,
) -> FileRead:
    """What a report that compares the variants in a file with its control is made from.

    variant: the column that says which variant a row belongs to; control: its value for the control arm, as text.
    unit: the column that names the user when one has several rows (they are summed first); without it a row is a user.
    metrics: NAME=KIND:COLUMN[/COLUMN] (see `file_metrics.parse_metrics`), primary unless `secondary` or `guardrails` names them;
    decrease: those of which less is better; caps: NAME=NUMBER or NAME=99% (see `file_roles.with_roles`). covariates: metric name ->
    column measured before the assignment, or texts NAME=COLUMN, several of which may name one metric. reached: column that is 1
    for a unit whom a message reached; the control must have none. factors: NAME=COLUMN for variants that cross them, one level a
    variant; those with an empty column stand outside. by: column whose values are slices. weights: variant -> share as
    designed; equal shares by default; a variant that has a share and no rows is an arm without users.
    method: a file is one look, so `fixed`; `spending` is the same at a single look, `always_valid` is for a file that grows and is
    looked at again, and `exact` as well, for proportions. planned: units of all arms together at the planned end, when there
    is one; looks: how many units there were at each earlier look at which a report was shown. mde: the smallest lift worth finding.
    Cells that do not fit make their metric (covariate, reached) unknown, with a reason; nobody is left out for them (decision 0037).
    Raises Invalid naming the option (FILE, --variant, --control, --unit, --metric NAME, --covariate NAME, --reached, --factor ..).
    """
    plan_method = _method(method)
    if not 0 < alpha < 1:
        raise Invalid("must lie between 0 and 1", field="--alpha")
    path = Path(path)
    with open_file(path) as facts:
        for column, option in (
            (variant, "--variant"),
            (unit, "--unit"),
            (reached, "--reached"),
            (by, "--by"),
        ):
            if column is not None:
                known_column(column, facts.columns, option)
        wanted = with_roles(
            parse_metrics(metrics, covariates, facts.columns),
            secondary=secondary, guardrails=guardrails, decrease=decrease, caps=caps,
        )  # fmt: skip
        crossed = {
            name: facts.levels(variant, column)
            for name, column in parse_factors(factors, facts.columns).items()
        }
        found = facts.variants(variant, limit=MAX_VARIANTS + 1)
        names = variants_of(
            [*found, *(name for name in weights or () if name not in found)], variant, control
        )
        usable, counts, wrong = facts.load_what_fits(
            wanted if reached is None else _with_reached(wanted, reached), variant=variant, unit=unit, by=by
        )
        arms = _arms(facts, usable, names, counts, control=control, weights=weights, crossed=crossed)
        slices = {} if by is None else facts.slices(usable)
    total = sum(arm.assigned for arm in arms)
    inputs = ReportInputs(
        experiment=path.name,
        as_of=(clock or SystemClock()).now(),
        plan=_plan(plan_method, alpha, total=total, planned=planned, looks=looks, mde=mde),
        metrics=tuple(metric.spec for metric in wanted),
        arms=arms,
        factors=tuple(_factor(key, levels, control=control) for key, levels in crossed.items()),
        checks=tuple(_exposures(counts, total)),
        warnings=(*_warnings(counts, equal=weights is None), *map(_unfit, wrong)),
    )
    return FileRead(inputs=inputs, by=by, slices=slices)


def _arms(
    facts: FileFacts,
    metrics: Sequence[FileMetric],
    names: Sequence[str],
    counts: UnitCounts,
    *,
    control: str,
    weights: Mapping[str, float] | None,
    crossed: Mapping[str, Mapping[str, str]],
) -> tuple[ArmFacts, ...]:
    aggregates = facts.aggregates(metrics)
    nobody: dict[str, Aggregate | Quantile] = {
        metric.name: Quantile.from_ranked(ranks_of(0, metric.level), {})
        if metric.kind == MetricKind.QUANTILE
        else NOBODY
        for metric in metrics
    }
    return tuple(
        ArmFacts(
            variant=name,
            control=name == control,
            weight=_weight(name, weights),
            assigned=counts.assigned.get(name, 0),
            mature=counts.assigned.get(name, 0),
            aggregates=aggregates.get(name, nobody),
            compliance=facts.compliance.get(name, {}),
            levels=_levels(name, crossed),
        )
        for name in names
    )


def _plan(
    method: Method, alpha: float, *, total: int, planned: int | None, looks: Sequence[int], mde: float | None
) -> AnalysisPlan:
    """The plan of a file: at its end, unless more units are planned than it has."""
    for number, option in ((planned, "--planned"), *((look, "--look") for look in looks)):
        if number is not None and number < 1:
            raise Invalid(f"is a number of units, not {number}", field=option)
    if looks and planned is None:
        raise Invalid("a share of what is planned is known for a look only with --planned", field="--look")
    if mde is not None and not 0 < mde < 1e3:
        raise Invalid("is a lift above 0, such as 0.1 for 10 %", field="--mde")
    ended = planned is None or total >= planned
    information = min(total / planned, 1.0) if planned else None
    return AnalysisPlan(
        method=method,
        alpha=alpha,
        planned_n=planned or (max(total, 1) if method == Method.SPENDING else None),
        looks=earlier_looks([look / planned for look in looks], information)
        if planned and information
        else (),
        ended=ended,
        minimum_effect=mde,
        minimum_users=0,
    )


def _unfit(wrong: WrongColumn) -> str:
    """Why something cannot be told: the column, a cell of it, and what is missing for it."""
    name = wrong.metric.name
    if wrong.letter == "r":
        return f"{name}: no effect per user reached: {wrong.says}"
    if wrong.is_covariate:
        return f"{name}: not adjusted by {wrong.column!r}: {wrong.says}"
    return f"{name}: cannot be told: {wrong.says}. No user is left out for that: those without a value are not like the others"


def _with_reached(metrics: Sequence[FileMetric], column: str) -> list[FileMetric]:
    """The metrics, with whom was reached beside those that are a mean of one number per unit."""
    return [
        metric
        if metric.kind in (MetricKind.RATIO, MetricKind.QUANTILE) or metric.more_covariates
        else replace(metric, reached=column)
        for metric in metrics
    ]


def _levels(variant: str, crossed: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    """The levels of a variant that has one of every factor; any other stands outside the crossing."""
    own = {key: levels[variant] for key, levels in crossed.items() if variant in levels}
    return own if len(own) == len(crossed) else {}


def _factor(key: str, levels: Mapping[str, str], *, control: str) -> FactorSpec:
    different = sorted(set(levels.values()))
    if len(different) < 2:
        raise Invalid(f"factor {key!r} has fewer than two levels", field="--factor")
    first = levels.get(control, different[0])
    return FactorSpec(key=key, levels=(first, *(level for level in different if level != first)))


def _method(method: Method | str) -> Method:
    try:
        return Method(method)
    except ValueError as error:
        raise Invalid(
            f"unknown method {method!r}; use one of {', '.join(Method)}", field="--method"
        ) from error


def variants_of(names: Sequence[str], column: str, control: str) -> list[str]:
    """The variants of a file, the control first. Raises Invalid naming --variant or --control."""
    if not names:
        raise Invalid(f"column {column!r} is empty in every row", field="--variant")
    if len(names) > MAX_VARIANTS:
        raise Invalid(
            f"column {column!r} has more than {MAX_VARIANTS} different values, so it does not name variants",
            field="--variant",
        )
    if control not in names:
        listed = ", ".join(names[:20])
        near = suggest(control, names)
        hint = near if "did you mean" in near else ""
        raise Invalid(
            f"no row of column {column!r} is {control!r}{hint}; its values are: {listed}", field="--control"
        )
    if len(names) < 2:
        raise Invalid(
            f"column {column!r} has only one value, so there is nothing to compare", field="--variant"
        )
    return [control, *(name for name in names if name != control)]


def _weight(name: str, weights: Mapping[str, float] | None) -> float:
    return 1.0 if weights is None else float(weights.get(name, 0.0))


def _exposures(counts: UnitCounts, total: int) -> list[HealthCheck]:
    several = counts.units_in_several_variants
    if not several:
        return []
    share = several / (several + total)
    return [
        HealthCheck(
            check="multiple_exposures",
            stage="assigned",
            p_value=None,
            ok=share < MULTIPLE_EXPOSURES,
            detail=f"{several} units ({share:.2%}) are in more than one variant and are left out; 1 % is an alarm",
            blocking=True,
        )
    ]


def _warnings(counts: UnitCounts, *, equal: bool) -> list[str]:
    said = []
    if counts.rows_without_variant:
        said.append(f"{counts.rows_without_variant} rows name no variant and are left out")
    if counts.rows_without_unit:
        said.append(f"{counts.rows_without_unit} rows name no unit and are left out")
    if equal and len(set(counts.assigned.values())) > 1:
        said.append("the sample-ratio check assumes that equal shares were designed")
    return said
