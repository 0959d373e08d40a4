"""When a rule looks at a user: its trigger as widgets."""

from collections.abc import Mapping
from typing import Any, Final
from zoneinfo import available_timezones

import streamlit

from dashboard import rule_fields, viewer
from dashboard.client import ApiError, Client
from dashboard.condition_rows import Kept
from dashboard.texts import say
from dashboard.views import condition_builder, condition_rows_form, condition_words, states
from dashboard.views.campaign import event_fields

WIDE: Final = 320


def show(client: Client, key: str, before: Mapping[str, Any]) -> dict[str, Any] | None:
    """The trigger; None while something is missing."""
    kinds = list(rule_fields.TRIGGERS)
    kind = streamlit.selectbox(
        say("rules.trigger.label"),
        kinds,
        index=kinds.index(before["type"]) if before.get("type") in kinds else 0,
        format_func=lambda name: say(f"rules.trigger.{name}"),
        help=say("rules.trigger.help"),
        key=f"{key}:type",
        width=WIDE,
    )
    streamlit.caption(say(f"rules.trigger.about_{kind}"))
    fields = before if before.get("type") == kind else {}
    said = _FORMS[kind](client, f"{key}:{kind}", fields)
    if said is None:
        return None
    trigger = rule_fields.trigger_of(kind, said)
    return trigger if rule_fields.is_complete_trigger(trigger) else None


def _events(client: Client) -> list[str]:
    try:
        return list(condition_builder.offered(client).events)
    except ApiError as error:
        states.leave_if_refused(error)
        return []


def _event(client: Client, key: str, before: Mapping[str, Any], *, label: str, explained: str) -> str | None:
    known = str(before.get("event") or "")
    names = _events(client)
    names += [known] if known and known not in names else []
    return streamlit.selectbox(
        label,
        names,
        index=names.index(known) if known else None,
        accept_new_options=True,
        placeholder=say("condition_builder.event.choose"),
        help=explained,
        key=f"{key}:event",
        width=WIDE,
    )


def _on_event(client: Client, key: str, before: Mapping[str, Any]) -> dict[str, Any] | None:
    event = _event(
        client,
        key,
        before,
        label=say("condition_builder.event.label"),
        explained=say("rules.trigger.event_help"),
    )
    event_fields.tell_if_never(client, event, asked_for=f"{key}:event")
    held = before.get("properties")
    narrowed = streamlit.checkbox(
        say("rules.trigger.narrow"),
        bool(held),
        help=say("rules.trigger.properties_help"),
        key=f"{key}:narrow",
    )
    if not narrowed:
        return {"event": event}
    part = condition_words.part(
        client, f"{key}:properties", Kept(held), label=say("rules.trigger.properties")
    )
    return None if part.document is None else {"event": event, "properties": part.document}


def _on_attribute(client: Client, key: str, before: Mapping[str, Any]) -> dict[str, Any]:
    try:
        names = list(condition_builder.offered(client).attributes)
    except ApiError as error:
        states.leave_if_refused(error)
        names = []
    known = str(before.get("attribute") or "")
    names += [known] if known and known not in names else []
    with streamlit.container(horizontal=True, vertical_alignment="bottom"):
        attribute = streamlit.selectbox(
            say("condition_builder.attribute.label"),
            names,
            index=names.index(known) if known else None,
            accept_new_options=True,
            placeholder=say("condition_builder.attribute.choose"),
            help=say("rules.trigger.attribute_help"),
            key=f"{key}:attribute",
            width=WIDE,
        )
        sides = {
            side: streamlit.text_input(
                say(f"rules.trigger.{side}"),
                rule_fields.spelled(before.get(side)),
                help=say("rules.trigger.side_help"),
                key=f"{key}:{side}",
                width=220,
            )
            for side in ("from", "to")
        }
    return {"attribute": attribute, **{side: rule_fields.entered(text) for side, text in sides.items()}}


def _on_inactivity(client: Client, key: str, before: Mapping[str, Any]) -> dict[str, Any]:
    with streamlit.container(horizontal=True, vertical_alignment="bottom"):
        after = condition_rows_form.duration(f"{key}:after", before.get("after"), say("rules.trigger.after"))
        event = _event(
            client,
            key,
            before,
            label=say("rules.trigger.not_done"),
            explained=say("rules.trigger.not_done_help"),
        )
    event_fields.tell_if_never(client, event, asked_for=f"{key}:event")
    return {"after": after, "event": event}


def _on_schedule(_client: Client, key: str, before: Mapping[str, Any]) -> dict[str, Any]:
    zones = sorted(available_timezones())
    zone = str(before.get("time_zone") or ("UTC" if before else viewer.zone_name()))
    with streamlit.container(horizontal=True, vertical_alignment="bottom"):
        cron = streamlit.text_input(
            say("rules.trigger.cron"),
            str(before.get("cron") or "0 9 * * 1"),
            help=say("rules.trigger.cron_help"),
            key=f"{key}:cron",
            width=220,
        )
        chosen = streamlit.selectbox(
            say("rules.trigger.zone"),
            zones,
            index=zones.index(zone) if zone in zones else zones.index("UTC"),
            help=say("rules.trigger.zone_help"),
            key=f"{key}:zone",
            width=WIDE,
        )
    return {"cron": cron, "time_zone": chosen}


_FORMS: Final = {
    "event": _on_event,
    "attribute": _on_attribute,
    "inactivity": _on_inactivity,
    "schedule": _on_schedule,
}
