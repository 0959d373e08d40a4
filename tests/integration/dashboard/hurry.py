"""A person who is faster than the page: their input ends a run whose answer their browser never sees."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from streamlit.proto.WidgetStates_pb2 import WidgetStates
from streamlit.runtime.scriptrunner import RerunData, RerunException, get_script_run_ctx
from streamlit.testing.v1 import AppTest

KINDS = (
    "text_input",
    "text_area",
    "number_input",
    "selectbox",
    "multiselect",
    "button_group",
    "radio",
    "slider",
    "checkbox",
    "toggle",
    "time_input",
    "datetime_input",
)


def cut_short(monkeypatch: pytest.MonkeyPatch, module: Any, name: str, *, goes_to: str = "") -> list[str]:
    """Let the next call of a function end the run, as Streamlit does when input arrives; the calls after it are as always.

    The new run begins with what the browser knows: nothing of any widget. goes_to: the address of the page that it is of, when the input
    was the press of a link. Returns the calls that were cut.
    """
    real, cut = getattr(module, name), []

    def once(*args: Any, **kwargs: Any) -> Any:
        if cut:
            return real(*args, **kwargs)
        cut.append(name)
        context = get_script_run_ctx()
        assert context is not None
        raise RerunException(
            RerunData(
                query_string="" if goes_to else context.query_string,
                page_script_hash=_page(context, goes_to) if goes_to else context.page_script_hash,
                widget_states=WidgetStates(),
            )
        )

    monkeypatch.setattr(module, name, once)
    return cut


def _page(context: Any, address: str) -> str:
    pages = context.pages_manager.get_pages().items()
    found: str = next(key for key, page in pages if page["url_pathname"] == address)
    return found


def pressed_again(monkeypatch: pytest.MonkeyPatch, module: Any, name: str) -> list[str]:
    """While the next call of a function waits for its answer, whoever pressed presses the same once more; the calls after it are as always.

    Returns all calls.
    """
    real, calls = getattr(module, name), []

    def counted(*args: Any, **kwargs: Any) -> Any:
        calls.append(name)
        try:
            return real(*args, **kwargs)
        finally:
            if len(calls) == 1:
                press_once_more()

    monkeypatch.setattr(module, name, counted)
    return calls


def press_once_more(states: WidgetStates | None = None) -> None:
    """Let the browser send something while a run goes on; without `states` what this run answers."""
    context = get_script_run_ctx()
    assert context is not None
    requests = context.script_requests
    assert requests is not None
    sent = requests._rerun_data
    requests.request_rerun(sent if states is None else replace(sent, widget_states=states))


def shown_otherwise(app: AppTest) -> list[tuple[str, Any, Any]]:
    """Widgets for which a browser that sees only this run shows something else than the script goes on with."""
    found = [widget for kind in KINDS for widget in app.get(kind)]
    assert found
    return [
        (widget.label, theirs, ours)
        for widget in found
        if not widget.proto.set_value and (theirs := _as_drawn(widget)) != (ours := _as_sent(widget))
    ]


def _as_drawn(widget: Any) -> Any:
    """What a browser makes of a widget that it has not drawn before."""
    drawn = widget.proto.default
    if not isinstance(drawn, str | bool | int | float):  # several values, or none
        return [widget.options[place] for place in drawn] if hasattr(widget, "options") else list(drawn)
    if isinstance(drawn, bool):
        return drawn
    if not widget.proto.HasField("default"):
        return None
    return widget.options[int(drawn)] if hasattr(widget, "options") else drawn


def _as_sent(widget: Any) -> Any:
    state = widget._widget_state  # what a browser would send
    kind = state.WhichOneof("value")
    if kind is None:
        return None
    value = getattr(state, kind)
    return list(value.data) if isinstance(getattr(value, "data", None), Sequence) else value
