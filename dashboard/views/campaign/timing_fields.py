"""When a message goes out, and how often."""

from datetime import time
from typing import Any

import streamlit

from dashboard.campaign import fields, timing
from dashboard.campaign.fields import Duration
from dashboard.texts import say
from dashboard.views.campaign.widgets import KEPT, Form


def show_send_time(form: Form) -> None:
    now = timing.send_time_kind(form.value())
    kind = form.choice("send_time", timing.SEND_TIMES, now, words="new_campaign.send_time_is")
    if kind != now:
        form.remake(timing.with_send_time(form.work.document, form.root, kind))
    streamlit.caption(say(f"new_campaign.send_time_means.{kind}"))
    form.tell(inside=False)
    if kind == "local_time":
        form.clock(("local_time",), "local_time", default=time(10))
    elif kind == "best_hour":
        _show_best_hour(form.below("best_hour"))
    if kind in {"local_time", "best_hour"}:
        form.some_of(("days",), "days", timing.DAYS, words="new_campaign.day")
    if kind != "none":
        form.duration(("after",), "send_after", default=Duration(0, "h"))


def _show_best_hour(form: Form) -> None:
    form.clock(("fallback",), "fallback", default=time(18, 30))
    _show_hours(form)
    form.tell("hours")
    form.percent(("explore",), "explore", default=10.0)
    form.number(("min_evidence",), "min_evidence", codec=fields.WHOLE, default=3, least=1, most=1000)


def _show_hours(form: Form) -> None:
    hours = form.value("hours", default=[8, 21])
    if not timing.are_hours(hours):
        form.keep("hours")
        return
    first, last = hours
    with streamlit.container(horizontal=True):
        key = form.key("~hours")
        form.begin(key, (first, last))
        chosen: Any = streamlit.slider(
            say("campaign_field.label.hours"),
            0,
            23,
            key=key,
            help=say("campaign_field.help.hours"),
            persist_state=KEPT,
        )
        if tuple(chosen) != (first, last):
            form.put(list(chosen), "hours")


def show_frequency(form: Form) -> None:
    steps = form.number(("steps",), "steps", codec=fields.WHOLE, default=1, least=1, most=30)
    form.tell(inside=False)
    if steps > 1 or form.value("min_interval"):
        form.duration(("min_interval",), "min_interval", default=Duration(0, "h"))
    with streamlit.expander(say("new_campaign.at_most"), expanded=_has_window(form)):
        for name in ("per_day", "per_week", "per_month"):
            form.number((name,), name, codec=fields.WHOLE, least=1, most=30)


def _has_window(form: Form) -> bool:
    return any(form.value(name) is not None for name in ("per_day", "per_week", "per_month"))


def when_words(send_time: Any) -> tuple[str, dict[str, str]]:
    """The text that tells a send time in a table, and the values in it."""
    kind, values = timing.send_time_words(send_time)
    days = values.pop("days", "")
    if "time" in values:
        named = [say(f"new_campaign.day.{day}") for day in days.split(", ") if day in timing.DAYS]
        values["days"] = f", {', '.join(named)}" if named else ""
    return f"new_campaign.when_words.{kind}", values
