"""What a rule does: its actions as rows, done in their order."""

from collections.abc import Sequence
from functools import partial
from typing import Any, Final

import streamlit

from dashboard import rule_fields
from dashboard.calls.overview import names_of_live
from dashboard.client import ApiError, Client
from dashboard.texts import say
from dashboard.views import states
from dashboard.views.remembering import remembered

MOST: Final = 10
WIDE: Final = 260


def show(client: Client, key: str, before: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The actions, some of them perhaps not complete yet."""
    held: dict[int, dict[str, Any]] = streamlit.session_state.setdefault(
        f"{key}:rows", dict(enumerate(map(dict, before or [{"type": "add_tag"}])))
    )
    for number in list(held):
        with streamlit.container(horizontal=True, vertical_alignment="bottom"):
            held[number] = _row(client, f"{key}:{number}", held[number])
            streamlit.button(
                say("condition_builder.remove"),
                icon=":material/close:",
                type="tertiary",
                key=f"{key}:{number}:remove",
                on_click=partial(_remove, held, number),
            )
    if len(held) < MOST:
        streamlit.button(
            say("rules.action.add"),
            icon=":material/add:",
            key=f"{key}:add",
            on_click=lambda: held.update({max(held, default=-1) + 1: {"type": "add_tag"}}),
        )
    return list(held.values())


def _remove(held: dict[int, dict[str, Any]], number: int) -> None:
    del held[number]


def forget(key: str) -> None:
    """Let the next form of this name begin anew."""
    streamlit.session_state.pop(f"{key}:rows", None)


def _row(client: Client, key: str, action: dict[str, Any]) -> dict[str, Any]:
    kinds = list(rule_fields.ACTIONS)
    before = rule_fields.action_kind(action)
    if before == "remove_attribute" and "name" not in action:
        before = "set_attribute"
    kind = streamlit.selectbox(
        say("rules.action.label"),
        kinds,
        index=kinds.index(before) if before in kinds else 0,
        format_func=lambda name: say(f"rules.action.{name}"),
        help=say("rules.action.help"),
        key=f"{key}:type",
        width=WIDE,
    )
    if kind == "enrol":
        return {"type": kind, "experiment": _experiment(client, key, str(action.get("experiment") or ""))}
    if kind in {"add_tag", "remove_tag"}:
        tag = streamlit.text_input(
            say("rules.action.tag"),
            str(action.get("tag") or ""),
            help=say("rules.action.tag_help"),
            key=f"{key}:tag",
            max_chars=100,
            width=WIDE,
        )
        return {"type": kind, "tag": tag.strip()}
    name = streamlit.text_input(
        say("condition_builder.attribute.label"),
        str(action.get("name") or ""),
        help=say("rules.action.attribute_help"),
        key=f"{key}:name",
        max_chars=200,
        width=WIDE,
    )
    if kind == "remove_attribute":
        return {"type": "set_attribute", "name": name.strip(), "value": None}
    value = streamlit.text_input(
        say("condition_builder.value.label"),
        rule_fields.spelled(action.get("value")),
        help=say("rules.action.value_help"),
        key=f"{key}:value",
        width=WIDE,
    )
    return {"type": kind, "name": name.strip(), "value": rule_fields.entered(value)}


def _experiment(client: Client, key: str, known: str) -> str:
    try:
        names = dict(remembered("rules:experiments", "", lambda: names_of_live(client)))
    except ApiError as error:
        states.leave_if_refused(error)
        names = {}
    names |= {known: names.get(known, known)} if known else {}
    keys = list(names)
    chosen = streamlit.selectbox(
        say("rules.action.experiment"),
        keys,
        index=keys.index(known) if known else None,
        format_func=lambda one: f"{names.get(one, one)} ({one})",
        help=say("rules.action.experiment_help"),
        key=f"{key}:experiment",
        width=400,
    )
    return chosen or ""
