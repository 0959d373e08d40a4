"""What is believed about each difference: densities, the chance to be better, and what a wrong choice would cost."""

from typing import Final

import streamlit

from dashboard import charts_over_time, formats, verdicts
from dashboard.documents import Effect, Experiment, Interval, Metric, Report
from dashboard.texts import say

DECIMALS: Final = 3
"""Of an expected loss; a smaller one is nothing to read."""


def show(experiment: Experiment, report: Report) -> None:
    streamlit.caption(say("result.posterior.help"))
    told = [metric for metric in report.metrics if any(effect.believed for effect in metric.effects)]
    if not told:
        metric = report.primary or next(iter(report.metrics), None)
        reason = verdicts.reason(report, metric) if metric else say("verdicts.no_reason")
        words = say("result.posterior.none", reason=formats.plain(reason))
        streamlit.info(words, icon=":material/hourglass_empty:")
    colours = charts_over_time.colours_of([arm.variant for arm in report.arms], experiment.control)
    for metric in told:
        _show_metric(metric, colours, report.alpha)


def _show_metric(metric: Metric, colours: dict[str, str], alpha: float) -> None:
    title = formats.plain(metric.key)
    streamlit.subheader(title, anchor=False)
    if not formats.is_share(metric.kind):
        streamlit.caption(say("result.posterior.sceptical"))
    effects = [effect for effect in metric.effects if effect.believed is not None]
    sentences = [_words(effect, metric) for effect in effects]
    chart = charts_over_time.density(metric, colours=colours, alpha=alpha)
    if chart is not None:
        streamlit.altair_chart(chart, width="stretch", alt=" ".join(sentences), key=f"density:{metric.key}")
    streamlit.markdown("\n".join(f"- {formats.plain(sentence)}" for sentence in sentences))
    rows = [_row(effect, metric, alpha) for effect in effects]
    streamlit.table(rows, border="horizontal", hide_index=True, alt=title)


def _words(effect: Effect, metric: Metric) -> str:
    return say(
        "result.posterior.words",
        variant=effect.variant,
        control=effect.control,
        probability=formats.probability(effect.probability_better),
        loss=_loss(effect, metric),
    )


def _row(effect: Effect, metric: Metric, alpha: float) -> dict[str, str]:
    low, high = effect.believed or (0.0, 0.0)
    believed = Interval((low + high) / 2, low, high)
    row = {
        say("result.effect.variant"): effect.variant,
        say("result.effect.better"): formats.probability(effect.probability_better),
        say("result.posterior.loss"): _loss(effect, metric),
        say("result.posterior.credible", confidence=formats.confidence(alpha)): formats.difference_range(
            believed, metric.kind
        ),
    }
    return {heading: formats.plain(value) for heading, value in row.items()}


def _loss(effect: Effect, metric: Metric) -> str:
    if effect.expected_loss is None:
        return formats.UNKNOWN
    shown = effect.expected_loss * (100 if formats.is_share(metric.kind) else 1)
    text = formats.number(shown, min(DECIMALS, formats.decimals_for(shown)))
    if 0 < shown < 10**-DECIMALS:
        text = f"<{formats.NBSP}{10**-DECIMALS:g}"
    return say("formats.points", number=text) if formats.is_share(metric.kind) else text
