"""Step 1: what it is called, whom it is for, how many that are, and when they enter."""

from collections.abc import Mapping
from datetime import time
from typing import Any, Final

import streamlit

from dashboard import formats
from dashboard.calls import conditions
from dashboard.campaign import documents, fields, timing
from dashboard.campaign.documents import at
from dashboard.campaign.fields import Duration
from dashboard.campaign.timing import WeeklyTime
from dashboard.client import ApiError, Client
from dashboard.texts import say
from dashboard.views import condition_builder, condition_words, states
from dashboard.views.campaign import event_fields
from dashboard.views.campaign.widgets import KEPT, Form, explained, names_of
from dashboard.views.remembering import remembered

WHOM: Final = ("everyone", "segment", "condition")
CATEGORIES: Final = ("marketing", "utility", "authentication")


def show(client: Client, form: Form) -> None:
    _show_name(form)
    streamlit.subheader(say("new_campaign.whom"), anchor=False)
    _show_condition(client, form)
    _show_shares(form)
    streamlit.subheader(say("new_campaign.when"), anchor=False)
    _show_trigger(client, form)


def _show_name(form: Form) -> None:
    name, key = streamlit.columns([3, 2])
    with name:
        called_so = form.text(("name",), "name", max_chars=200)
    stored = form.work.stored_as
    if not stored:
        form.suggest(documents.key_from(called_so), "key")
    with key:
        form.text(("key",), "key", max_chars=documents.LONGEST_KEY, disabled=stored is not None)
    form.text(("hypothesis",), "hypothesis", area=True, max_chars=2000, height=80)
    category, priority = streamlit.columns([3, 2])
    with category:
        form.one_of(("category",), "category", CATEGORIES, default="marketing", words="new_campaign.category")
    with priority:
        form.number(("priority",), "priority", codec=fields.WHOLE, default=0, least=-1000, most=1000)


def _show_condition(client: Client, form: Form) -> None:
    condition = _condition_of(client, form)
    if condition is None:
        return
    whom = form.choice("whom", WHOM, _whom(condition), words="new_campaign.whom_is")
    form.work.unfinished = False
    if whom == "condition":
        # The builder says by itself what it means, for whom, and what is wrong.
        key = form.key("audience", "condition")
        form.work.draw(key)
        try:
            entered = condition_builder.show(client, key, condition or None)
        except ApiError as error:
            states.show_error(error)
            return
        form.work.unfinished = entered is None
        if entered is not None and entered != condition:
            form.put(dict(entered) or None, "audience", "condition")
    elif whom == "segment":
        _show_segment(client, form, condition)
        _show_count(client, form)
    else:
        if condition:
            form.put(None, "audience", "condition")
        streamlit.caption(say("new_campaign.everyone"))
        _show_count(client, form)
    form.tell("audience", "condition")


def _condition_of(client: Client, form: Form) -> Mapping[str, Any] | None:
    """The condition as JSON, which the document may have as a text. None: it is no condition, which stands on the page."""
    condition = form.value("audience", "condition", default={})
    if isinstance(condition, Mapping):
        return condition
    try:
        read = conditions.read(client, text=str(condition)).condition
    except ApiError as error:
        states.leave_if_refused(error)
        streamlit.error(formats.plain(f"{condition}: {error}"), icon=":material/error:")
        if streamlit.button(say("new_campaign.without_condition")):
            form.put(None, "audience", "condition")
            streamlit.rerun()
        return None
    form.put(dict(read), "audience", "condition")
    return read


def _whom(condition: Mapping[str, Any]) -> str:
    if not condition:
        return "everyone"
    return "segment" if _segment_of(condition) else "condition"


def _segment_of(condition: Mapping[str, Any]) -> str | None:
    key = condition.get("$inSegment")
    return key if set(condition) == {"$inSegment"} and isinstance(key, str) else None


def _show_segment(client: Client, form: Form, condition: Mapping[str, Any]) -> None:
    try:
        names = remembered("campaign:segments", "", lambda: conditions.segment_names(client))
    except ApiError as error:
        states.show_error(error)
        return
    if not names:
        streamlit.info(say("new_campaign.no_segment"))
        streamlit.page_link("views/segments.py", label=say("app.page.segments"))
        return
    now = _segment_of(condition)
    key = form.key("~segment")
    form.begin(key, now)
    chosen = streamlit.selectbox(
        say("campaign_field.label.segment"),
        list(dict.fromkeys([*([now] if now else []), *names])),
        index=None,
        format_func=lambda option: f"{names.get(option, option)} ({option})",
        key=key,
        placeholder=say("new_campaign.choose"),
        help=explained("segment"),
        persist_state=KEPT,
    )
    if not chosen:
        streamlit.warning(say("new_campaign.segment_not_chosen"), icon=":material/warning:")
    elif chosen != now:
        form.put({"$inSegment": chosen}, "audience", "condition")


