"""Who looks: the language and the time zone of the viewer. Both come from the browser, and may be chosen."""

from datetime import UTC, datetime, tzinfo
from typing import Final
from zoneinfo import ZoneInfo

import streamlit
from streamlit.runtime.scriptrunner import get_script_run_ctx

LANGUAGES: Final = {"en": "English", "zh": "中文"}
FALLBACK: Final = "en"
LANGUAGE_KEY: Final = "language"
ZONE_KEY: Final = "zone"


def language() -> str:
    """`en` or `zh`: what was chosen, else what the browser asks for, else English."""
    if get_script_run_ctx(suppress_warning=True) is None:
        return FALLBACK
    chosen = streamlit.session_state.get(LANGUAGE_KEY)
    if chosen in LANGUAGES:
        return str(chosen)
    asked = (streamlit.context.locale or "").split("-")[0].lower()
    return asked if asked in LANGUAGES else FALLBACK


def zone_name() -> str:
    """The IANA name of the zone in which times are shown."""
    if get_script_run_ctx(suppress_warning=True) is None:
        return "UTC"
    chosen = streamlit.session_state.get(ZONE_KEY)
    return str(chosen or streamlit.context.timezone or "UTC")


def zone() -> tzinfo:
    """The zone in which times are shown; UTC when the browser names one that is not known here."""
    try:
        return ZoneInfo(zone_name())
    except (KeyError, ValueError, OSError):
        return UTC


def now() -> datetime:
    """The time of this machine, to say how old something is that the API once said."""
    return datetime.now(UTC)
