"""`touchstone analyze`: the report of an experiment that somebody else ran, from one CSV or Parquet file."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from analysis.files.file_facts import UnitCounts, open_file
from analysis.files.file_metrics import FileMetric, known_column, parse_factors, parse_metrics, suggest
from analysis.findings import HealthCheck, Report
from analysis.inputs import AnalysisPlan, ArmFacts, FactorSpec
from analysis.reports.evidence import ReportInputs
from experiments.clock import Clock, SystemClock
from experiments.errors import Invalid
from experiments.vocabulary import Method, MetricKind

MAX_VARIANTS = 50
MULTIPLE_EXPOSURES = 0.01


def analyze_file(path: str | Path, **options: Any) -> Report:
    """The report of a file; options and errors are those of `file_inputs`."""
    return file_inputs(path, **options).report()


def file_inputs(
    path: str | Path,
    *,
    variant: str,
    control: str,
    metrics: Sequence[str],
    unit: str | None = None,
    covariates: Mapping[str, str] | Iterable[str] = (),
    reached: str | None = None,
    factors: Sequence[str] = (),
    method: Method | str = Method.FIXED,
    alpha: float = 0.05,
    weights: Mapping[str, float] | None = None,
    clock: Clock | None = None,
) -> ReportInputs:
    """What a report that compares the variants in a file with its control is made from.

    variant: the column that says which variant a row belongs to; control: its value for the control arm, as text.
    unit: the column that names the user when one has several rows (they are summed first); without it a row is a user.
    metrics: NAME=KIND:COLUMN[/COLUMN] (see `file_metrics.parse_metrics`), all primary. covariates: metric name -> column
    measured before the assignment, or texts NAME=COLUMN, several of which may name one metric. reached: column that is 1 for a
    unit whom a message reached; the control must have none. factors: NAME=COLUMN for variants that cross them, one level a
    variant; those with an empty column stand outside. weights: variant -> share as designed; equal shares by default. method: a
    file is one look, so `fixed`; `spending` is the same at a single look, `always_valid` is for a file that grows and is looked
    at again, and `exact` as well, for proportions.
    Raises Invalid naming the option (FILE, --variant, --control, --unit, --metric NAME, --covariate NAME, --reached, --factor).
    """
    plan_method = _method(method)
    if not 0 < alpha < 1:
        raise Invalid("must lie between 0 and 1", field="--alpha")
    path = Path(path)
    with open_file(path) as facts:
        known_column(variant, facts.columns, "--variant")
        if unit is not None:
            known_column(unit, facts.columns, "--unit")
        wanted = parse_metrics(metrics, covariates, facts.columns)
        if reached is not None:
            wanted = _with_reached(wanted, known_column(reached, facts.columns, "--reached"))
        crossed = {
            name: facts.levels(variant, column)
            for name, column in parse_factors(factors, facts.columns).items()
        }
        names = variants_of(facts.variants(variant, limit=MAX_VARIANTS + 1), variant, control)
        counts = facts.load(wanted, variant=variant, unit=unit)
        aggregates = facts.aggregates(wanted)
    arms = [
        ArmFacts(
            variant=name,
            control=name == control,
            weight=_weight(name, weights),
            assigned=counts.assigned.get(name, 0),
            mature=counts.assigned.get(name, 0),
            aggregates=aggregates.get(name, {}),
            compliance=facts.compliance.get(name, {}),
            levels=_levels(name, crossed),
        )
        for name in names
    ]
    total = sum(arm.assigned for arm in arms)
    planned = max(total, 1) if plan_method == Method.SPENDING else None
    return ReportInputs(
        experiment=path.name,
        as_of=(clock or SystemClock()).now(),
        plan=AnalysisPlan(method=plan_method, alpha=alpha, planned_n=planned, ended=True, minimum_users=0),
        metrics=tuple(metric.spec for metric in wanted),
        arms=tuple(arms),
        factors=tuple(_factor(key, levels, control=control) for key, levels in crossed.items()),
        checks=tuple(_exposures(counts, total)),
        warnings=tuple(_warnings(counts, equal=weights is None)),
    )


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
