"""Where `certify` gets its users from: an experiment in the database, or a file that somebody else made."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from sqlmodel import Session

from analysis.certification import certify_facts
from analysis.certification.certify import RUNS, SEED, Advance, Certificate, MetricData, certify, check_runs
from analysis.certification.certify_facts import Drawn
from analysis.facts.engines import FactsEngine, SessionFacts
from analysis.facts.facts import group_metrics
from analysis.files.file_facts import open_file
from analysis.files.file_metrics import FileMetric, known_column, parse_metrics
from analysis.files.files import MAX_VARIANTS, variants_of
from analysis.reports import repository
from analysis.reports.arms import traffic_shares
from experiments.clock import Clock
from experiments.design import USER_ID
from experiments.errors import Conflict, Invalid
from experiments.repository import get_experiment
from experiments.service import design_of
from experiments.vocabulary import MetricKind

BY_SUMS: Final = "of users who are drawn together, or rows of one unit, only their sums are at hand, and a quantile needs each number by itself"
_NOBODY: Final = Drawn(pool=None)


def certify_experiment(
    session: Session,
    clock: Clock,
    *,
    key: str,
    facts: FactsEngine | None = None,
    runs: int = RUNS,
    seed: int = SEED,
    advance: Advance = lambda _done, _of: None,
) -> Certificate:
    """Certify the metrics of a started experiment on the users whose windows have closed; only reads, and is no look.

    Users are drawn as they were: one by one, or together where the design hashes something that they share.
    Raises NotFound, Conflict for a draft or where nobody was assigned, Invalid for `runs`.
    """
    check_runs(runs)
    experiment = get_experiment(session, key)
    if experiment.id is None or experiment.started_at is None:
        raise Conflict(f"experiment {key!r} was never started, so it has no users", field="status")
    design, engine, as_of = design_of(experiment), facts or SessionFacts(session), clock.now()
    drawn: dict[str, dict[int, int]] = {}
    for row in engine.fetch(certify_facts.assigned_query(experiment.id, as_of=as_of)):
        drawn.setdefault(row["variant"], {})[int(row["epoch"])] = int(row["assigned"])
    epochs = {epoch.number: epoch.weights for epoch in repository.epochs_of(session, experiment.id)}
    shares = traffic_shares(design, drawn, epochs)
    weights = {
        variant.key: share for variant in design.variants if (share := shares.get(variant.key, 0.0)) > 0
    }
    assigned = sum(sum(drawn.get(variant, {}).values()) for variant in weights)
    if not assigned:
        raise Conflict(f"nobody takes part in experiment {key!r} yet", field="status")
    control = next(variant.key for variant in design.variants if variant.control)
    if control not in weights or len(weights) < 2:
        raise Conflict(f"experiment {key!r} has no two arms with users to compare", field="status")
    together = [
        name
        for name in (design.audience.hash_attribute, design.audience.fallback_attribute)
        if name is not None
    ]
    clusters = [] if together[0] == USER_ID else [name for name in together if name != USER_ID]
    metrics: list[MetricData] = []
    for group in group_metrics(design.metric_definitions()):
        for metric, definition in group.metrics:
            if definition.kind == MetricKind.QUANTILE and clusters:
                metrics.append(MetricData(key=metric, kind=definition.kind, drawn=_NOBODY, reason=BY_SUMS))
                continue
            pooled = certify_facts.drawn_users(
                engine,
                experiment_id=experiment.id,
                group=replace(group, metrics=((metric, definition),)),
                number=0,
                variants=list(weights),
                clusters=clusters,
                as_of=as_of,
                users=assigned,
            )
            metrics.append(MetricData(key=metric, kind=definition.kind, drawn=pooled, level=definition.level))
    order = [use.key for use in design.metrics]
    return certify(
        sorted(metrics, key=lambda metric: order.index(metric.key)),
        source=key,
        control=control,
        weights=weights,
        assigned=assigned,
        drawn_by=clusters[0] if clusters else None,
        runs=runs,
        seed=seed,
        advance=advance,
    )


def certify_file(
    path: str | Path,
    *,
    variant: str,
    control: str | None = None,
    metrics: Sequence[str],
    unit: str | None = None,
    cluster: str | None = None,
    covariates: Mapping[str, str] | Iterable[str] = (),
    weights: Mapping[str, float] | None = None,
    runs: int = RUNS,
    seed: int = SEED,
    advance: Advance = lambda _done, _of: None,
) -> Certificate:
    """Certify the metrics of a file. Arguments as those of `files.analyze_file`; control: the first variant by default.

    cluster: the column that those who were drawn together share (a household, or the user of several rows): they are drawn
    together again, while the comparison takes each row, or `unit`, for one user. Raises Invalid naming the option.
    """
    check_runs(runs)
    path = Path(path)
    said = []
    with open_file(path) as facts:
        known_column(variant, facts.columns, "--variant")
        for column, option in ((unit, "--unit"), (cluster, "--cluster")):
            if column is not None:
                known_column(column, facts.columns, option)
        wanted = parse_metrics(metrics, covariates, facts.columns)
        found = facts.variants(variant, limit=MAX_VARIANTS + 1)
        names = variants_of(found, variant, control if control is not None else next(iter(found), ""))
        shares = _weights(names, weights)
        counts = facts.load(wanted, variant=variant, unit=unit, cluster=cluster)
        pooled = [
            MetricData(key=metric.name, kind=metric.kind, drawn=_NOBODY, reason=BY_SUMS)
            if metric.kind == MetricKind.QUANTILE and (unit is not None or cluster is not None)
            else MetricData(
                key=metric.name,
                kind=metric.kind,
                drawn=certify_facts.drawn_rows(
                    facts, number=number, letters=_letters(metric), clustered=cluster is not None
                ),
                level=metric.level if metric.kind == MetricKind.QUANTILE else None,
            )
            for number, metric in enumerate(wanted)
        ]
        if cluster is not None:
            said += _split(certify_facts.split_clusters(facts), cluster)
    if weights is None and len(set(counts.assigned.values())) > 1:
        said.append("arms are drawn with equal shares; give --weight where others were designed")
    return certify(
        pooled,
        source=path.name,
        control=names[0],
        weights=shares,
        assigned=sum(counts.assigned.values()),
        drawn_by=cluster,
        runs=runs,
        seed=seed,
        warnings=said,
        advance=advance,
    )


def _letters(metric: FileMetric) -> list[str]:
    has = {"y": metric.column, "d": metric.denominator, "x": metric.covariate}
    return [letter for letter, column in has.items() if column is not None]


def _weights(names: Sequence[str], weights: Mapping[str, float] | None) -> dict[str, float]:
    if weights is None:
        return dict.fromkeys(names, 1.0)
    missing = [name for name in names if name not in weights]
    if missing:
        raise Invalid(f"gives no share to {missing[0]!r}, which the file has", field="--weight")
    return {name: float(weights[name]) for name in names}


def _split(split: tuple[int, int], cluster: str) -> list[str]:
    several, clusters = split
    if not several:
        return []
    return [
        f"{several:,} of {clusters:,} values of {cluster} are in several variants, so they were not drawn together as assumed here"
    ]
