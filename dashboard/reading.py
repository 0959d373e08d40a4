"""From the API's JSON to documents, defensively.

The API may add keys at any time, and an answer may lack what cannot be told. So an unknown key is passed over, an absent
or impossible number is None, and None is later told in words, never as a number.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from dashboard import values
from dashboard.documents import (
    Arm,
    ArmMean,
    Decision,
    Effect,
    Experiment,
    FactorEffect,
    GuardrailVerdict,
    HealthCheck,
    ImportRun,
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
    design = values.mapping(document.get("design"))
    return Experiment(
        key=document["key"],
        name=values.text(document.get("name")) or document["key"],
        hypothesis=values.text(document.get("hypothesis")) or values.text(design.get("hypothesis")),
        status=values.text(document.get("status")) or "unknown",
        category=values.text(document.get("category")) or values.text(design.get("category")),
        started_at=values.moment(document.get("started_at")),
        stopped_at=values.moment(document.get("stopped_at")),
        measured_until=values.moment(document.get("measured_until")),
        design=design,
        shipped=values.text(document.get("shipped")) or None,
        released=values.number(document.get("released")),
    )


def read_report(document: Any, *, design: Mapping[str, Any]) -> Report:
    """The report; `design` supplies the direction and the margin of a metric where the report is silent.

    Raises Unreadable when `document` is no report at all.
    """
    if not isinstance(document, Mapping) or not isinstance(document.get("arms"), Sequence):
        raise Unreadable("it is not a report")
    designed = {use.get("key"): use for use in values.mappings(design.get("metrics"))}
    decision = values.mapping(document.get("decision"))
    return Report(
        experiment=values.text(document.get("experiment")),
        as_of=values.moment(document.get("as_of")),
        method=values.text(document.get("method")),
        alpha=values.number(document.get("alpha")) or 0.05,
        arms=tuple(_arm(arm) for arm in values.mappings(document.get("arms"))),
        health=tuple(_health(check) for check in values.mappings(document.get("health"))),
        metrics=tuple(
            _metric(metric, values.mapping(designed.get(metric.get("metric"))))
            for metric in values.mappings(document.get("metrics"))
        ),
        decision=Decision(
            action=values.text(decision.get("action")),
            variant=values.text(decision.get("variant")) or None,
            because=values.text(decision.get("because")),
            rule=values.text(decision.get("rule")),
        ),
        warnings=tuple(
            values.text(warning) for warning in values.items(document.get("warnings")) if values.text(warning)
        ),
    )


def read_outbox(document: Any) -> Outbox:
    summary = values.mapping(document)
    return Outbox(states=values.counts(summary.get("states")), holds=values.truth(summary.get("holds")))


def read_import(document: Any) -> ImportRun:
    """Raises Unreadable when `document` is no import at all."""
    if not isinstance(document, Mapping) or not isinstance(document.get("id"), int):
        raise Unreadable("it is not an import")
    summary = values.mapping(document.get("summary"))
    return ImportRun(
        id=document["id"],
        source=values.text(document.get("source")) or "unknown",
        actor=values.text(document.get("actor")),
        started_at=values.moment(document.get("started_at")),
        finished_at=values.moment(document.get("finished_at")),
        error=values.text(document.get("error")),
        light=values.text(document.get("light")),
        counts=values.counts(summary),
        rejects=tuple(values.mappings(summary.get("rejects"))),
    )


def read_quality(document: Any) -> Quality | None:
    """The quality of an import; None while there is none."""
    quality = values.mapping(values.mapping(document).get("quality"))
    if not quality:
        return None
    return Quality(
        light=values.text(quality.get("light")),
        rows=values.counts(quality).get("rows", 0),
        topics=tuple(
            Topic(
                str(name),
                values.text(values.mapping(told).get("light")),
                values.text(values.mapping(told).get("sentence")),
            )
            for name, told in values.mapping(quality.get("topics")).items()
        ),
        findings=tuple(
            Topic(
                values.text(item.get("topic")),
                values.text(item.get("light")),
                values.text(item.get("sentence")),
            )
            for item in values.mappings(quality.get("findings"))
        ),
        columns=tuple(_quality_column(column) for column in values.mappings(quality.get("columns"))),
    )


def _quality_column(document: Mapping[str, Any]) -> QualityColumn:
    distinct = values.mapping(document.get("distinct"))
    numbers = {
        str(name): values.number(value) for name, value in values.mapping(document.get("numbers")).items()
    }
    return QualityColumn(
        name=values.text(document.get("name")),
        becomes=values.text(document.get("meaning")),
        light=values.text(document.get("light")),
        share=values.number(document.get("share")),
        invalid=values.counts(document).get("invalid", 0),
        distinct=values.counts(distinct).get("value"),
        exact=distinct.get("exact") is True,
        kinds=values.counts(document.get("kinds")),
        numbers={name: value for name, value in numbers.items() if value is not None},
    )


def _arm(document: Mapping[str, Any]) -> Arm:
    messages = values.mapping(document.get("messages"))
    return Arm(
        variant=values.text(document.get("variant")),
        control=document.get("control") is True,
        assigned=values.counts(document).get("assigned", 0),
        mature=values.whole(document.get("mature")),
        messages=values.counts(messages),
        suppressed=values.counts(messages.get("suppressed")),
    )


def _health(document: Mapping[str, Any]) -> HealthCheck:
    check, stage = values.text(document.get("check")), values.text(document.get("stage"))
    p_value = values.number(document.get("p_value"))
    ok, blocking = document.get("ok"), document.get("blocking")
    # A comparison of arms that gives no alarm and has no p-value either was not possible.
    known = isinstance(ok, bool) and not (ok and check == "srm" and p_value is None)
    return HealthCheck(
        check=check,
        stage=stage,
        p_value=p_value,
        ok=ok if known else None,
        detail=values.text(document.get("detail")),
        blocking=blocking if isinstance(blocking, bool) else check != "srm" or stage == "assigned",
    )


def _metric(document: Mapping[str, Any], designed: Mapping[str, Any]) -> Metric:
    direction = document.get("direction") or designed.get("direction")
    margins = [
        values.mapping(effect.get("guardrail")).get("margin")
        for effect in values.mappings(document.get("effects"))
    ]
    margin = next((found for found in margins if found is not None), designed.get("margin"))
    return Metric(
        key=values.text(document.get("metric")),
        kind=values.text(document.get("kind")),
        role=values.text(document.get("role")),
        higher_is_better=direction != "decrease" if direction else None,
        margin=values.number(margin),
        arms=tuple(
            ArmMean(
                variant=values.text(arm.get("variant")),
                n=values.counts(arm).get("n", 0),
                mean=values.number(arm.get("mean")),
                sd=values.number(arm.get("sd")),
            )
            for arm in values.mappings(document.get("arms"))
        ),
        effects=tuple(read_effect(effect) for effect in values.mappings(document.get("effects"))),
        factors=tuple(_factor_effect(effect) for effect in values.mappings(document.get("factors"))),
    )


def _factor_effect(document: Mapping[str, Any]) -> FactorEffect:
    return FactorEffect(
        kind=values.text(document.get("kind")),
        factors=values.texts(document.get("factors")),
        levels=values.texts(document.get("levels")),
        against=values.texts(document.get("against")),
        absolute=values.interval(document.get("absolute")),
        relative=values.interval(document.get("relative")),
        adjusted_p_value=values.number(document.get("adjusted_p_value")),
        significant=values.truth(document.get("significant")),
    )


def read_effect(document: Mapping[str, Any]) -> Effect:
    """One variant against the control, as reports and their slices hold it."""
    bayes = values.mapping(document.get("bayes"))
    return Effect(
        variant=values.text(document.get("variant")),
        control=values.text(document.get("control")),
        absolute=values.interval(document.get("absolute")),
        relative=values.interval(document.get("relative")),
        adjusted=values.interval(document.get("interval_adjusted")),
        p_value=values.number(document.get("p_value")),
        adjusted_p_value=values.number(document.get("adjusted_p_value")),
        significant=values.truth(document.get("significant")),
        probability_better=values.number(bayes.get("probability_better")),
        expected_loss=values.number(bayes.get("expected_loss")),
        believed=_believed(bayes),
        variance_reduction=values.number(document.get("variance_reduction")),
        cace=values.interval(document.get("cace")),
        guardrail=_guardrail(document.get("guardrail")),
    )


def _guardrail(document: Any) -> GuardrailVerdict | None:
    verdict = values.mapping(document)
    non_inferior, breached = verdict.get("non_inferior"), verdict.get("breached")
    if not isinstance(non_inferior, bool) or not isinstance(breached, bool):
        return None
    return GuardrailVerdict(non_inferior=non_inferior, breached=breached)


def _believed(bayes: Mapping[str, Any]) -> tuple[float, float] | None:
    low, high = values.number(bayes.get("lower")), values.number(bayes.get("upper"))
    return None if low is None or high is None else (low, high)
