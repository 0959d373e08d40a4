"""From the API's JSON to documents, defensively.

The API may add keys at any time, and an answer may lack what cannot be told. So an unknown key is passed over, an absent
or impossible number is None, and None is later told in words, never as a number.
"""

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from dashboard.documents import (
    Arm,
    ArmMean,
    Decision,
    Effect,
    Experiment,
    GuardrailVerdict,
    HealthCheck,
    ImportRun,
    Interval,
    Metric,
    Outbox,
    Quality,
    QualityColumn,
    Report,
    Topic,
)


class Unreadable(Exception):
    """The answer is not the document that was asked for."""


def read_experiment(document: Any) -> Experiment:
    """Raises Unreadable when `document` is no experiment at all."""
    if not isinstance(document, Mapping) or not isinstance(document.get("key"), str):
        raise Unreadable("it is not an experiment")
    design = _mapping(document.get("design"))
    return Experiment(
        key=document["key"],
        name=_text(document.get("name")) or document["key"],
        hypothesis=_text(document.get("hypothesis")) or _text(design.get("hypothesis")),
        status=_text(document.get("status")) or "unknown",
        category=_text(document.get("category")) or _text(design.get("category")),
        started_at=_moment(document.get("started_at")),
        stopped_at=_moment(document.get("stopped_at")),
        design=design,
    )


def read_report(document: Any, *, design: Mapping[str, Any]) -> Report:
    """The report; `design` supplies the direction and the margin of a metric where the report is silent.

    Raises Unreadable when `document` is no report at all.
    """
    if not isinstance(document, Mapping) or not isinstance(document.get("arms"), Sequence):
        raise Unreadable("it is not a report")
    designed = {use.get("key"): use for use in _mappings(design.get("metrics"))}
    decision = _mapping(document.get("decision"))
    return Report(
        experiment=_text(document.get("experiment")),
        as_of=_moment(document.get("as_of")),
        method=_text(document.get("method")),
        alpha=_number(document.get("alpha")) or 0.05,
        arms=tuple(_arm(arm) for arm in _mappings(document.get("arms"))),
        health=tuple(_health(check) for check in _mappings(document.get("health"))),
        metrics=tuple(
            _metric(metric, _mapping(designed.get(metric.get("metric"))))
            for metric in _mappings(document.get("metrics"))
        ),
        decision=Decision(
            action=_text(decision.get("action")),
            variant=_text(decision.get("variant")) or None,
            because=_text(decision.get("because")),
        ),
        warnings=tuple(_text(warning) for warning in _items(document.get("warnings")) if _text(warning)),
    )


def read_outbox(document: Any) -> Outbox:
    summary = _mapping(document)
    holds = summary.get("holds")
    return Outbox(states=_counts(summary.get("states")), holds=holds if isinstance(holds, bool) else None)


def read_import(document: Any) -> ImportRun:
    """Raises Unreadable when `document` is no import at all."""
    if not isinstance(document, Mapping) or not isinstance(document.get("id"), int):
        raise Unreadable("it is not an import")
    summary = _mapping(document.get("summary"))
    return ImportRun(
        id=document["id"],
        source=_text(document.get("source")) or "unknown",
        actor=_text(document.get("actor")),
        started_at=_moment(document.get("started_at")),
        finished_at=_moment(document.get("finished_at")),
        error=_text(document.get("error")),
        light=_text(document.get("light")),
        counts=_counts(summary),
        rejects=tuple(_mappings(summary.get("rejects"))),
    )


def read_quality(document: Any) -> Quality | None:
    """The quality of an import; None while there is none."""
    quality = _mapping(_mapping(document).get("quality"))
    if not quality:
        return None
    return Quality(
        light=_text(quality.get("light")),
        rows=_counts(quality).get("rows", 0),
        topics=tuple(
            Topic(str(name), _text(_mapping(told).get("light")), _text(_mapping(told).get("sentence")))
            for name, told in _mapping(quality.get("topics")).items()
        ),
        findings=tuple(
            Topic(_text(item.get("topic")), _text(item.get("light")), _text(item.get("sentence")))
            for item in _mappings(quality.get("findings"))
        ),
        columns=tuple(_quality_column(column) for column in _mappings(quality.get("columns"))),
    )


