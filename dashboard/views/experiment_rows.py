"""Experiments as rows: state, main effect in words and as a tiny picture, health, size. Each leads to its page."""

from collections.abc import Sequence
from typing import Final

import streamlit

from dashboard import formats, sparks, verdicts
from dashboard.overview import Card
from dashboard.texts import say
from dashboard.verdicts import Verdict
from dashboard.views import states

HEAD: Final = (7, 4)
WIDTHS: Final = (5.4, 2.2, 1.5, 1.9)


def show(cards: Sequence[Card]) -> None:
    for card in cards:
        with streamlit.container(border=True):
            _show_row(card)


def _show_row(card: Card) -> None:
    name, state = streamlit.columns(HEAD, vertical_alignment="center")
    name.page_link(
        "views/result.py",
        label=f"**{formats.plain(card.name)}**",
        help=formats.plain(card.key),
        width="stretch",
        query_params={"experiment": card.key},
    )
    state.markdown(_state(card))
    effect, health, users, messages = streamlit.columns(WIDTHS, vertical_alignment="center")
    effect.markdown(effect_words(card))
    report = card.report
    if report is not None:
        health.markdown(states.light(verdicts.light(report)))
        users.markdown(say("rows.users", count=report.users, number=formats.count(report.users)))
        sent = say("rows.messages", count=report.messages, number=formats.count(report.messages))
        # Of when the report is stands on the left; messages of the last 24 hours beside it are counted as they stand now.
        messages.markdown(f"{sent}  \n{say('rows.by_report')}")


def _state(card: Card) -> str:
    marks = [states.status_badge(card.status)]
    if card.shipped:
        marks.append(say("rows.shipped", variant=formats.plain(card.shipped)))
    elif card.is_held:
        marks.append(say("rows.held"))
    elif card.policy != "fixed":
        marks.append(say("rows.bandit"))
    if card.stopped_variants:
        marks.append(say("rows.stopped", variants=formats.plain(", ".join(card.stopped_variants))))
    return " ".join(marks)


def effect_words(card: Card) -> str:
    """The main effect as Markdown: its size and interval, the verdict, the tiny picture, and of whom and when."""
    if card.report is None:
        return say("rows.not_started" if card.started_at is None else "rows.no_report")
    leading = verdicts.leading_effect(card.report)
    when = formats.moment(card.report.as_of)
    age = say("rows.old", when=when) if card.is_old else say("rows.as_of", when=when)
    if leading is None:
        return f"{say('rows.no_primary')}  \n{age}"
    metric, effect = leading
    seen = verdicts.verdict(effect, metric)
    who = formats.plain(say("rows.who", metric=metric.key, variant=effect.variant, control=effect.control))
    if seen is Verdict.CANNOT_TELL or effect.absolute is None:
        return f":gray[{verdicts.word(Verdict.CANNOT_TELL)}]  \n:small[{who}]  \n{age}"
    size = formats.difference_text(effect.absolute, metric.kind)
    bounds = formats.difference_range(effect.absolute, metric.kind)
    words = say("rows.effect", size=size, range=bounds, verdict=verdicts.word(seen))
    drawn = f"![{formats.plain(words.replace('*', ''))}]({sparks.picture(effect.absolute, seen)})"
    return f"{words} {drawn}  \n:small[{who}]  \n{age}"
