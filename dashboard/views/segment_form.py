"""A form for a segment: its key, its name, and its condition."""

from collections.abc import Mapping
from functools import partial
from typing import Any, Final

import streamlit

from dashboard import access, formats
from dashboard.calls import segments
from dashboard.calls.segments import Segment
from dashboard.texts import say
from dashboard.views import asking, begun, condition_builder, key_field, states
from dashboard.views.deeds import deed

PAGE: Final = "views/segments.py"
KINDS: Final = ("condition", "list")


def show_new() -> None:
    streamlit.page_link(PAGE, label=say("segments.all"), icon=":material/arrow_back:")
    streamlit.header(say("segments.new"), anchor=False)
    if not access.required().may_write:
        streamlit.info(say("segments.may_not"), icon=":material/lock:")
        return
    begun.with_it("segment:new", None, version=None, forget=partial(_forget, "segment:new"))
    name = _name("", "segment:new")
    key = key_field.show(
        "segment:new:key", name, label=say("segments.form.key"), help=say("segments.form.key_help")
    )
    kind = streamlit.radio(
        say("segments.form.kind"),
        KINDS,
        format_func=lambda one: say(f"segments.kind.{one}"),
        captions=[say(f"segments.form.kind_{one}") for one in KINDS],
        help=say("segments.form.kind_help"),
        key="segment:new:kind",
    )
    condition: Mapping[str, Any] | None = None
    if kind == "condition":
        streamlit.subheader(say("segments.form.who"), anchor=False)
        condition = condition_builder.show(access.required().client, "segment:new", None)
    complete = bool(key and name) and (kind == "list" or condition is not None)
    _save("segment:new", key, name, condition, complete=complete)


def show_edit(key: str) -> None:
    current = access.required()
    streamlit.page_link(
        PAGE, label=say("segments.back"), icon=":material/arrow_back:", query_params={"segment": key}
    )
    if not current.may_write:
        streamlit.info(say("segments.may_not"), icon=":material/lock:")
        return
    item = states.fetched(f"segment:{key}", lambda: segments.find(current.client, key))
    if item is None:
        return
    streamlit.header(say("segments.form.edit", name=formats.plain(item.name)), anchor=False)
    form = f"segment:edit:{key}"
    item = begun.with_it(form, item, version=item.updated_at, forget=partial(_forget, form))
    name = _name(item.name, form)
    condition = None
    if not item.is_list:
        streamlit.subheader(say("segments.form.who"), anchor=False)
        condition = condition_builder.show(current.client, form, item.condition)
        streamlit.caption(say("segments.form.consequence"))
    complete = bool(name) and (item.is_list or condition is not None)
    _save(form, key, name, condition, complete=complete)


def _name(value: str, form: str) -> str:
    return streamlit.text_input(
        say("segments.form.name"),
        value,
        help=say("segments.form.name_help"),
        key=f"{form}:name",
        max_chars=200,
    )


def _save(form: str, key: str, name: str, condition: Mapping[str, Any] | None, *, complete: bool) -> None:
    if not complete:
        streamlit.caption(say("segments.form.incomplete"))
    saved, client = deed(form), access.required().client
    asking.show_refusal(saved)
    pressed = streamlit.button(
        say("segments.form.save"),
        type="primary",
        icon=":material/save:",
        disabled=not complete,
        key=saved.key("segment_save"),
    )
    if not pressed:
        return

    def words(item: Segment) -> str:
        return " ".join(
            [say("segments.form.saved", name=formats.plain(item.name)), *map(formats.plain, item.warnings)]
        )

    if asking.at_once(
        saved,
        lambda: segments.put(client, key, name=name, condition=condition),
        done=words,
        area="segments",
    ):
        _forget(form)
        streamlit.session_state.pop(f"{form}:begun", None)
        streamlit.switch_page(PAGE, query_params={"segment": key})


def _forget(form: str) -> None:
    """Let the next form of this name begin anew."""
    deed(form).forget()
    condition_builder.forget(form)
