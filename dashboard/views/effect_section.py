"""The effects of one metric: in words, as a chart, and as numbers."""

import streamlit

from dashboard import charts, formats, verdicts
from dashboard.documents import Metric, Report

ROLES = {"primary": "Main effect", "secondary": "Also measured", "guardrail": "Guardrail"}


def show(report: Report, metric: Metric) -> None:
    role = ROLES.get(metric.role, metric.role)
    streamlit.subheader(f"{role}: {formats.plain(metric.key)}", anchor=False)
    if not metric.effects:
        words = f"Cannot tell yet: {verdicts.reason(report, metric)}"
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


def _rows(report: Report, metric: Metric) -> list[dict[str, str]]:
    interval = f"{formats.confidence(report.alpha)} interval"
    rows = []
    for effect in metric.effects:
        known_p = effect.adjusted_p_value if effect.adjusted_p_value is not None else effect.p_value
        rows.append(
            {
                "Variant": effect.variant,
                "Value": formats.level(metric.arm(effect.variant), metric.kind),
                f"Control ({effect.control})": formats.level(metric.arm(effect.control), metric.kind),
                f"Difference ({interval})": _estimate(
                    formats.difference_text(effect.absolute, metric.kind),
                    formats.difference_range(effect.absolute, metric.kind),
                ),
                f"Relative ({interval})": _estimate(
                    formats.relative_text(effect.relative), formats.relative_range(effect.relative)
                ),
                "p, adjusted": formats.p_value(known_p),
                "Chance to be better": formats.probability(effect.probability_better),
                "Verdict": verdicts.verdict(effect, metric).value,
            }
        )
    return [{formats.plain(name): formats.plain(value) for name, value in row.items()} for row in rows]


def _estimate(estimate: str, bounds: str) -> str:
    return estimate if estimate == formats.UNKNOWN else f"{estimate} ({bounds})"


def _notes(metric: Metric) -> str:
    notes = [
        f"{effect.variant}: per message that arrived {formats.difference_text(effect.cace, metric.kind)} "
        f"({formats.difference_range(effect.cace, metric.kind)})."
        for effect in metric.effects
        if effect.cace is not None
    ]
    reduced = [effect.variance_reduction for effect in metric.effects if effect.variance_reduction]
    if reduced:
        notes.append(
            f"Behaviour before the experiment explains {100 * max(reduced):.0f}% of the noise and was removed."
        )
    return " ".join(notes)
