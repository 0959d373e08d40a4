"""Choose a campaign to ask about: a draft of the wizard or an experiment. The choice stands in the address."""

from collections.abc import Mapping
from typing import Any, Final

import streamlit

from dashboard import access, formats, viewer
from dashboard.calls import campaigns, overview
from dashboard.campaign import documents
from dashboard.client import ApiError
from dashboard.texts import say, told
from dashboard.views import states
from dashboard.views.remembering import remembered

NAME: Final = "campaign"
DRAFT: Final = "draft"
EXPERIMENT: Final = "experiment"


def chosen() -> tuple[str, Mapping[str, Any]] | None:
    """What is chosen, as `draft:KEY` or `experiment:KEY`, with its document; None when there is none yet, which the page then says."""
    search = streamlit.text_input(
        say("planner.choose.search"),
        help=say("planner.choose.search_help"),
        max_chars=100,
        key="search",
        bind="query-params",
        width=400,
    )
    names = states.fetched(f"campaigns:{search}", lambda: _names((search or "").strip()))
    if names is None:
        return None
    given = streamlit.query_params.get(NAME)
    known = given is not None and given.partition(":")[0] in {DRAFT, EXPERIMENT}
    options = dict.fromkeys([*([given] if known and given else []), *names])
    if not options:
        streamlit.info(say("planner.choose.none"), icon=":material/search_off:")
        streamlit.page_link(
            "views/new_campaign.py", label=say("app.page.new_campaign"), icon=":material/add:"
        )
        return None
    streamlit.session_state[NAME] = given if known else None
    choice = streamlit.selectbox(
        say("planner.choose.label"),
        list(options),
        index=None,
        format_func=lambda option: names.get(option, option.partition(":")[2]),
        key=NAME,
        on_change=_note,
        help=say("planner.choose.help"),
        placeholder=say("planner.choose.placeholder"),
    )
    if choice is None:
        streamlit.caption(say("planner.choose.first"))
        return None
    document = _document(str(choice))
    return None if document is None else (str(choice), document)


def _names(search: str) -> dict[str, str]:
    """What can be chosen, with its name: the newest drafts and experiments, or those with `search` in name or key."""
    client = access.required().client
    found = {}
    for item in campaigns.drafts(client, search=search)[0]:
        key, name = str(item.get("key")), str(item.get("name") or item.get("key"))
        found[f"{DRAFT}:{key}"] = say("planner.choose.a_draft", name=name)
    for card in overview.cards(client, search=search).items:
        found[f"{EXPERIMENT}:{card.key}"] = f"{card.name} ({told('common.status', card.status)})"
    return found


def _document(choice: str) -> Mapping[str, Any] | None:
    client = access.required().client
    kind, _, key = choice.partition(":")

    def fetch() -> Mapping[str, Any]:
        if kind == DRAFT:
            return campaigns.draft(client, key).document
        return documents.opened(campaigns.stored(client, key).design)

    try:
        return remembered("planner:document", f"{choice}:{viewer.language()}", fetch)
    except ApiError as error:
        states.show_error(error)
        return None


def _note() -> None:
    choice = streamlit.session_state.get(NAME)
    if choice is None:
        streamlit.query_params.pop(NAME, None)
    else:
        streamlit.query_params[NAME] = str(choice)


def show_link(choice: str) -> None:
    """The way to what was chosen: a draft where it is written, an experiment where it is read."""
    kind, _, key = choice.partition(":")
    if kind == DRAFT:
        streamlit.page_link(
            "views/new_campaign.py",
            label=say("planner.choose.open_draft", name=formats.plain(key)),
            query_params={"draft": key},
        )
    else:
        streamlit.page_link(
            "views/result.py",
            label=say("planner.choose.open_experiment", name=formats.plain(key)),
            query_params={"experiment": key},
        )
