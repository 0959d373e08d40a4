"""What makes a campaign doubtful though nothing is wrong with its form, as warnings. None of it keeps it from being started."""

from collections.abc import Mapping
from typing import Any

import streamlit

from dashboard import formats
from dashboard.campaign import doubts, plan_answers
from dashboard.campaign.doubts import Weak
from dashboard.client import Client
from dashboard.texts import say
from dashboard.views.campaign import event_fields, library
from dashboard.views.campaign.work import Work


def show(client: Client, campaign: Work, plan: Mapping[str, Any]) -> None:
    """Events that have never happened, and primary metrics that the users there are can hardly decide."""
    used = doubts.events_used(campaign.document, library.definitions(client))
    never = event_fields.never_happened(client, used, asked_for="review")
    known = event_fields.known_events(client) if never else []
    for event in sorted(never):
        where = ", ".join(
            say("new_campaign.by_trigger")
            if user is doubts.TRIGGER
            else say("new_campaign.by_metric", key=formats.plain(user))
            for user in used[event]
        )
        words = say("new_campaign.never_happened", event=formats.plain(event), where=where)
        streamlit.warning(f"{words}{event_fields.near_words(event, known)}", icon=":material/warning:")
    told = {user for event in never for user in used[event]}
    for weak in doubts.weak_metrics(plan, told=told):
        streamlit.warning(_weak_words(weak), icon=":material/warning:")


def _weak_words(weak: Weak) -> str:
    metric = formats.plain(weak.metric)
    if weak.power is None:
        return say("new_campaign.weak_unknown", metric=metric, reasons=formats.plain("; ".join(weak.reasons)))
    return say(
        "new_campaign.weak" if weak.needed is not None else "new_campaign.weak_unsized",
        metric=metric,
        users=formats.count(weak.users),
        effect=plan_answers.effect_words(weak.effect),
        power=plan_answers.percent_words(weak.power),
        planned=plan_answers.percent_words(weak.planned),
        needed=formats.count(weak.needed),
    )
