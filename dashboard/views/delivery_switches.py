"""What can be switched on the delivery page: everything off and on again, and a fuse closed."""

from collections.abc import Callable, Sequence
from typing import Final

import streamlit

from dashboard import formats, viewer
from dashboard.access import Access
from dashboard.calls import delivery as calls
from dashboard.texts import say
from dashboard.views import states
from dashboard.views.deeds import deed

KINDS: Final = ("number", "template", "variant", "guard")
_DEED: Final = "delivery"
_ASKED: Final = "delivery_asked"


def show_pause(access: Access, seen: calls.Delivery) -> None:
    """Whether everything is paused, and for those who may, the button that changes it."""
    if (refusal := deed(_DEED).refusal) is not None:
        states.leave_if_refused(refusal)
        words = formats.plain(states.refusal_words(refusal))
        if not refusal.unsure:
            words = say("delivery.pause.refused", reason=words)
        streamlit.error(words, icon=":material/block:")
        deed(_DEED).hear(viewer.now())
    if seen.paused:
        _show_paused(seen)
    if not access.may_write:
        return
    asked = streamlit.session_state.get(_ASKED)
    if asked == "pause" and not seen.paused:
        _ask_pause(access)
    elif asked == "resume" and seen.paused:
        streamlit.warning(say("delivery.pause.resume_question"), icon=":material/help:")
        _answer(say("delivery.pause.resume_yes"), lambda: calls.resume(access.client))
    elif seen.paused:
        if streamlit.button(say("delivery.pause.resume"), icon=":material/play_arrow:", type="primary"):
            _ask("resume")
    elif streamlit.button(say("delivery.pause.button"), icon=":material/pause_circle:"):
        _ask("pause")


def _show_paused(seen: calls.Delivery) -> None:
    """That nothing goes out, since when, and why."""
    words = say("delivery.pause.is_paused")
    for fuse in seen.fuses:
        if fuse.kind == "all":
            since = say("delivery.fuses.since", when=formats.plain(formats.moment(fuse.opened_at)))
            words += (
                f"  \n{say('delivery.pause.reason', reason=formats.plain(fuse.reason))}  \n:small[{since}]"
            )
    streamlit.warning(words, icon=":material/pause_circle:")


def show_fuses(access: Access, fuses: Sequence[calls.Fuse]) -> None:
    """Each open fuse with what it guards, why and until when; a pause of everything is said above the page instead."""
    streamlit.subheader(say("delivery.fuses.title"), anchor=False)
    listed = [fuse for fuse in fuses if fuse.kind != "all"]
    if not listed:
        streamlit.markdown(say("delivery.fuses.none"))
    for fuse in listed:
        _show_fuse(access, fuse)


def _show_fuse(access: Access, fuse: calls.Fuse) -> None:
    key = formats.plain(fuse.key)
    name = say(f"delivery.fuses.{fuse.kind}", key=key) if fuse.kind in KINDS else f"{fuse.kind} {key}"
    end = (
        say("delivery.fuses.by_look" if fuse.kind == "guard" else "delivery.fuses.by_hand")
        if fuse.until is None
        else say("delivery.fuses.until", when=formats.plain(formats.moment(fuse.until)))
    )
    since = say("delivery.fuses.since", when=formats.plain(formats.moment(fuse.opened_at)))
    with streamlit.container(border=True):
        words, button = streamlit.columns([5, 1], vertical_alignment="center")
        words.markdown(
            f":red[:material/bolt:] **{name}**: {formats.plain(fuse.reason)}  \n:small[{since}; {end}]"
        )
        asked = f"{fuse.kind}:{fuse.key}"
        if not access.may_write:
            return
        if streamlit.session_state.get(_ASKED) != asked:
            if button.button(say("delivery.fuses.close"), key=f"close:{asked}"):
                _ask(asked)
            return
        question = "delivery.fuses.question_guard" if fuse.kind == "guard" else "delivery.fuses.question"
        streamlit.warning(say(question), icon=":material/help:")
        _answer(say("delivery.fuses.yes"), lambda: calls.close(access.client, fuse))


def _ask_pause(access: Access) -> None:
    streamlit.warning(say("delivery.pause.question"), icon=":material/help:")
    why = streamlit.text_input(say("delivery.pause.why"), help=say("delivery.pause.why_help"), max_chars=200)
    reason = (why or "").strip()
    _answer(say("delivery.pause.yes"), lambda: calls.pause(access.client, reason), ready=bool(reason))


def _ask(what: str) -> None:
    streamlit.session_state[_ASKED] = what
    streamlit.rerun()


def _answer(yes: str, act: Callable[[], None], *, ready: bool = True) -> None:
    switched = deed(_DEED)
    with streamlit.container(horizontal=True):
        confirmed = streamlit.button(yes, type="primary", disabled=not ready)
        refused = streamlit.button(say("delivery.pause.no"))
    if not confirmed and not refused:
        return
    del streamlit.session_state[_ASKED]
    if confirmed:
        switched.do(act)
    streamlit.rerun()
