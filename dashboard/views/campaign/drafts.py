"""Campaigns that were left unfinished: drafts, and experiments that have not started; each is opened by its name."""

from functools import partial
from typing import Final

import streamlit

from dashboard import formats
from dashboard.calls import campaigns
from dashboard.calls.campaigns import Document
from dashboard.campaign.documents import at
from dashboard.client import ApiError, Client
from dashboard.texts import say
from dashboard.views import asking, states
from dashboard.views.campaign import work
from dashboard.views.campaign.work import Work
from dashboard.views.remembering import remembered

KINDS: Final = ("drafts", "stored")
_LISTS: Final = {"drafts": campaigns.drafts, "stored": campaigns.experiment_drafts}
_AFTER: Final = "campaign:after:"


def show(client: Client, campaign: Work) -> None:
    """Begin another one, or go on with one that was left."""
    question, name = f"draft:forget:{campaign.key}", _name(campaign)
    with streamlit.expander(say("new_campaign.drafts"), expanded=asking.is_asked(question)):
        search = streamlit.text_input(
            say("new_campaign.search_drafts"),
            help=say("new_campaign.search_drafts_help"),
            key="campaign:search",
            max_chars=100,
            width=400,
            on_change=_begin_lists,
        )
        shown = {campaign.key}
        try:
            for kind in KINDS:
                shown |= _show_list(client, campaign, kind, (search or "").strip(), shown)
        except ApiError as error:
            states.leave_if_refused(error)
            streamlit.warning(formats.plain(str(error)))
            return
        if shown == {campaign.key}:
            streamlit.caption(say("new_campaign.no_drafts_found" if search else "new_campaign.no_drafts"))
        with streamlit.container(horizontal=True):
            if streamlit.button(say("new_campaign.begin"), icon=":material/add:", key="campaign_begin"):
                work.leave()
                streamlit.rerun()
            if streamlit.button(say("new_campaign.forget"), icon=":material/delete:", key="campaign_forget"):
                asking.ask(question)
        if asking.confirmed(
            question,
            say("new_campaign.forget_question", name=name),
            yes=say("new_campaign.forget_yes"),
            act=partial(campaigns.forget_draft, client, campaign.key),
            done=lambda _: say("new_campaign.forgotten", name=name),
            area="campaign",
        ):
            work.leave()
            streamlit.rerun()


def _show_list(client: Client, campaign: Work, kind: str, search: str, shown: set[str]) -> set[str]:
    """A page of one kind; returns its keys. shown: keys that stand there already."""
    after = str(streamlit.session_state.get(f"{_AFTER}{kind}", ""))
    about = f"{campaign.key} {campaign.stored_as} {search} {after}"
    items, following = remembered(
        f"campaign:{kind}", about, lambda: _LISTS[kind](client, search=search, cursor=after)
    )
    found = {str(item.get("key")): item for item in items}
    for key, item in found.items():
        if key not in shown:
            _show_draft(key, item)
    if following or after:
        with streamlit.container(horizontal=True):
            if after:
                _show_turn(kind, "newest", "", ":material/first_page:")
            if following:
                _show_turn(kind, "older", following, ":material/chevron_right:")
    return set(found)


def _show_draft(key: str, item: Document) -> None:
    who = str(item.get("updated_by") or "")
    words = say("new_campaign.draft_of", who=formats.plain(who)) if who else say("common.status.draft")
    name = formats.plain(str(item.get("name") or key))
    if streamlit.button(f"{name} :gray[({words})]", key=f"campaign_open:{key}", type="tertiary"):
        work.leave()
        streamlit.query_params["draft"] = key
        streamlit.rerun()


def _show_turn(kind: str, name: str, cursor: str, icon: str) -> None:
    words, key = say(f"new_campaign.{name}_{kind}"), f"campaign:{name}:{kind}"
    streamlit.button(words, icon=icon, key=key, on_click=_turn, args=(kind, cursor))


def _turn(kind: str, cursor: str) -> None:
    streamlit.session_state[f"{_AFTER}{kind}"] = cursor


def _begin_lists() -> None:
    """A place in one list means nothing in another."""
    for kind in KINDS:
        streamlit.session_state.pop(f"{_AFTER}{kind}", None)


def _name(campaign: Work) -> str:
    return formats.plain(str(at(campaign.document, ("name",)) or campaign.key))
