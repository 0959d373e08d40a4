"""Who looks: the language and the time zone of the viewer. Both come from the browser, and may be chosen.

A choice is kept in the memory of the tab, under keys that no widget has: Streamlit forgets what its widgets hold. A chosen
language is in the address as well, so that a link is read in it.
"""

from datetime import UTC, datetime, tzinfo
from typing import Final
from zoneinfo import ZoneInfo

import streamlit
from streamlit.runtime.scriptrunner import get_script_run_ctx

LANGUAGES: Final = {"en": "English", "zh": "中文"}
FALLBACK: Final = "en"
LANGUAGE_KEY: Final = "language"
"""In the memory of the tab, and in the address."""
ZONE_KEY: Final = "zone"


def agree_on_language() -> None:
    """What the address says is chosen; what is chosen is in the address again, from which links and the navigation take it."""
    named, chosen = streamlit.query_params.get(LANGUAGE_KEY), streamlit.session_state.get(LANGUAGE_KEY)
    if named in LANGUAGES:
        streamlit.session_state[LANGUAGE_KEY] = named
    elif chosen in LANGUAGES:
        streamlit.query_params[LANGUAGE_KEY] = str(chosen)
    elif named is not None:
        del streamlit.query_params[LANGUAGE_KEY]


def choose_language(name: str) -> None:
    streamlit.session_state[LANGUAGE_KEY] = name
    streamlit.query_params[LANGUAGE_KEY] = name


def choose_zone(name: str) -> None:
    streamlit.session_state[ZONE_KEY] = name


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
    """The IANA name of the zone in which times are shown; UTC when the browser names one that is not known here."""
    if get_script_run_ctx(suppress_warning=True) is None:
        return "UTC"
    name = str(streamlit.session_state.get(ZONE_KEY) or streamlit.context.timezone or "UTC")
    return name if _known(name) is not None else "UTC"


def zone() -> tzinfo:
    """The zone in which times are shown."""
    return _known(zone_name()) or UTC


def _known(name: str) -> ZoneInfo | None:
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        return None


def now() -> datetime:
    """The time of this machine, to say how old something is that the API once said."""
    return datetime.now(UTC)
