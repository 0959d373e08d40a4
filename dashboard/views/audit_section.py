"""Who changed what, from what, to what. The filters are in the address."""

import json
from typing import Final

import streamlit

from dashboard import changes, formats
from dashboard.access import Access
from dashboard.calls import access as calls
from dashboard.calls.access import Change
from dashboard.texts import say
from dashboard.views import states

PAGE: Final = "views/access.py"


def show(current: Access) -> None:
    filters = _filters()
    cursor = streamlit.query_params.get("cursor", "")
    about = json.dumps([filters, cursor])
    found = states.fetched(f"log:{about}", lambda: calls.changes(current.client, **filters, cursor=cursor))
    if found is None:
        return
    entries, following = found
    if not entries:
        streamlit.info(say("access.log.empty"), icon=":material/search_off:")
        return
    streamlit.table(
        [_row(entry) for entry in entries], border="horizontal", hide_index=True, alt=say("access.log.title")
    )
    if following:
        shown = {"kind": filters["kind"], "subject": filters["key"], "actor": filters["actor"]}
        query = {
            "show": "log",
            "cursor": following,
            **{name: value for name, value in shown.items() if value},
        }
        streamlit.page_link(
            PAGE, label=say("access.next_page"), icon=":material/arrow_forward:", query_params=query
        )
    with streamlit.expander(say("access.log.whole")):
        for entry in entries:
            streamlit.markdown(f"{formats.moment(entry.at)} · `{formats.plain(entry.action)}`")
            document = {"before": entry.before, "after": entry.after}
            streamlit.code(
                json.dumps(document, indent=1, ensure_ascii=False), language="json", wrap_lines=True
            )


def _filters() -> dict[str, str]:
    kind, subject, actor = streamlit.columns(3)
    with kind:
        chosen = streamlit.selectbox(
            say("access.log.kind"),
            changes.KINDS,
            index=None,
            placeholder=say("access.log.any"),
            key="kind",
            bind="query-params",
            help=say("access.log.kind_help"),
            on_change=_first_page,
        )
    with subject:
        key = streamlit.text_input(
            say("access.log.key"),
            key="subject",
            bind="query-params",
            help=say("access.log.key_help"),
            on_change=_first_page,
        )
    with actor:
        who = streamlit.text_input(
            say("access.log.actor"),
            key="actor",
            bind="query-params",
            help=say("access.log.actor_help"),
            on_change=_first_page,
        )
    return {"kind": chosen or "", "key": key.strip(), "actor": changes.actor_asked(who)}


def _first_page() -> None:
    streamlit.query_params.pop("cursor", None)


def _row(entry: Change) -> dict[str, str]:
    row = {
        say("access.log.at"): formats.moment(entry.at),
        say("access.log.who"): entry.actor,
        say("access.log.what"): entry.action,
        say("access.log.subject"): f"{entry.kind} {entry.key}",
        say("access.log.change"): "; ".join(changes.differences(entry.before, entry.after))
        or formats.UNKNOWN,
    }
    return {heading: formats.plain(value) for heading, value in row.items()}
