"""A condition in words and as JSON; and what it means: in English, how many users, who for instance."""

import json
import re
from collections.abc import Mapping
from typing import Any, Final

import streamlit

from dashboard import formats
from dashboard.calls import conditions
from dashboard.calls.conditions import Count, Preview, Reading
from dashboard.client import ApiError, Client
from dashboard.condition_rows import Kept
from dashboard.texts import say
from dashboard.views import states

SHOWN_ATTRIBUTES: Final = 8
LONGEST_VALUE: Final = 40


def edit_text(client: Client, key: str, document: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """A text area with the condition in words; None while the words cannot be read, and the page says why."""
    said = _in_words(client, key, document)
    if said is None:
        return None
    typed = streamlit.text_area(
        say("condition_builder.text.label"),
        said,
        help=say("condition_builder.text.help"),
        key=key,
    )
    streamlit.caption(say("condition_builder.text.example"))
    return document if typed == said else _read(client, key, typed)


def part(client: Client, key: str, row: Kept, *, label: str = "") -> Kept:
    """The same for a part of a condition, on one line."""
    document = row.document
    said = "" if document is None else _in_words(client, key, document)
    if said is None:
        return row
    held = f"{key}:typed"
    typed = streamlit.text_input(
        label or say("condition_builder.part.label"),
        streamlit.session_state.get(held, said),
        help=say("condition_builder.text.help"),
        key=f"{key}:part",
        width=600,
    )
    if typed == said:
        return row
    streamlit.session_state[held] = typed
    return Kept(_read(client, key, typed) if typed.strip() else None)


def edit_json(_client: Client, key: str, document: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """A text area with the condition as JSON; None while it is none, and the page says why."""
    said = json.dumps(document, indent=2, ensure_ascii=False)
    typed = streamlit.text_area(
        say("condition_builder.json.label"),
        said,
        height=240,
        help=say("condition_builder.json.help"),
        key=key,
    )
    if typed == said:
        return document
    try:
        found = json.loads(typed)
    except (ValueError, RecursionError) as error:
        streamlit.error(say("condition_builder.json.invalid", reason=formats.plain(str(error))))
        return None
    if not isinstance(found, dict):
        streamlit.error(say("condition_builder.json.no_object"))
        return None
    return found


def _in_words(client: Client, key: str, document: Mapping[str, Any]) -> str | None:
    about = (f"{key}:words", json.dumps(document, sort_keys=True))
    held = streamlit.session_state.get(about[0])
    if held is not None and held[0] == about[1]:
        return str(held[1])
    try:
        text = conditions.read(client, condition=document).text
    except ApiError as error:
        states.leave_if_refused(error)
        streamlit.error(formats.plain(str(error)), icon=":material/error:")
        return None
    streamlit.session_state[about[0]] = (about[1], text)
    return text


def _read(client: Client, key: str, typed: str) -> Mapping[str, Any] | None:
    held = streamlit.session_state.get(f"{key}:read")
    if held is not None and held[0] == typed:
        return held[1]  # type: ignore[no-any-return]  # stored three lines below
    try:
        found = conditions.read(client, text=typed).condition
    except ApiError as error:
        states.leave_if_refused(error)
        streamlit.error(formats.plain(str(error)), icon=":material/error:")
        return None
    streamlit.session_state[f"{key}:read"] = (typed, found)
    return found


def show_reading(reading: Reading) -> None:
    """The condition in English, and what may be wrong with it."""
    streamlit.markdown(f"**{say('condition_builder.means')}** {formats.plain(reading.english)}")
    if reading.condition:
        # The sentence is for reading only: names and values stand in it without their marks.
        streamlit.caption(say("condition_builder.typed", text=_as_code(reading.text)))
    for warning in reading.warnings:
        streamlit.warning(formats.plain(warning), icon=":material/help:")


def _as_code(text: str) -> str:
    """Text as code within Markdown, between more marks than stand in it."""
    longest = max((len(marks) for marks in re.findall("`+", text)), default=0)
    marks = "`" * (longest + 1)
    return f"{marks} {' '.join(text.split())} {marks}"


def counted(count: Count) -> str:
    """A number of users in words, with its interval when it is an estimate."""
    if count.exact:
        return say("condition_builder.count.exact", count=count.value, number=formats.count(count.value))
    lower, upper = formats.count(count.lower), formats.count(count.upper)
    number = formats.count(count.value)
    return say("condition_builder.count.estimate", number=number, lower=lower, upper=upper)


def show_preview(preview: Preview) -> None:
    """How many users, how many of them may be messaged, and some of them: without phone numbers."""
    lines = [f":material/group: **{counted(preview.count)}**"]
    if preview.messageable is not None and preview.count.value:
        share = formats.share(preview.messageable.value, preview.count.value)
        lines.append(say("condition_builder.messageable", share=share, users=counted(preview.messageable)))
    streamlit.markdown(" · ".join(lines))
    if not preview.count.value:
        streamlit.info(say("condition_builder.nobody"), icon=":material/person_off:")
    if preview.sample:
        with streamlit.expander(say("condition_builder.sample.title", count=len(preview.sample))):
            streamlit.table(
                [_user_row(user) for user in preview.sample],
                border="horizontal",
                hide_index=True,
                alt=say("condition_builder.sample.alt"),
            )


def _user_row(user: Mapping[str, Any]) -> dict[str, str]:
    held = user.get("attributes")
    attributes = held if isinstance(held, Mapping) else {}
    shown = [f"{name}: {_short(value)}" for name, value in list(attributes.items())[:SHOWN_ATTRIBUTES]]
    if len(attributes) > SHOWN_ATTRIBUTES:
        shown.append("..")
    return {
        say("condition_builder.sample.user"): formats.plain(str(user.get("user_id", ""))),
        say("condition_builder.sample.attributes"): formats.plain(", ".join(shown)),
    }


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= LONGEST_VALUE else f"{text[:LONGEST_VALUE]}.."
