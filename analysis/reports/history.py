"""Reports that were kept: listed, found again, and what they said of each effect over time. Reading one is no look at the data."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlmodel import Session

from analysis.reports import repository
from analysis.reports.evidence import export
from analysis.reports.models import StoredReport
from experiments.repository import get_experiment

MOST_LOOKS: Final = 120
"""Looks on a picture of the time; of more, some are left out evenly."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A stored report in a list. hashes and made_with are None for one from before they were kept: it cannot be replayed."""

    id: int
    as_of: datetime
    information: float
    method: str | None
    action: str | None
    variant: str | None
    hashes: Mapping[str, str] | None
    made_with: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class EffectPoint:
    """One effect at one look. n, n_control: mature users of both arms. None: could not be told."""

    metric: str
    variant: str
    control: str
    n: int | None
    n_control: int | None
    estimate: float | None
    lower: float | None
    upper: float | None
    p_value: float | None
    adjusted_p_value: float | None
    significant: bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LookPoint:
    """What one look said of the effects. information: the share of the planned information; None where there is no plan."""

    report: int
    as_of: datetime
    information: float | None
    effects: tuple[EffectPoint, ...]


def list_kept(session: Session, *, key: str, before_id: int | None = None, limit: int = 50) -> list[Kept]:
    """Up to `limit` stored reports with an id below `before_id`, newest first. Raises NotFound."""
    rows = repository.reports_of(session, _id(session, key), before_id=before_id, limit=limit)
    return [_kept(row) for row in rows]


def find(session: Session, *, report_id: int, key: str | None = None) -> StoredReport:
    """The stored report with this id, of the experiment `key` where that is given. Raises NotFound."""
    experiment_id = None if key is None else _id(session, key)
    return repository.get_report(session, report_id, experiment_id=experiment_id)


def exported(report: StoredReport, *, with_inputs: bool = True) -> dict[str, Any]:
    """The report as one JSON document, with its provenance and (unless told not to) what it was made from."""
    return export(
        report.body,
        inputs=report.inputs if with_inputs else None,
        hashes=report.hashes,
        made_with=report.made_with,
        report_id=report.id,
    )


def series(
    session: Session,
    *,
    key: str,
    after_id: int = 0,
    limit: int = 50,
    metric: str | None = None,
    variant: str | None = None,
) -> list[LookPoint]:
    """Up to `limit` looks after the report `after_id`, oldest first, each with its effects (of one metric, one variant)."""
    rows = repository.findings_after(session, _id(session, key), after_id=after_id, limit=limit)
    return [_look(row, metric, variant) for row in rows]


def looks_for_picture(
    session: Session, *, experiment_id: int, until: datetime, most: int = MOST_LOOKS
) -> list[LookPoint]:
    """The looks up to a moment, the first and the last among them; of more than `most`, some evenly."""
    ids = evenly(repository.report_ids(session, experiment_id, until=until), most)
    return [_look(row, None, None) for row in repository.findings_of(session, experiment_id, ids)]


def thinned(
    session: Session, *, key: str, most: int, metric: str | None = None, variant: str | None = None
) -> list[LookPoint]:
    """At most `most` (2 or more) of all looks at an experiment, evenly, the first and the last among them. Raises NotFound."""
    number = _id(session, key)
    ids = evenly(repository.report_ids(session, number), most)
    return [_look(row, metric, variant) for row in repository.findings_of(session, number, ids)]


def evenly(items: Sequence[int], most: int) -> list[int]:
    """At most `most` (2 or more) of the items, evenly, with the first and the last.

    >>> evenly(range(10), 4), evenly([7, 8], 4)
    ([0, 3, 6, 9], [7, 8])
    """
    if len(items) <= most:
        return list(items)
    return [items[round(i * (len(items) - 1) / (most - 1))] for i in range(most)]


def _kept(row: Any) -> Kept:
    decision = row.decision or {}
    return Kept(
        id=row.id,
        as_of=row.as_of,
        information=row.information,
        method=row.method,
        action=decision.get("action"),
        variant=decision.get("variant"),
        hashes=row.hashes,
        made_with=row.made_with,
    )


def _look(row: Any, metric: str | None, variant: str | None) -> LookPoint:
    return LookPoint(
        report=row.id,
        as_of=row.as_of,
        information=row.information,
        effects=tuple(
            _point(finding, effect)
            for finding in row.metrics or ()
            if metric in (None, finding["metric"])
            for effect in finding["effects"]
            if variant in (None, effect["variant"])
        ),
    )


def _point(finding: Mapping[str, Any], effect: Mapping[str, Any]) -> EffectPoint:
    users = {arm["variant"]: arm["n"] for arm in finding["arms"]}
    absolute = effect.get("absolute") or {}
    return EffectPoint(
        metric=finding["metric"],
        variant=effect["variant"],
        control=effect["control"],
        n=users.get(effect["variant"]),
        n_control=users.get(effect["control"]),
        estimate=absolute.get("estimate"),
        lower=absolute.get("lower"),
        upper=absolute.get("upper"),
        p_value=effect.get("p_value"),
        adjusted_p_value=effect.get("adjusted_p_value"),
        significant=effect.get("significant"),
    )


def _id(session: Session, key: str) -> int:
    number = get_experiment(session, key).id
    assert number is not None  # noqa: S101  # a stored row has an id
    return number
