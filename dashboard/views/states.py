"""The states that every page shares: loading, stale, the API does not answer, a key is no longer accepted."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Final, TypeVar

import streamlit
from streamlit.errors import StreamlitDuplicateElementKey

from dashboard import access, formats, verdicts, viewer
from dashboard.client import ApiError
from dashboard.documents import ImportRun
from dashboard.formats import NBSP
from dashboard.texts import say, told

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Heard:
    value: object
    at: datetime


def fetched(name: str, fetch: Callable[[], T], *, is_part: bool = False) -> T | None:
    """What `fetch` answers now. While the API is away, what it last answered under `name`, marked as stale.

    None when there is nothing to show: the error is on the page already, and so the page ends. is_part: of a page that has
    fetched something else before, whose button asks again for both.
    """
    remembered = f"heard:{name}"
    last: _Heard | None = streamlit.session_state.get(remembered)
    try:
        if last is None:
            with streamlit.spinner(say("common.loading")):
                value = fetch()
        else:
            value = fetch()
    except ApiError as error:
        if last is None or not error.temporary:
            show_error(error, is_part=is_part)
            return None
        if is_part:
            streamlit.caption(say("common.part_stale", when=formats.moment(last.at)))
        else:
            show_stale(error, last.at)
        return last.value  # type: ignore[return-value]  # remembered under the name of this very fetch
    streamlit.session_state[remembered] = _Heard(value, viewer.now())
    return value


def show_stale(error: ApiError, at: datetime) -> None:
    """That what follows was heard at `at`, and why nothing newer is there."""
    streamlit.warning(
        say("common.stale", reason=formats.plain(str(error)), when=formats.moment(at)),
        icon=":material/cloud_off:",
    )
    show_try_again()


def leave_if_refused(error: ApiError) -> None:
    """Back to the sign-in when the key is no longer accepted."""
    if error.unauthenticated:
        access.sign_out(say("common.key_refused"))
        streamlit.rerun()


def show_error(error: ApiError, *, is_part: bool = False) -> None:
    """One sentence, and (unless it is of a part of a page) a button that asks again."""
    leave_if_refused(error)
    streamlit.error(formats.plain(str(error)), icon=":material/cloud_off:")
    if is_part:
        return
    show_try_again()


def refusal_words(error: ApiError) -> str:
    """Why something was not done; or that nobody knows whether it was."""
    return say("actions.unsure", reason=error) if error.unsure else str(error)


def show_try_again() -> None:
    """A button that asks again for everything on the page: one is enough."""
    with suppress(StreamlitDuplicateElementKey):
        streamlit.button(say("common.try_again"), icon=":material/refresh:", key="try_again")


STATUS_COLOURS: Final = {"draft": "gray", "running": "green", "paused": "orange", "stopped": "blue"}
LIGHTS: Final[dict[verdicts.Light, str]] = {
    verdicts.Light.GREEN: ":green[:material/check_circle: {word}]",
    verdicts.Light.AMBER: ":orange[:material/info: {word}]",
    verdicts.Light.RED: ":red[:material/warning: {word}]",
    verdicts.Light.GREY: ":gray[:material/help: {word}]",
}

_LIGHT_WORDS: Final = {
    verdicts.Light.GREEN: "common.light.healthy",
    verdicts.Light.AMBER: "common.light.notice",
    verdicts.Light.RED: "common.light.alarm",
    verdicts.Light.GREY: "common.light.unknown",
}


def light(state: verdicts.Light) -> str:
    """A health light as a coloured word of Markdown that stays on one line."""
    return LIGHTS[state].format(word=say(_LIGHT_WORDS[state])).replace(" ", NBSP)


def status_badge(status: str) -> str:
    """The state of an experiment as a coloured word of Markdown."""
    colour = STATUS_COLOURS.get(status, "gray")
    return f":{colour}-badge[{formats.plain(told('common.status', status))}]"


QUALITY_LIGHTS: Final = {
    "ok": ":green[:material/check_circle: {word}]",
    "look": ":orange[:material/info: {word}]",
    "bad": ":red[:material/warning: {word}]",
    "unknown": ":gray[:material/help: {word}]",
    "failed": ":red[:material/error: {word}]",
    "under_way": ":gray[:material/hourglass_empty: {word}]",
}


def quality_light(light: str) -> str:
    """ok, look or bad as a coloured word of Markdown; failed and under_way for imports that have no quality yet."""
    known = light if light in QUALITY_LIGHTS else "unknown"
    return QUALITY_LIGHTS[known].format(word=say(f"import_quality.lights.{known}")).replace(" ", NBSP)


def light_of_import(run: ImportRun) -> str:
    """The light of an import's quality, or that it did not end well, or has not ended."""
    if run.error:
        return quality_light("failed")
    return quality_light("under_way" if run.finished_at is None else run.light)
