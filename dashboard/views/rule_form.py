"""A form for a rule: when it looks at a user, whom it means, what it does, how often; and a try on what has happened."""

import json
from collections.abc import Mapping
from functools import partial
from typing import Any, Final

import streamlit

from dashboard import access, formats, moments, rule_fields, viewer
from dashboard.calls import rules
from dashboard.client import Client
from dashboard.texts import say
from dashboard.views import (
    asking,
    begun,
    condition_builder,
    condition_rows_form,
    key_field,
    rule_actions_form,
    rule_dry_run,
    rule_trigger_form,
    states,
)
from dashboard.views.deeds import deed

PAGE: Final = "views/rules.py"


def show_new() -> None:
    streamlit.page_link(PAGE, label=say("rules.all"), icon=":material/arrow_back:")
    streamlit.header(say("rules.new"), anchor=False)
    current = access.required()
    if not current.may_write:
        streamlit.info(say("rules.may_not"), icon=":material/lock:")
        return
    form = "rule:new"
    begun.with_it(form, None, version=None, forget=partial(_forget, form))
    _show(current.client, form, None, {}, is_on=False)


def show_edit(key: str) -> None:
    current = access.required()
    streamlit.page_link(
        PAGE, label=say("rules.back"), icon=":material/arrow_back:", query_params={"rule": key}
    )
    if not current.may_write:
        streamlit.info(say("rules.may_not"), icon=":material/lock:")
        return
    rule = states.fetched(f"rule:{key}", lambda: rules.find(current.client, key))
    if rule is None:
        return
    streamlit.header(say("rules.form.edit", name=formats.plain(rule.name)), anchor=False)
    if rule.experiment:
        streamlit.info(say("rules.of_experiment", key=formats.plain(rule.experiment)), icon=":material/lock:")
        return
    form = f"rule:edit:{key}"
    before = begun.with_it(form, rule.definition, version=rule.version, forget=partial(_forget, form))
    _show(current.client, form, key, before, is_on=rule.state == "on")


def _show(client: Client, form: str, key: str | None, before: Mapping[str, Any], *, is_on: bool) -> None:
    name = streamlit.text_input(
        say("rules.form.name"),
        str(before.get("name") or ""),
        help=say("rules.form.name_help"),
        key=f"{form}:name",
        max_chars=200,
    )
    if key is None:
        key = key_field.show(
            f"{form}:key", name, label=say("rules.form.key"), help=say("rules.form.key_help")
        )
    streamlit.subheader(say("rules.form.when"), anchor=False)
    trigger = rule_trigger_form.show(client, f"{form}:trigger", before.get("trigger") or {})
    streamlit.subheader(say("rules.form.who"), anchor=False)
    condition = condition_builder.show(client, f"{form}:condition", before.get("condition") or {})
    streamlit.subheader(say("rules.form.what"), anchor=False)
    actions = rule_actions_form.show(client, f"{form}:actions", before.get("actions") or [])
    streamlit.subheader(say("rules.form.how_often"), anchor=False)
    limits = _limits(form, before)
    complete = (
        bool(key and name)
        and trigger is not None
        and condition is not None
        and bool(actions)
        and all(map(rule_fields.is_complete_action, actions))
    )
    if not complete:
        streamlit.caption(say("rules.form.incomplete"))
        return
    document = {
        "key": key,
        "name": name,
        "trigger": trigger,
        "condition": condition,
        "actions": actions,
        **limits,
    }
    streamlit.subheader(say("rules.dry.title"), anchor=False)
    rule_dry_run.show(client, f"{form}:dry", document=document)
    _save(client, form, document, is_on=is_on)


def _limits(form: str, before: Mapping[str, Any]) -> dict[str, Any]:
    once = streamlit.checkbox(
        say("rules.form.once"),
        bool(before.get("once_per_user")),
        help=say("rules.form.once_help"),
        key=f"{form}:once",
    )
    with streamlit.container(horizontal=True, vertical_alignment="bottom"):
        rests = streamlit.checkbox(
            say("rules.form.rests"),
            before.get("cool_down") is not None,
            help=say("rules.form.rests_help"),
            key=f"{form}:rests",
        )
        cool_down = None
        if rests:
            cool_down = condition_rows_form.duration(
                f"{form}:cool_down", before.get("cool_down"), say("rules.form.cool_down")
            )
    return {
        "once_per_user": once,
        "cool_down": cool_down,
        **{name: _bound(f"{form}:{name}", name, before.get(name)) for name in ("since", "until")},
    }


def _bound(key: str, name: str, before: str | None) -> str | None:
    """A beginning or an end, in the viewer's zone. A field that shows a moment cannot be emptied: hence the box beside it."""
    zone = viewer.zone()
    known = moments.on_clock(before, zone)
    with streamlit.container(horizontal=True, vertical_alignment="bottom"):
        bounded = streamlit.checkbox(
            say(f"rules.form.{name}"),
            before is not None,
            help=say(f"rules.form.{name}_help"),
            key=key,
        )
        if not bounded:
            return None
        if before is not None and known is None:
            streamlit.caption(formats.plain(before))
            return before
        chosen = streamlit.datetime_input(
            say(f"rules.form.{name}_at", zone=viewer.zone_name()),
            known,
            min_value=moments.FIRST,
            max_value=moments.LAST,
            help=say("rules.form.moment_help"),
            key=f"{key}:{viewer.zone_name()}",
            width=320,
        )
    return moments.entered(chosen, before, zone)


def _save(client: Client, form: str, document: Mapping[str, Any], *, is_on: bool) -> None:
    def save() -> tuple[str, tuple[str, ...]]:
        return rules.put(client, str(document["key"]), document)

    def words(answer: tuple[str, tuple[str, ...]]) -> str:
        outcome, warnings = answer
        said = say(f"rules.saved.{outcome}" if outcome in OUTCOMES else "rules.saved.changed")
        return " ".join([said, *map(formats.plain, warnings)])

    # What is asked about is this very document: another one is asked about again.
    question = f"{form}:{json.dumps(document, sort_keys=True)}"
    saved = deed(form)
    asking.show_refusal(saved)
    key = saved.key("rule_save")
    if streamlit.button(say("rules.form.save"), type="primary", icon=":material/save:", key=key):
        if is_on:
            asking.ask(question)
        elif asking.at_once(saved, save, done=words, area="rules"):
            _done(form, str(document["key"]))
    if asking.confirmed(
        question,
        say("rules.form.save_on"),
        yes=say("rules.form.save_yes"),
        act=save,
        done=words,
        area="rules",
    ):
        _done(form, str(document["key"]))


OUTCOMES: Final = frozenset({"created", "changed", "unchanged"})


def _done(form: str, key: str) -> None:
    _forget(form)
    streamlit.session_state.pop(f"{form}:begun", None)
    streamlit.switch_page(PAGE, query_params={"rule": key})


def _forget(form: str) -> None:
    """Let the next form of this name begin anew."""
    deed(form).forget()
    condition_builder.forget(f"{form}:condition")
    rule_actions_form.forget(f"{form}:actions")
