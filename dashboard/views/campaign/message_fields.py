"""What a message says: the template and what fills it, and what real users would read."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

import streamlit

from dashboard import formats, values
from dashboard.calls import campaigns
from dashboard.campaign import bubbles, messages
from dashboard.campaign.documents import at, items_at, with_value
from dashboard.campaign.messages import Asked
from dashboard.client import ApiError, Client
from dashboard.texts import say, told
from dashboard.views import states
from dashboard.views.campaign.widgets import KEPT, Form
from dashboard.views.remembering import remembered

KINDS: Final = ("silence", "template", "text")
_TEMPLATE_ONLY: Final = (
    "template",
    "language",
    "languages",
    "parameters",
    "header",
    "buttons",
    "link",
    "link_index",
)


def show(client: Client, form: Form) -> bool:
    """The fields of a message; whether there is one."""
    now = _kind(form.value())
    kind = form.choice("message", KINDS, now, words="new_campaign.message_is")
    if kind != now:
        document = with_value(form.work.document, form.root, _started(form.value(default={}), kind))
        if kind == "silence" and form.root[0] == "variants":
            for part in ("send_time", "frequency"):
                document = with_value(document, (*form.root[:-1], part), None)
        form.remake(document)
    form.tell(inside=False)
    if kind == "silence":
        streamlit.caption(say("new_campaign.silence_means"))
        return False
    if kind == "template":
        _show_template(client, form)
        with streamlit.expander(say("new_campaign.free_text"), expanded=bool(form.value("text"))):
            _warn_of_braces(form.text(("text",), "window_text", area=True, max_chars=4096, height=80))
    else:
        _warn_of_braces(form.text(("text",), "message_text", area=True, max_chars=4096))
    _show_preview(client, form)
    return True


def _kind(message: Any) -> str:
    if not isinstance(message, Mapping):
        return "silence"
    return "text" if "text" in message and not message.get("template") else "template"


def _started(message: Mapping[str, Any], kind: str) -> dict[str, Any] | None:
    if kind == "silence":
        return None
    if kind == "text":
        kept = {name: value for name, value in message.items() if name not in _TEMPLATE_ONLY}
        return {"text": "", **kept}
    return {name: value for name, value in message.items() if name != "text" or value}


def _show_template(client: Client, form: Form) -> None:
    category = str(form.work.document.get("category") or "marketing")
    try:
        known = remembered("campaign:templates", "", lambda: campaigns.templates(client))
    except ApiError as error:
        states.leave_if_refused(error)
        streamlit.warning(formats.plain(str(error)))
        known = []
    usable = [item for item in known if item.get("category") in {category, "utility"}]
    names = list(dict.fromkeys(str(item.get("name")) for item in usable))
    if not known:
        streamlit.info(say("new_campaign.no_template"))
    template, language = streamlit.columns([3, 2])
    with template:
        before = form.value("template")
        chosen = form.one_of(("template",), "template", names, new=True)
    if chosen and chosen not in names and len(known) == campaigns.MOST_LISTED:
        known = [*known, *_beyond_the_list(client, chosen)]
    languages = [str(item.get("language")) for item in known if item.get("name") == chosen]
    if chosen != before and languages:
        _begin_template(form, chosen, known, languages)
    with language:
        main = form.one_of(("language",), "language", languages, new=True)
    found = next((item for item in known if (item.get("name"), item.get("language")) == (chosen, main)), None)
    others = [name for name in languages if name != main]
    if others or form.value("languages"):
        form.some_of(("languages",), "languages", others, new=True)
    if found is None:
        if chosen:
            streamlit.caption(say("new_campaign.template_unknown"))
        _show_without_registry(form)
        return
    if str(found.get("status")).upper() != "APPROVED":
        streamlit.warning(say("new_campaign.not_approved", status=formats.plain(str(found.get("status")))))
    asked = messages.asked_by(found)
    _show_asked(form, asked)


def _begin_template(
    form: Form, name: str, known: Sequence[campaigns.Document], languages: Sequence[str]
) -> None:
    """Another template: in the language of before where it has that, with room for what it asks for."""
    message = form.value(default={})
    if message.get("language") not in languages:
        message = with_value(message, ("language",), _nearest(languages))
    taken = (name, message["language"])
    found = next(item for item in known if (item.get("name"), item.get("language")) == taken)
    asked = messages.asked_by(found)
    form.remake(with_value(form.work.document, form.root, messages.with_asked(message, asked)))


def _beyond_the_list(client: Client, name: str) -> list[campaigns.Document]:
    """A template that was typed, since the list has room for the first ones only."""
    try:
        return list(remembered("campaign:template", name, lambda: campaigns.template(client, name)))
    except ApiError as error:
        states.leave_if_refused(error)
        streamlit.warning(formats.plain(str(error)))
        return []


def _nearest(languages: Sequence[str]) -> str:
    """English where there is one: somebody has to read what the others are measured against."""
    return next((name for name in languages if name.startswith("en")), languages[0])


def _show_asked(form: Form, asked: Asked) -> None:
    if asked.body:
        streamlit.caption(f"{say('new_campaign.template_says')} {formats.plain(asked.body)}")
    if asked.header == "text":
        _warn_of_braces(form.text(("header", "text"), "header_text"))
        if asked.header_variable and form.value("header", "text"):
            form.put(asked.header_variable, "header", "name")
    elif asked.header:
        form.text(("header", asked.header), f"header_{asked.header}")
    for place, name in enumerate(asked.variables):
        label: Any = name if asked.named else place
        _show_parameter(form, label, name)
    if asked.variables:
        streamlit.caption(say("new_campaign.parameter_names"))
    _show_buttons(form, asked)


def _show_parameter(form: Form, part: str | int, name: str) -> None:
    key = form.key("parameters", part)
    form.begin(key, str(form.value("parameters", part, default="")))
    text = streamlit.text_input(
        say("campaign_field.label.parameter", name=formats.plain(name)),
        key=key,
        help=say("campaign_field.help.parameter"),
        persist_state=KEPT,
    )
    if text != form.value("parameters", part, default=""):
        form.put(text, "parameters", part)
    _warn_of_braces(text)
    form.tell("parameters", part)


def _warn_of_braces(text: str) -> None:
    """Beneath a field: what looks like a variable and is none."""
    path = messages.unbraced(text)
    if path is not None:
        braced = f"`{{{{ {path.replace('`', '')} }}}}`"
        streamlit.warning(
            say("new_campaign.no_braces", path=formats.plain(path), braced=braced), icon=":material/help:"
        )


def _show_buttons(form: Form, asked: Asked) -> None:
    for button in asked.buttons:
        if button.kind == "url":
            form.text(("link",), "link")
            if form.value("link") and form.value("link_index", default=0) != button.index:
                form.put(button.index, "link_index")
            continue
        wanted = "payload" if button.kind == "quick_reply" else "code"
        given = items_at(form.value(default={}), ("buttons",))
        place = next((i for i, item in enumerate(given) if at(item, ("index",)) == button.index), len(given))
        key = form.key("buttons", f"#{button.index}")
        form.begin(key, str(form.value("buttons", place, wanted, default="")))
        text = streamlit.text_input(
            say(f"campaign_field.label.{wanted}", name=formats.plain(button.text or button.kind)),
            key=key,
            help=say(f"campaign_field.help.{wanted}"),
            persist_state=KEPT,
        )
        if text and text != form.value("buttons", place, wanted):
            form.put({"type": button.kind, "index": button.index, wanted: text}, "buttons", place)
        _warn_of_braces(text)
        form.tell("buttons", place)


def _show_without_registry(form: Form) -> None:
    """What a template takes, when nobody knows which of it this one does."""
    parameters = form.value("parameters", default=[])
    if isinstance(parameters, Mapping):
        for name in parameters:
            _show_parameter(form, str(name), str(name))
    elif not isinstance(parameters, list):
        form.keep("parameters")
    else:
        key = form.key("~parameters")
        given = [str(item) for item in parameters]
        form.begin(key, "\n".join(given))
        text = streamlit.text_area(
            say("campaign_field.label.parameters"),
            key=key,
            help=say("campaign_field.help.parameters"),
            height=80,
            persist_state=KEPT,
        )
        lines = [line for line in text.split("\n") if line.strip()]
        if lines != given:
            form.put(lines or None, "parameters")
        for line in lines:
            _warn_of_braces(line)
        streamlit.caption(say("new_campaign.parameter_names"))
        form.tell("parameters")
    form.text(("link",), "link")
    for name in ("header", "buttons"):
        if form.value(name):
            streamlit.caption(say("new_campaign.kept_as_it_is", value=formats.plain(str(form.value(name)))))
        form.tell(name)


def _show_preview(client: Client, form: Form) -> None:
    """What three users of the audience would read."""
    message = form.value(default={})
    wanted = form.key("~preview")
    if streamlit.button(say("new_campaign.preview"), icon=":material/visibility:", key=f"{wanted}:button"):
        streamlit.session_state[wanted] = True
    if not streamlit.session_state.get(wanted):
        return
    condition = at(form.work.document, ("audience", "condition"), {})
    about = json.dumps([message, condition], sort_keys=True)
    try:
        with streamlit.spinner(say("common.loading")):
            found = remembered(
                f"{wanted}:shown", about, lambda: campaigns.preview_message(client, message, condition)
            )
    except ApiError as error:
        states.leave_if_refused(error)
        streamlit.error(formats.plain(str(error)), icon=":material/error:")
        return
    _show_users(found)


def _show_users(found: Mapping[str, Any]) -> None:
    users = values.mappings(found.get("users"))
    for warning in values.texts(found.get("warnings")):
        streamlit.warning(formats.plain(warning))
    if not users:
        streamlit.info(say("new_campaign.nobody_to_preview"))
        return
    for column, user in zip(streamlit.columns(len(users)), users, strict=True):
        with column:
            language = formats.plain(str(user.get("language") or ""))
            streamlit.caption(f"{formats.plain(str(user.get('user_id')))} · {language}")
            error = user.get("error")
            if isinstance(error, Mapping):
                streamlit.error(formats.plain(f"{error.get('field')}: {error.get('message')}"))
            else:
                streamlit.html(
                    bubbles.bubble(
                        user, attachment=told("new_campaign.attachment", str(user.get("header_kind")).lower())
                    )
                )
    known = values.counts(found)
    checked, failed = known.get("checked", 0), known.get("failed", 0)
    if failed:
        reasons = "; ".join(
            f"{reason.get('users')}: {reason.get('message')}"
            for reason in values.mappings(found.get("reasons"))
        )
        streamlit.warning(
            say(
                "new_campaign.cannot_be_written",
                failed=formats.count(failed),
                checked=formats.count(checked),
                reasons=formats.plain(reasons),
            )
        )
    else:
        streamlit.caption(say("new_campaign.all_can_be_written", number=formats.count(checked)))
