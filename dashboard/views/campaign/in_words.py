"""A campaign in words, for whoever reads no YAML: whom it is for, what they get, when, what decides, and what the plan says."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

import streamlit

from dashboard import formats, values
from dashboard.calls import conditions
from dashboard.campaign import metrics, timing
from dashboard.campaign.documents import Document, at, items_at
from dashboard.client import ApiError, Client
from dashboard.texts import say
from dashboard.views import states
from dashboard.views.campaign import audience_step, library, plan_shown, variants_step
from dashboard.views.campaign.widgets import Form, called

_TRIGGER_FIELDS: Final = (
    ("event", "trigger_event"),
    ("delay", "delay"),
    ("after", "inactive_after"),
    ("cron", "cron"),
    ("time_zone", "time_zone"),
    ("local_time", "trigger_local_time"),
    ("at", "trigger_at"),
    ("until", "until"),
)
_MOMENTS: Final = frozenset({"at", "until"})


def show(client: Client, form: Form, plan: Mapping[str, Any] | None) -> None:
    """The whole campaign before its YAML. plan: where it is known already."""
    document = form.work.document
    lines = [("step.audience", _audience(client, document)), ("when", _trigger(document))]
    ends_after = at(document, ("plan", "ends_after"))
    if ends_after:
        lines.append(("words.ends_after", formats.plain(str(ends_after))))
    known = library.definitions(client)
    for role in ("primary", "guardrail"):
        listed = "; ".join(_measured(document, role, known))
        lines.append((f"words.{role}", listed or say("new_campaign.words.none")))
    streamlit.markdown("\n".join(f"- **{say(f'new_campaign.{name}')}**: {words}" for name, words in lines))
    variants_step.show_cells(form)
    if plan is not None:
        streamlit.markdown(f"**{say('new_campaign.plan_answers')}**")
        plan_shown.show_verdict(plan)


def _audience(client: Client, document: Document) -> str:
    """The condition as the API reads it aloud, and which share of those it means takes part."""
    condition = at(document, ("audience", "condition"))
    parts = [_condition(client, condition) if condition else say("new_campaign.everyone")]
    for share in ("coverage", "holdout"):
        number = values.number(at(document, ("audience", share)))
        if number is not None and number != {"coverage": 1, "holdout": 0}[share]:
            parts.append(
                f"{say(f'campaign_field.label.{share}')}: {formats.brief(100 * number, formats.DIGITS_OF_A_SETTING)}"
            )
    return " · ".join(parts)


def _condition(client: Client, condition: Any) -> str:
    try:
        if isinstance(condition, Mapping):
            return formats.plain(audience_step.reading_of(client, condition).english)
        return formats.plain(conditions.read(client, text=str(condition)).english)
    except ApiError as error:
        states.leave_if_refused(error)
        return formats.plain(f"{condition}: {error}")


def _trigger(document: Document) -> str:
    kind = timing.trigger_type(document)
    parts = [formats.plain(called("new_campaign.trigger_is", kind))]
    for field, label in _TRIGGER_FIELDS:
        value = at(document, ("trigger", field))
        if value:
            moment = values.moment(value) if field in _MOMENTS else None
            words = str(value) if moment is None else formats.moment(moment)
            parts.append(f"{say(f'campaign_field.label.{label}')}: {formats.plain(words)}")
    if kind == "once" and len(parts) == 1:
        parts.append(say("new_campaign.once_is.now"))
    return " · ".join(parts)


def _measured(document: Document, role: str, known: Mapping[str, Document]) -> Iterator[str]:
    """The metrics of a role: each with what it counts, its window, and what a guardrail tolerates."""
    for metric in items_at(document, ("metrics",)):
        if at(metric, ("role",)) != role:
            continue
        key = str(at(metric, ("key",), formats.UNKNOWN))
        defined = metric if at(metric, ("kind",)) is not None else known.get(key, {})
        kind = str(at(defined, ("kind",), ""))
        parts = [called("new_campaign.kind", kind), str(at(defined, ("event",), ""))] if kind else []
        shown = [formats.plain(part) for part in parts if part]
        if not kind and key in metrics.BUILT_IN:
            shown = [say(f"new_campaign.source.{key}")]
        window = at(metric, ("window",)) or at(defined, ("window",))
        if window:
            shown.append(f"{say('campaign_field.label.window')}: {formats.plain(str(window))}")
        margin = values.number(at(metric, ("margin",)))
        if margin is not None:
            unit = "proportion" if metrics.is_share(metric, known) else ""
            shown.append(say("new_campaign.words.tolerates", harm=formats.tolerance(margin, unit)))
        head = f"**{formats.plain(key)}**"
        yield f"{head} ({', '.join(shown)})" if shown else head
