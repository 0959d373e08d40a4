"""A rule tried on what has happened: whom it would have hit, how often, what it would have done. Nothing is done."""

import json
from collections.abc import Mapping
from typing import Any, Final

import streamlit

from dashboard import formats
from dashboard.calls import rules
from dashboard.calls.rules import DryRun
from dashboard.client import ApiError, Client
from dashboard.texts import say
from dashboard.values import moment
from dashboard.views import states

DAYS: Final = 30
WHY_NOT: Final = ("trigger_failed", "condition_failed", "cool_down", "once_per_user")


def show(client: Client, form: str, *, key: str = "", document: Mapping[str, Any] | None = None) -> None:
    """Offer a try of the stored rule `key`, or of the one in `document`, and show its result."""
    with streamlit.container(horizontal=True, vertical_alignment="bottom"):
        days = int(
            streamlit.number_input(
                say("rules.dry.days"),
                min_value=1,
                max_value=365,
                value=DAYS,
                help=say("rules.dry.help"),
                key=f"{form}:days",
                width=180,
            )
        )
        pressed = streamlit.button(say("rules.dry.button"), icon=":material/play_circle:", key=f"{form}:try")
    if pressed:
        run(client, form, days=days, key=key, document=document)
    held = streamlit.session_state.get(f"{form}:result")
    if held is None:
        return
    if held[0] != _about(days, key, document):
        streamlit.caption(say("rules.dry.outdated"))
        return
    show_result(held[1], days)


def run(
    client: Client, form: str, *, days: int = DAYS, key: str = "", document: Mapping[str, Any] | None = None
) -> DryRun | None:
    """Try it, and keep the result for `show`; None when the API refuses, which the page then says."""
    try:
        with streamlit.spinner(say("rules.dry.running")):
            found = rules.dry_run(client, days=days, key=key, document=document)
    except ApiError as error:
        states.leave_if_refused(error)
        streamlit.error(formats.plain(str(error)), icon=":material/error:")
        return None
    streamlit.session_state[f"{form}:result"] = (_about(days, key, document), found)
    return found


def _about(days: int, key: str, document: Mapping[str, Any] | None) -> str:
    return json.dumps([key, days, document], sort_keys=True)


def sentence(run: DryRun, days: int = DAYS) -> str:
    """How often it would have fired, and for how many users, in one sentence of Markdown.

    Only events are met again; for other triggers the API says whom they would reach now.
    """
    counts = run.counts
    return say(
        "rules.dry.sentence" if run.of_events else "rules.dry.sentence_now",
        days=days,
        seen=formats.count(counts["seen"]),
        fires=formats.count(counts["fires"]),
        users=formats.count(run.users),
    )


def show_result(run: DryRun, days: int) -> None:
    """How many occasions, how many firings, why not the others, and the first of those it would have fired for."""
    counts = run.counts
    streamlit.markdown(sentence(run, days))
    missed = [
        say(f"rules.dry.{name}", number=formats.count(counts[name])) for name in WHY_NOT if counts[name]
    ]
    if missed:
        streamlit.markdown(say("rules.dry.not_for", reasons=" · ".join(missed)))
    if run.truncated:
        streamlit.warning(
            say("rules.dry.truncated", when=formats.moment(run.until)), icon=":material/hourglass_bottom:"
        )
    for note in run.notes:
        streamlit.caption(formats.plain(note))
    if run.firings:
        streamlit.table(
            [
                {
                    say("rules.firing.user"): formats.plain(str(firing.get("user_id") or "")),
                    say("rules.firing.at"): formats.moment(moment(firing.get("at"))),
                    say("rules.dry.would"): formats.plain(
                        "; ".join(str(action) for action in firing.get("actions") or ())
                    ),
                }
                for firing in run.firings
            ],
            border="horizontal",
            hide_index=True,
            alt=say("rules.dry.alt"),
        )
        if counts["fires"] > len(run.firings):
            streamlit.caption(say("rules.dry.first", count=len(run.firings)))
