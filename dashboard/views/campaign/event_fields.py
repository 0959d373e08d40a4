"""A field for an event: what users have done is offered, anything can be typed, and what has never happened is told."""

from collections.abc import Collection

import streamlit

from dashboard import formats
from dashboard.calls import conditions
from dashboard.campaign import doubts
from dashboard.client import ApiError, Client
from dashboard.texts import say
from dashboard.views import states
from dashboard.views.campaign.widgets import Form
from dashboard.views.remembering import remembered


def choose(client: Client, form: Form, name: str) -> None:
    """The field `event` of the form, which is labelled as `name`."""
    event = form.one_of(("event",), name, known_events(client), new=True)
    tell_if_never(client, event, asked_for=form.key("event"))


def tell_if_never(client: Client, event: str | None, *, asked_for: str) -> None:
    """A warning beneath a field when nobody has done its event."""
    known = known_events(client)
    if event and event in never_happened(client, {event} - set(known), asked_for=asked_for):
        words = say("new_campaign.never_happened_here", event=formats.plain(event))
        streamlit.warning(f"{words}{near_words(event, known)}", icon=":material/help:")


def known_events(client: Client) -> list[str]:
    """What users have done, to choose from; nothing when it cannot be asked, for an event can be typed as well."""
    try:
        return list(remembered("campaign:events", "", lambda: conditions.event_names(client)))
    except ApiError as error:
        states.leave_if_refused(error)
        streamlit.caption(formats.plain(str(error)))
        return []


def never_happened(client: Client, events: Collection[str], *, asked_for: str) -> frozenset[str]:
    """Those of these events that nobody has done, without those that are recorded when there is something to record.

    None when it cannot be asked, which stands on the page. asked_for: tells what is remembered for one place from another's.
    """
    names = sorted(set(events) - doubts.RECORDED)
    if not names:
        return frozenset()
    try:
        there = remembered(f"happened:{asked_for}", str(names), lambda: conditions.happened(client, names))
    except ApiError as error:
        states.leave_if_refused(error)
        streamlit.caption(formats.plain(str(error)))
        return frozenset()
    return frozenset(names) - there


def near_words(event: str, known: Collection[str]) -> str:
    """The events that may have been meant, as another sentence; empty when none is near."""
    near = doubts.nearest(event, known)
    names = ", ".join(f"**{formats.plain(name)}**" for name in near)
    return f" {say('new_campaign.meant', names=names)}" if near else ""
