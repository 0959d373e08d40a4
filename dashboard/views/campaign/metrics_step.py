"""Step 3: what is measured, and what decides."""

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit

from dashboard.campaign import documents, metrics
from dashboard.campaign.documents import Document, items_at, with_value, without
from dashboard.campaign.fields import Duration
from dashboard.client import Client
from dashboard.texts import say
from dashboard.views.campaign import event_fields, library
from dashboard.views.campaign.widgets import KEPT, Form, explained, names_of

WEEK = Duration(7, "d")


def show(client: Client, form: Form) -> None:
    streamlit.caption(say("new_campaign.metrics_mean"))
    form.tell("metrics", inside=False)
    known = library.definitions(client)
    measured = items_at(form.work.document, ("metrics",))
    for index in range(len(measured)):
        with streamlit.container(border=True):
            _show_metric(client, form.below("metrics", index), index, known)
    with streamlit.container(horizontal=True):
        for role in metrics.ROLES:
            if streamlit.button(
                say(f"new_campaign.add_metric.{role}"), icon=":material/add:", key=form.key(f"~add_{role}")
            ):
                _add(form, measured, role)


def _add(form: Form, measured: list[Any], role: str) -> None:
    taken = {item.get("key") for item in measured if isinstance(item, Mapping)}
    guard = next((key for key in metrics.GUARDS if key not in taken), None)
    fresh: dict[str, Any] = {"kind": "proportion", "role": role, "window": "7d"}
    if role == "guardrail" and guard:
        fresh = {"key": guard, "role": role, "margin": metrics.GUARDS[guard]}
    elif role == "guardrail":
        fresh |= {"direction": "decrease", "margin": 0.01}
    form.remake(with_value(form.work.document, ("metrics",), [*measured, fresh]), "metrics", len(measured))


def _show_metric(client: Client, form: Form, index: int, known: Mapping[str, Document]) -> None:
    metric = form.value(default={})
    source, role, away = streamlit.columns([4, 3, 1], vertical_alignment="bottom")
    with source:
        _choose_source(form, metric, list(known))
    with role:
        chosen = form.one_of(("role",), "role", metrics.ROLES, words="new_campaign.role")
    with away:
        if streamlit.button(
            say("new_campaign.remove"), icon=":material/delete:", key=form.key("~remove"), width="stretch"
        ):
            form.remake_all(without(form.work.document, ("metrics", index)), "metrics")
    if chosen and chosen != metric.get("role"):
        form.remake(with_value(form.work.document, form.root, metrics.with_role(metric, chosen)))
    if chosen in metrics.ROLES:
        streamlit.caption(say(f"new_campaign.role_means.{chosen}"))
    form.tell(inside=False)
    own = metrics.source_of(form.value(default={})) == metrics.OWN
    if own:
        _show_definition(client, form)
    window, extra = streamlit.columns(2)
    with window:
        form.duration(("window",), "window", default=WEEK)
    with extra:
        if chosen == "guardrail":
            _show_margin(form, known)
        if own and form.value("kind") != "quantile" and not _of_messages(form):
            form.duration(("covariate",), "covariate", default=Duration(0, "d"))
        if not own and metric.get("key") == "cost":
            form.number(("price",), "price", most=1e9, step=0.01, format="%.6g")


def _show_margin(form: Form, known: Mapping[str, Document]) -> None:
    """Of shares in percentage points, as every other share of the form; else in the metric's own unit."""
    if metrics.is_share(form.value(default={}), known):
        form.percent(("margin",), "margin_points", step=0.1, kind="points")
    else:
        form.number(("margin",), "margin", most=1e12, step=0.001, format="%.6g")


def _of_messages(form: Form) -> bool:
    return any(form.value(*place, "message") is not None for place in ((), ("numerator",), ("denominator",)))


def _choose_source(form: Form, metric: Mapping[str, Any], known: Sequence[str]) -> None:
    now = metrics.source_of(metric)
    options = list(dict.fromkeys([metrics.OWN, *metrics.BUILT_IN, *known, now]))
    key = form.key("~source")
    form.begin(key, now)
    chosen = streamlit.selectbox(
        say("campaign_field.label.source"),
        options,
        index=None,
        format_func=names_of("new_campaign.source", options),
        key=key,
        help=explained("source"),
        persist_state=KEPT,
    )
    if chosen and chosen != now:
        form.remake(with_value(form.work.document, form.root, metrics.from_source(metric, chosen)))


def _show_definition(client: Client, form: Form) -> None:
    kind_now = str(form.value("kind"))
    kind, direction = streamlit.columns(2)
    with kind:
        chosen = form.one_of(("kind",), "kind", metrics.KINDS, words="new_campaign.kind")
    if chosen and chosen != kind_now:
        changed = metrics.of_kind({**form.value(), "kind": kind_now}, chosen)
        form.remake(with_value(form.work.document, form.root, changed))
    with direction:
        form.one_of(
            ("direction",),
            "direction",
            ("increase", "decrease"),
            default="increase",
            words="new_campaign.direction",
        )
    if chosen == "ratio":
        for part in ("numerator", "denominator"):
            streamlit.markdown(f"**{say(f'new_campaign.part.{part}')}**")
            _show_quantity(client, form.below(part), with_value=True)
            form.tell(part)
    else:
        _show_quantity(client, form, with_value=chosen in metrics.WITH_VALUE)
    if chosen == "quantile":
        form.percent(("level",), "level")
    if chosen == "retention":
        form.duration(("after",), "retention_after", default=Duration(0, "d"))
    _show_key(form)


def _show_quantity(client: Client, form: Form, *, with_value: bool) -> None:
    """An event and, of some kinds, its property to add up; or a stage of messages."""
    counts = "message" if form.value("message") is not None else "event"
    chosen = form.choice("counts", ("event", "message"), counts, words="new_campaign.counts")
    if chosen != counts:
        form.put(None, counts)
        form.put(None, "value" if chosen == "message" else "price")
    what, of = streamlit.columns(2)
    with what:
        if chosen == "message":
            form.one_of(("message",), "stage", metrics.STAGES, words="new_campaign.stage")
        else:
            event_fields.choose(client, form, "event")
    with of:
        if with_value and chosen == "event":
            form.text(("value",), "value", max_chars=200)
        elif with_value:
            form.number(("price",), "price", most=1e9, step=0.01, format="%.6g")


def _show_key(form: Form) -> None:
    """Named after its event until somebody names it."""
    event = str(form.value("event") or form.value("numerator", "event") or "")
    suggested = documents.key_from(event).replace("-", "_")
    others = [
        item.get("key")
        for i, item in enumerate(items_at(form.work.document, ("metrics",)))
        if i != form.root[-1]
    ]
    if suggested not in others and form.value("key", default="") in {"", suggested}:
        form.suggest(suggested, "key")
    form.text(("key",), "metric_key", max_chars=documents.LONGEST_KEY)
