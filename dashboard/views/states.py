"""The states that every page shares: the API does not answer, a key is no longer accepted."""

from typing import Final

import streamlit

from dashboard import access, formats, verdicts
from dashboard.client import ApiError
from dashboard.documents import ImportRun
from dashboard.formats import NBSP


def leave_if_refused(error: ApiError) -> None:
    """Back to the sign-in when the key is no longer accepted."""
    if error.unauthenticated:
        access.sign_out("Your key is no longer accepted. Sign in again.")
        streamlit.rerun()


def show_error(error: ApiError) -> None:
    """One sentence, and a button that asks again."""
    leave_if_refused(error)
    streamlit.error(formats.plain(str(error)), icon=":material/cloud_off:")
    streamlit.button("Try again", icon=":material/refresh:")


STATUS_COLOURS: Final = {"draft": "gray", "running": "green", "paused": "orange", "stopped": "blue"}
LIGHTS: Final[dict[verdicts.Light, str]] = {
    verdicts.Light.GREEN: ":green[:material/check_circle: healthy]",
    verdicts.Light.AMBER: ":orange[:material/info: notice]",
    verdicts.Light.RED: ":red[:material/warning: alarm]",
    verdicts.Light.GREY: ":gray[:material/help: not known yet]",
}


def status_badge(status: str) -> str:
    """The state of an experiment as a coloured word of Markdown."""
    colour = STATUS_COLOURS.get(status, "gray")
    return f":{colour}-badge[{formats.plain(status)}]"


QUALITY_LIGHTS: Final = {
    "ok": f":green[:material/check_circle:{NBSP}ok]",
    "look": f":orange[:material/info:{NBSP}look]",
    "bad": f":red[:material/warning:{NBSP}bad]",
}
_NOT_KNOWN: Final = f":gray[:material/help:{NBSP}not{NBSP}known]"
_FAILED: Final = f":red[:material/error:{NBSP}ended{NBSP}early]"
_UNDER_WAY: Final = f":gray[:material/hourglass_empty:{NBSP}not{NBSP}finished]"


def quality_light(light: str) -> str:
    """ok, look or bad as a coloured word of Markdown."""
    return QUALITY_LIGHTS.get(light, _NOT_KNOWN)


def light_of_import(run: ImportRun) -> str:
    """The light of an import's quality, or that it did not end well, or has not ended."""
    if run.error:
        return _FAILED
    return _UNDER_WAY if run.finished_at is None else quality_light(run.light)
