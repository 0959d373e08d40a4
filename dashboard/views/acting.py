"""How every action of a page about one thing is done and told: once, with the API's reason when it refuses."""

from collections.abc import Callable

import streamlit

from dashboard import formats, viewer
from dashboard.client import ApiError
from dashboard.texts import say
from dashboard.views import states
from dashboard.views.deeds import Deed, deed


def of(key: str) -> Deed:
    """What is done about the thing of that key: its buttons and fields take their keys from it."""
    return deed(f"acting:{key}")


def attempt(key: str, act: Callable[[], object], *, done: str) -> None:
    """Do it, remember what to say of it, and show the page anew. `act` speaks to the API alone (see `Deed.do`)."""
    place = of(key)
    if place.do(act):
        place.answer = done
    streamlit.rerun()


def _words_of(refusal: ApiError) -> str:
    """The API's own words, but where these name what only other ways in have."""
    if refusal.status == 409 and any(field == "force" for field, _ in refusal.problems):
        return say("actions.ship.not_decided", force=say("actions.ship.force"))
    return states.refusal_words(refusal)


def show_outcome(key: str) -> None:
    """What became of the last action, for as long as it takes to read it."""
    place = of(key)
    if place.is_done:
        streamlit.success(formats.plain(str(place.answer)), icon=":material/check:")
    if place.refusal is not None:
        states.leave_if_refused(place.refusal)
        refusal = place.refusal
        words = _words_of(refusal)
        if not refusal.unsure:
            words = say("actions.failed", reason=words)
        streamlit.error(formats.plain(words), icon=":material/block:")
    place.hear(viewer.now())
