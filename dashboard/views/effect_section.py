"""The effects of one metric: in words, as a chart, and as numbers; and by factor where variants are crossed."""

import streamlit

from dashboard import charts, formats, verdicts
from dashboard.documents import FactorEffect, Interval, Metric, Report
from dashboard.texts import catalogue, say


def show(report: Report, metric: Metric) -> None:
    title = f"result.effect.{metric.role}"
    known = title if title in catalogue() else "result.effect.secondary"
    streamlit.subheader(say(known, metric=formats.plain(metric.key)), anchor=False)
    if not metric.effects:
        words = say("result.effect.cannot_tell", reason=verdicts.reason(report, metric))
        streamlit.markdown(formats.plain(words))
        return
    sentences = [verdicts.sentence(effect, metric, report) for effect in metric.effects]
    streamlit.markdown("\n".join(f"- {formats.plain(sentence)}" for sentence in sentences))
    spoken = " ".join(sentences)
    left, right = streamlit.columns(2)
    absolute = charts.effects(metric, "absolute", alpha=report.alpha)
    relative = charts.effects(metric, "relative", alpha=report.alpha)
    if absolute is not None:
        left.altair_chart(absolute, width="stretch", alt=spoken, key=f"absolute:{metric.key}")
    if relative is not None:
        right.altair_chart(relative, width="stretch", alt=spoken, key=f"relative:{metric.key}")
    streamlit.table(_rows(report, metric), border="horizontal", hide_index=True, alt=spoken)
    if notes := _notes(metric):
        streamlit.caption(formats.plain(notes))


def show_factors(report: Report, metric: Metric) -> None:
    """What each level of a factor does; nothing for a metric of variants that are not crossed."""
    if not metric.factors:
        return
    title = say("result.factors.title", metric=formats.plain(metric.key))
    streamlit.subheader(title, anchor=False)
    streamlit.caption(say("result.factors.help"))
    rows = [_factor_row(effect, metric, report.alpha) for effect in metric.factors]
    streamlit.table(rows, border="horizontal", hide_index=True, alt=title)


def _rows(report: Report, metric: Metric) -> list[dict[str, str]]:
    confidence = formats.confidence(report.alpha)
    rows = []
    for effect in metric.effects:
        known_p = effect.adjusted_p_value if effect.adjusted_p_value is not None else effect.p_value
        rows.append(
            {
                say("result.effect.variant"): effect.variant,
                # Before the numbers: on a narrow screen the last columns are beyond its edge.
                say("result.effect.verdict"): verdicts.word(verdicts.verdict(effect, metric)),
                say("result.effect.value"): formats.level(metric.arm(effect.variant), metric.kind),
                say("result.effect.control", variant=effect.control): formats.level(
                    metric.arm(effect.control), metric.kind
                ),
                say("result.effect.difference", confidence=confidence): absolute_words(
                    effect.absolute, metric.kind
                ),
                say("result.effect.relative", confidence=confidence): relative_words(effect.relative),
                say("result.effect.p"): formats.p_value(known_p),
                say("result.effect.better"): formats.probability(effect.probability_better),
            }
        )
    return [{formats.plain(name): formats.plain(value) for name, value in row.items()} for row in rows]


def absolute_words(interval: Interval | None, kind: str) -> str:
    """The difference with its interval, or a dash."""
    return _estimate(formats.difference_text(interval, kind), formats.difference_range(interval, kind))


def relative_words(interval: Interval | None) -> str:
    return _estimate(formats.relative_text(interval), formats.relative_range(interval))


def _estimate(estimate: str, bounds: str) -> str:
    if estimate == formats.UNKNOWN:
        return estimate
    return say("result.effect.estimate", estimate=estimate, range=bounds)


def _factor_row(effect: FactorEffect, metric: Metric, alpha: float) -> dict[str, str]:
    confidence = formats.confidence(alpha)
    beyond = {True: say("result.factors.yes"), False: say("result.factors.no"), None: formats.UNKNOWN}
    row = {
        say("result.factors.factor"): " × ".join(effect.factors),
        say("result.factors.level"): " × ".join(effect.levels),
        say("result.factors.against"): " × ".join(effect.against),
        say("result.effect.difference", confidence=confidence): absolute_words(effect.absolute, metric.kind),
        say("result.effect.relative", confidence=confidence): relative_words(effect.relative),
        say("result.effect.p"): formats.p_value(effect.adjusted_p_value),
        say("result.factors.verdict"): beyond[effect.significant],
    }
    return {formats.plain(name): formats.plain(value) for name, value in row.items()}


def _notes(metric: Metric) -> str:
    notes = [
        say(
            "result.effect.cace",
            variant=effect.variant,
            estimate=formats.difference_text(effect.cace, metric.kind),
            range=formats.difference_range(effect.cace, metric.kind),
        )
        for effect in metric.effects
        if effect.cace is not None
    ]
    if any(verdicts.doubted(effect, metric) for effect in metric.effects):
        notes.append(say("result.posterior.sceptical"))
    reduced = [effect.variance_reduction for effect in metric.effects if effect.variance_reduction]
    if reduced:
        notes.append(say("result.effect.noise", share=f"{100 * max(reduced):.0f}"))
    return " ".join(notes)