def _quality_column(document: Mapping[str, Any]) -> QualityColumn:
    distinct = _mapping(document.get("distinct"))
    numbers = {str(name): _number(value) for name, value in _mapping(document.get("numbers")).items()}
    return QualityColumn(
        name=_text(document.get("name")),
        becomes=_text(document.get("meaning")),
        light=_text(document.get("light")),
        share=_number(document.get("share")),
        invalid=_counts(document).get("invalid", 0),
        distinct=_counts(distinct).get("value"),
        exact=distinct.get("exact") is True,
        kinds=_counts(document.get("kinds")),
        numbers={name: value for name, value in numbers.items() if value is not None},
    )


def _counts(document: Any) -> Mapping[str, int]:
    """The whole numbers of a flat mapping; everything else in it is left out."""
    return {
        str(name): value
        for name, value in _mapping(document).items()
        if isinstance(value, int) and not isinstance(value, bool)
    }


def _arm(document: Mapping[str, Any]) -> Arm:
    messages = _mapping(document.get("messages"))
    mature = document.get("mature")
    return Arm(
        variant=_text(document.get("variant")),
        control=document.get("control") is True,
        assigned=_counts(document).get("assigned", 0),
        mature=mature if isinstance(mature, int) else None,
        messages=_counts(messages),
        suppressed=_counts(messages.get("suppressed")),
    )


def _health(document: Mapping[str, Any]) -> HealthCheck:
    check, stage = _text(document.get("check")), _text(document.get("stage"))
    p_value = _number(document.get("p_value"))
    ok, blocking = document.get("ok"), document.get("blocking")
    # A comparison of arms that gives no alarm and has no p-value either was not possible.
    known = isinstance(ok, bool) and not (ok and check == "srm" and p_value is None)
    return HealthCheck(
        check=check,
        stage=stage,
        p_value=p_value,
        ok=ok if known else None,
        detail=_text(document.get("detail")),
        blocking=blocking if isinstance(blocking, bool) else check != "srm" or stage == "assigned",
    )


def _metric(document: Mapping[str, Any], designed: Mapping[str, Any]) -> Metric:
    direction = document.get("direction") or designed.get("direction")
    margins = [
        _mapping(effect.get("guardrail")).get("margin") for effect in _mappings(document.get("effects"))
    ]
    margin = next((found for found in margins if found is not None), designed.get("margin"))
    return Metric(
        key=_text(document.get("metric")),
        kind=_text(document.get("kind")),
        role=_text(document.get("role")),
        higher_is_better=direction != "decrease" if direction else None,
        margin=_number(margin),
        arms=tuple(
            ArmMean(
                variant=_text(arm.get("variant")),
                n=_counts(arm).get("n", 0),
                mean=_number(arm.get("mean")),
                sd=_number(arm.get("sd")),
            )
            for arm in _mappings(document.get("arms"))
        ),
        effects=tuple(_effect(effect) for effect in _mappings(document.get("effects"))),
    )


def _effect(document: Mapping[str, Any]) -> Effect:
    significant = document.get("significant")
    bayes = _mapping(document.get("bayes"))
    return Effect(
        variant=_text(document.get("variant")),
        control=_text(document.get("control")),
        absolute=_interval(document.get("absolute")),
        relative=_interval(document.get("relative")),
        adjusted=_interval(document.get("interval_adjusted")),
        p_value=_number(document.get("p_value")),
        adjusted_p_value=_number(document.get("adjusted_p_value")),
        significant=significant if isinstance(significant, bool) else None,
        probability_better=_number(bayes.get("probability_better")),
        variance_reduction=_number(document.get("variance_reduction")),
        cace=_interval(document.get("cace")),
        guardrail=_guardrail(document.get("guardrail")),
    )


def _guardrail(document: Any) -> GuardrailVerdict | None:
    verdict = _mapping(document)
    non_inferior, breached = verdict.get("non_inferior"), verdict.get("breached")
    if not isinstance(non_inferior, bool) or not isinstance(breached, bool):
        return None
    return GuardrailVerdict(non_inferior=non_inferior, breached=breached)


def _interval(document: Any) -> Interval | None:
    values = _mapping(document)
    estimate = _number(values.get("estimate"))
    if estimate is None:
        return None
    return Interval(estimate, _number(values.get("lower")), _number(values.get("upper")))


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _moment(value: Any) -> datetime | None:
    try:
        moment = datetime.fromisoformat(_text(value))
    except ValueError:
        return None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _items(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list | tuple) else ()


def _mappings(value: Any) -> list[Mapping[str, Any]]:
    return [item for item in _items(value) if isinstance(item, Mapping)]
