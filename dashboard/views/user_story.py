"""What happened to one user: everything on one line of time; and how they stand in each experiment."""

from datetime import datetime
from typing import Final
from zoneinfo import ZoneInfo

import streamlit

from dashboard import formats, story, story_charts, values
from dashboard.calls import users
from dashboard.calls.users import Message, Standing, User
from dashboard.client import Client
from dashboard.story import Entry
from dashboard.texts import say, told
from dashboard.views import states
from dashboard.views.user_words import own_zone

PAGE: Final = "views/users.py"


def show(user: User, client: Client) -> None:
    """Events page by page; messages, consents and assignments between them."""
    cursor = streamlit.query_params.get("events", "")
    until = values.moment(streamlit.query_params.get("until")) if cursor else None
    found = states.fetched(
        f"story:{user.user_id}:{cursor}",
        lambda: (
            users.events(client, user.user_id, cursor=cursor),
            users.consents(client, user.user_id)[0],
            users.standings(client, user.user_id),
        ),
        is_part=True,
    )
    if found is None:
        return
    (events, following), consents, (standings, more) = found
    oldest = next((event.at for event in reversed(events) if event.at is not None), None)
    entries = story.merged(events, consents, standings, after=oldest if following else None, until=until)
    if not entries:
        streamlit.info(say("users.story.empty"), icon=":material/timeline:")
        return
    chart = story_charts.timeline(entries)
    if chart is not None:
        streamlit.altair_chart(chart, width="stretch", alt=say("users.story.alt"))
    zone = own_zone(user)
    rows = [_row(entry, zone) for entry in entries]
    streamlit.table(rows, border="horizontal", hide_index=True, alt=say("users.story.table"))
    streamlit.caption(say("users.story.reading"))
    if more:
        streamlit.caption(say("users.story.more"))
    _show_pages(user, cursor, following, oldest)


def _row(entry: Entry, zone: ZoneInfo | None) -> dict[str, str]:
    row = {say("users.story.when"): formats.moment(entry.at)}
    if zone is not None:
        row[say("users.story.theirs", zone=zone.key)] = formats.moment(entry.at, zone)
    row[say("users.story.kind")] = say(f"users.kind.{entry.kind}")
    row[say("users.story.what")] = entry.words
    row[say("users.story.details")] = entry.details
    return {formats.plain(name): formats.plain(value) for name, value in row.items()}


def _show_pages(user: User, cursor: str, following: str | None, oldest: datetime | None) -> None:
    with streamlit.container(horizontal=True):
        if cursor:
            streamlit.page_link(
                PAGE,
                label=say("users.story.newest"),
                icon=":material/first_page:",
                query_params={"user": user.user_id},
            )
        if following and oldest is not None:
            streamlit.page_link(
                PAGE,
                label=say("users.story.earlier"),
                icon=":material/arrow_forward:",
                query_params={"user": user.user_id, "events": following, "until": oldest.isoformat()},
            )


def show_standings(user: User, client: Client) -> None:
    """Why they were sent what they were, why not, and when something comes next."""
    found = states.fetched(
        f"standings:{user.user_id}", lambda: users.standings(client, user.user_id), is_part=True
    )
    if found is None:
        return
    standings, more = found
    if not standings:
        streamlit.info(say("users.standing.none"), icon=":material/science:")
        streamlit.page_link("views/experiments.py", label=say("app.page.experiments"))
        return
    zone = own_zone(user)
    streamlit.caption(say("users.standing.words"))
    for standing in standings:
        _show_standing(standing, zone)
    if more:
        streamlit.caption(say("users.story.more"))


def _show_standing(standing: Standing, zone: ZoneInfo | None) -> None:
    with streamlit.container(border=True):
        with streamlit.container(horizontal=True, vertical_alignment="center"):
            streamlit.page_link(
                "views/result.py",
                label=f"**{formats.plain(standing.experiment)}**",
                query_params={"experiment": standing.experiment},
            )
            streamlit.markdown(states.status_badge(standing.status), width="content")
            streamlit.markdown(
                f"**{formats.plain(told('users.outcome', standing.outcome))}**", width="content"
            )
        streamlit.markdown(formats.plain(standing.because))
        if standing.variant:
            words = say(
                "users.standing.assigned",
                variant=formats.plain(standing.variant),
                when=formats.plain(formats.moment(standing.assigned_at)),
            )
            drawn = (
                ""
                if standing.propensity is None
                else say("users.standing.drawn", share=formats.chance(standing.propensity))
            )
            streamlit.markdown(f"{words} {drawn}")
        if standing.next_at is not None:
            streamlit.markdown(say("users.standing.next", when=formats.plain(_both(standing.next_at, zone))))
        for reason in standing.excluded_by:
            streamlit.markdown(f"- {formats.plain(reason)}")
        if standing.messages:
            streamlit.table(
                [_message_row(message, zone) for message in standing.messages],
                border="horizontal",
                hide_index=True,
                alt=say("users.standing.messages", experiment=standing.experiment),
            )


def _message_row(message: Message, zone: ZoneInfo | None) -> dict[str, str]:
    passed = "; ".join(
        f"{told('users.stage', name.removesuffix('_at'))} {formats.moment(message.times[name])}"
        for name in story.STAGES
        if name in message.times
    )
    row = {
        say("users.standing.step"): str(message.step + 1),
        say("users.standing.state"): told("users.message_state", message.state),
        say("users.standing.due"): _both(message.next_at or message.due_at, zone),
        say("users.standing.passed"): passed or formats.UNKNOWN,
        say("users.standing.why"): message.reason or formats.UNKNOWN,
    }
    return {formats.plain(name): formats.plain(value) for name, value in row.items()}


def _both(at: datetime | None, zone: ZoneInfo | None) -> str:
    """A moment in the viewer's zone and, where it is known, in the user's own, named."""
    here = formats.moment(at)
    if at is None or zone is None:
        return here
    return say("users.both_times", here=here, there=formats.moment(at, zone), zone=zone.key)
