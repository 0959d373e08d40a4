"""What makes a campaign doubtful though nothing is wrong with its form, as warnings. None of it keeps it from being started, but that a message can be written to nobody has to be agreed to."""

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


def show(client: Client, campaign: Work, plan: Mapping[str, Any]) -> bool:
    """Messages that cannot be written, events that have never happened, and what the users there are can hardly decide; whether there is anything."""
    unwritten = doubts.unwritten(plan)
    for message in unwritten:
        words = say(
            "new_campaign.unwritten_nobody" if message.is_for_nobody else "new_campaign.unwritten_some",
            variants=", ".join(f"**{formats.plain(each)}**" for each in message.variants),
            failed=formats.count(message.failed),
            checked=formats.count(message.checked),
            share=formats.chance(message.failed / message.checked),
            reason=formats.plain(message.reason),
        )
        if message.is_for_nobody:
            streamlit.error(words, icon=":material/error:")
        else:
            streamlit.warning(words, icon=":material/warning:")
    small = doubts.small_arms(plan, campaign.document)
    if small is not None:
        words = say(
            "new_campaign.small_arms",
            users=formats.count(small.users),
            arms=formats.count(small.arms),
            least=formats.count(small.least),
        )
        streamlit.warning(words, icon=":material/warning:")
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
    weaks = doubts.weak_metrics(plan, told=told)
    for weak in weaks:
        streamlit.warning(_weak_words(weak), icon=":material/warning:")
    return bool(unwritten or small or never or weaks)


def _weak_words(weak: Weak) -> str:
    metric = formats.plain(weak.metric)
    if weak.least is not None:
        return say(
            "new_campaign.weak_hopeless",
            metric=metric,
            least=formats.count(weak.least),
            effect=plan_answers.effect_words(weak.effect),
            users=formats.count(weak.users),
            reasons=formats.plain("; ".join(weak.reasons)),
        )
    if weak.power is None:
        return say("new_campaign.weak_unknown", metric=metric, reasons=formats.plain("; ".join(weak.reasons)))
    if weak.margin is not None:
        return say(
            "new_campaign.weak_guardrail"
            if weak.needed is not None
            else "new_campaign.weak_guardrail_unsized",
            metric=metric,
            users=formats.count(weak.users),
            margin=formats.tolerance(weak.margin, weak.kind),
            power=plan_answers.percent_words(weak.power),
            planned=plan_answers.percent_words(weak.planned),
            needed=formats.count(weak.needed),
        )
    return say(
        "new_campaign.weak" if weak.needed is not None else "new_campaign.weak_unsized",
        metric=metric,
        users=formats.count(weak.users),
        effect=plan_answers.effect_words(weak.effect),
        power=plan_answers.percent_words(weak.power),
        planned=plan_answers.percent_words(weak.planned),
        needed=formats.count(weak.needed),
    )
