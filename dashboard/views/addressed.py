"""Choices that stand in the address, by their names.

Streamlit's own `bind="query-params"` writes what is shown, and a link made in one language would not be understood in another.
"""

from collections.abc import Callable, Sequence
from typing import Any, Literal

import streamlit


def segmented(
    label: str,
    options: Sequence[str],
    *,
    name: str,
    shown: Callable[[str], str],
    default: str | None = None,
    help: str | None = None,  # noqa: A002  # Streamlit's own word
    label_visibility: Literal["visible", "collapsed"] = "visible",
    also_forget: str = "",
) -> str | None:
    """One of `options`, which the address has under `name`; None when none is chosen and there is no `default`.

    also_forget: another name of the address that means nothing once this choice has changed.
    """
    given = streamlit.query_params.get(name)
    # The address has the last word: a link to this very page may have changed it.
    streamlit.session_state[name] = given if given in options else default
    required: dict[str, Any] = {"required": True} if default is not None else {}
    chosen = streamlit.segmented_control(
        label,
        options,
        format_func=shown,
        help=help,
        key=name,
        on_change=_note,
        args=(name, also_forget),
        label_visibility=label_visibility,
        **required,
    )
    return None if chosen is None else str(chosen)


def forget(name: str) -> None:
    """Take a name out of the address."""
    streamlit.query_params.pop(name, None)


def _note(name: str, also_forget: str) -> None:
    chosen = streamlit.session_state.get(name)
    if chosen is None:
        forget(name)
    else:
        streamlit.query_params[name] = str(chosen)
    forget(also_forget)
