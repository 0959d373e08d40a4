"""Ask before something is changed, say afterwards what was done, and let the API's refusal speak for itself."""

from collections.abc import Callable
from typing import Any, TypeVar

import streamlit

from dashboard import formats
from dashboard.texts import say
from dashboard.views import states
from dashboard.views.deeds import Deed, deed, known

T = TypeVar("T")


def show_note(area: str) -> None:
    """What was done last in an area, once."""
    notes = _notes()
    words = notes.get(area)
    if words is not None:
        streamlit.success(words(), icon=":material/check:")
        notes.pop(area, None)


def ask(question: str) -> None:
    """Let `confirmed` of the same name ask."""
    asked = deed(question)
    asked.forget()
    asked.is_asked = True


def is_asked(question: str) -> bool:
    asked = known(question)
    return asked is not None and asked.is_asked


def confirmed(
    question: str, words: str, *, yes: str, act: Callable[[], T], done: Callable[[T], str], area: str
) -> bool:
    """Show the question (when it was asked), and act when the person says yes; True when it was done.

    `act` speaks to the API alone (see `Deed.do`); `done` says of its answer what was done, as Markdown, for `show_note`. When the API
    refuses, its words are shown and the question stays.
    """
    return agreed(question, words, yes=yes) and at_once(deed(question), act, done=done, area=area)


def agreed(question: str, words: str, *, yes: str) -> bool:
    """Show the question (when it was asked); True in the run in which the person says yes."""
    asked = known(question)
    if asked is None or not asked.is_asked:
        return False
    with streamlit.container(border=True):
        streamlit.warning(words, icon=":material/help:")
        show_refusal(asked)
        with streamlit.container(horizontal=True):
            agrees = streamlit.button(yes, type="primary", key=asked.key(f"asked:{question}:yes"))
            refused = streamlit.button(say("common.no"), key=asked.key(f"asked:{question}:no"))
        if refused:
            asked.forget()
            streamlit.rerun()
    return agrees


def at_once(place: Deed, act: Callable[[], T], *, done: Callable[[T], str], area: str) -> bool:
    """Do what needs no question, or has been agreed to; True when it was done. Else the page begins anew, for `show_refusal`."""
    notes = _notes()
    if not place.do(act):
        streamlit.rerun()
    answer = place.answer
    notes[area] = lambda: done(answer)
    return True


def show_refusal(place: Deed) -> None:
    """What the API said against it, until it is tried again."""
    if place.refusal is not None:
        states.leave_if_refused(place.refusal)
        streamlit.error(formats.plain(states.refusal_words(place.refusal)), icon=":material/block:")


def _notes() -> dict[str, Callable[[], str]]:
    """Words of each area that nobody has read: a plain object, as `deeds` says why."""
    found: Any = streamlit.session_state.setdefault("notes", {})
    held: dict[str, Callable[[], str]] = found
    return held