def _show_count(client: Client, form: Form) -> None:
    """How many they are now, said in words, and some of them."""
    condition = form.value("audience", "condition", default={})
    category = str(form.value("category", default="marketing"))
    try:
        if condition:
            condition_words.show_reading(reading_of(client, condition))
        found = remembered(
            "campaign:count",
            f"{category} {condition}",
            lambda: conditions.preview(client, condition, category=category),
        )
    except ApiError as error:
        states.leave_if_refused(error)
        streamlit.warning(formats.plain(str(error)))
        return
    condition_words.show_preview(found)


def reading_of(client: Client, condition: Mapping[str, Any]) -> conditions.Reading:
    """What a condition says, in English. Raises ApiError."""
    return remembered("campaign:words", str(condition), lambda: conditions.read(client, condition=condition))


def _show_shares(form: Form) -> None:
    first, second = streamlit.columns(2)
    with first:
        form.percent(("audience", "coverage"), "coverage", default=100.0)
    with second:
        form.percent(("audience", "holdout"), "holdout", default=0.0)
    with streamlit.expander(
        say("campaign_field.label.apart"), expanded=form.value("audience", "layer") is not None
    ):
        layer = ("audience", "layer") if _named_layer(form) else ("audience", "layer", "key")
        form.text(layer, "layer", max_chars=documents.LONGEST_KEY)
        if isinstance(form.value("audience", "layer"), Mapping) and not form.value(
            "audience", "layer", "key"
        ):
            form.put(None, "audience", "layer")
        if form.value("audience", "layer", "range") is not None:
            low, high = streamlit.columns(2)
            with low:
                form.percent(("audience", "layer", "range", 0), "range_from")
            with high:
                form.percent(("audience", "layer", "range", 1), "range_to")


def _named_layer(form: Form) -> bool:
    return not isinstance(form.value("audience", "layer"), Mapping)


def _show_trigger(client: Client, form: Form) -> None:
    now = timing.trigger_type(form.work.document)
    kind = form.choice("trigger", timing.TRIGGERS, now, words="new_campaign.trigger_is")
    if kind != now:
        form.remake(timing.with_trigger(form.work.document, kind), "trigger")
    trigger = form.below("trigger")
    if kind not in timing.TRIGGERS:
        form.keep("trigger")
        return
    streamlit.caption(say(f"new_campaign.trigger_means.{kind}"))
    if kind == "once":
        _show_once(trigger)
    elif kind == "event":
        _show_event(client, trigger)
    elif kind == "inactivity":
        _show_inactivity(client, trigger)
    elif kind == "recurring":
        _show_recurring(trigger)
    else:
        trigger.moment(("at",), "trigger_at")
    if kind != "once":
        trigger.moment(("until",), "until")
    trigger.tell()


def _show_once(form: Form) -> None:
    document = form.work.document
    now = timing.once_kind(document)
    kind = form.choice("once", timing.ONCE, now, words="new_campaign.once_is")
    if kind in {"now", "local_day"} and at(document, ("trigger", "at")):
        form.put(None, "at")
    if kind in {"now", "at"} and at(document, ("trigger", "local_time")):
        form.put(None, "local_time")
    if kind == "at":
        form.moment(("at",), "trigger_at")
    elif kind == "time_of_day":
        if now != kind:
            form.put("10:00", "local_time")
        form.clock(("local_time",), "trigger_local_time", default=time(10))
        form.moment(("at",), "not_before")
    elif kind == "local_day":
        if now != kind:
            form.put(None, "local_time")
        form.local_moment(("local_time",), "trigger_local_day")


def _show_event(client: Client, form: Form) -> None:
    event, delay = streamlit.columns(2)
    with event:
        event_fields.choose(client, form, "trigger_event")
    with delay:
        form.duration(("delay",), "delay", default=Duration(0, "h"))


def _show_inactivity(client: Client, form: Form) -> None:
    after, event = streamlit.columns(2)
    with after:
        form.duration(("after",), "inactive_after", default=Duration(0, "d"))
    with event:
        event_fields.choose(client, form, "inactive_event")


def _show_recurring(form: Form) -> None:
    cron = str(form.value("cron", default=""))
    weekly = timing.weekly(cron)
    if weekly is None:
        form.text(("cron",), "cron")
    else:
        at_key, days_key = form.key("~cron_time"), form.key("~cron_days")
        form.begin(at_key, weekly.at)
        form.begin(days_key, [timing.DAYS[day] for day in weekly.days])
        days_place, time_place = streamlit.columns([3, 1])
        with days_place:
            days = streamlit.pills(
                say("campaign_field.label.days"),
                timing.DAYS,
                selection_mode="multi",
                format_func=names_of("new_campaign.day", timing.DAYS),
                key=days_key,
                help=explained("cron_days"),
                persist_state=KEPT,
            )
        with time_place:
            clock = streamlit.time_input(
                say("campaign_field.label.cron_time"), value=None, key=at_key, persist_state=KEPT
            )
        chosen = WeeklyTime(clock or weekly.at, tuple(sorted(timing.DAYS.index(day) for day in days)))
        if chosen != weekly:
            form.put(timing.cron_of(chosen), "cron")
        form.tell("cron")
    form.text(("time_zone",), "time_zone", max_chars=64)
