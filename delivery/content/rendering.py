"""A message for one person: which words, in which language, and its parameters as text.

A parameter may say something about `user`, `coupon`, `experiment`, `variant`, `now`, `events` and `content`. `user` has the
user's attributes and `user_id`; the phone number is not among them. `experiment` and `variant` are keys, `now` is the
time on the user's own clock, `events["Order Completed"]` their latest event of that name (its properties, and `at`),
`content` what content sources said. A value that is missing or null is an error that names it, so that nobody is ever
greeted as "None"; a template that can do without writes `{{ user.first_name | default("you") }}`.
"""

import base64
import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from jinja2 import Template, TemplateError
from jinja2.meta import find_undeclared_variables

from delivery.content.ingredients import NOTHING_FETCHED, Fetched, LatestEvent
from delivery.content.languages import choose
from delivery.content.readable import Content, Fields
from delivery.local_time import zone_of
from delivery.outbox.dispatch_repository import Recipient
from delivery.whatsapp.payloads import (
    MAX_BODY,
    MAX_CODE,
    MAX_HEADER,
    MAX_TEXT,
    CopyCode,
    HeaderMedia,
    HeaderText,
    OutgoingMessage,
    QuickReply,
    TemplateMessage,
    TextMessage,
)
from experiments.content import environment, used_events, used_sources
from experiments.errors import Invalid
from experiments.settings import Settings
from experiments.treatments import Button, MessageContent
from experiments.vocabulary import TEMPLATE_VARIABLES

WINDOW: Final = timedelta(hours=24)
"""How long after a person's last message to us a free text may go out."""

COUPON_LENGTH: Final = 10

# WhatsApp refuses parameters with line breaks, tabs or more than four spaces in a row (error 132000 and kin).
_BREAKS: Final = re.compile(r"[\x00-\x20\x7f-\x9f\u2028\u2029]+")
_CONTROLS: Final = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]+")
_TURNS: Final = re.compile("[\u202a-\u202e\u2066-\u2069]")
_ISOLATES: Final = frozenset("\u2066\u2067\u2068")
_CLOSING: Final = frozenset("\u202c\u2069")
# Jinja reads an attribute of the record itself before an item of it, and those all begin with an underscore.
_ATTRIBUTE: Final = re.compile(r"\{\{ *user\.([A-Za-z]\w*) *\}\}", re.ASCII)
_READABLE: Final = bytes.maketrans(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", b"ABCDEFGH9JKLMN8PQRSTUVWXYZ234567")


class WindowClosed(Invalid):
    """A free text without a template, more than 24 hours after the person's last message to us."""


class Written(NamedTuple):
    """A message but for its address: what was chosen, and its texts. `template` None: the free text `text`.

    `names` are those of the `parameters` where the template names its variables, in alphabetical order.
    """

    template: str | None = None
    language: str | None = None
    header: HeaderText | HeaderMedia | None = None
    parameters: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    buttons: tuple[QuickReply | CopyCode, ...] = ()
    text: str | None = None


def compose(
    content: MessageContent,
    *,
    callback: str,
    person: Recipient,
    experiment: str,
    variant: str,
    now: datetime,
    window_open: bool,
    settings: Settings,
    events: Mapping[str, LatestEvent] = MappingProxyType({}),
    fetched: Fetched = NOTHING_FETCHED,
) -> OutgoingMessage:
    """The message for one person, but for the click token of its link (`url_suffix`, `dataclasses.replace`).

    `callback` is `story.callback_data`, `events` the person's latest events by name (those that `events_needed` names),
    `window_open` whether they wrote to us within 24 hours. Raises Invalid, naming the variable, when it cannot be made
    for this person; WindowClosed; ContentUnavailable.
    """
    written = write(
        content,
        user_id=person.user_id,
        attributes=person.attributes,
        time_zone=person.time_zone,
        locale=person.locale,
        experiment=experiment,
        variant=variant,
        now=now,
        window_open=window_open,
        coupon_secret=settings.coupon_secret.get_secret_value(),
        events=events,
        fetched=fetched,
    )
    to = person.phone or ""
    if written.template is None or written.language is None:
        return TextMessage(to=to, text=written.text or "", callback_data=callback)
    return TemplateMessage(
        to=to,
        template=written.template,
        language=written.language,
        body_parameters=written.parameters,
        url_suffix=None,
        callback_data=callback,
        body_names=written.names,
        header=written.header,
        buttons=written.buttons,
        url_index=content.link_index,
    )


def write(
    content: MessageContent,
    *,
    user_id: str,
    attributes: Mapping[str, Any],
    time_zone: str | None,
    locale: str | None,
    experiment: str,
    variant: str,
    now: datetime,
    window_open: bool,
    coupon_secret: str = "",
    events: Mapping[str, LatestEvent] = MappingProxyType({}),
    fetched: Fetched = NOTHING_FETCHED,
) -> Written:
    """What is said to one user: the free text while their window is open, the template otherwise.

    Raises Invalid with the field below `message` (`parameters[1]`, `header.text` ..), naming the variable; WindowClosed; or
    ContentUnavailable when the words that were chosen read a source that does not answer.
    """
    told = _Told(
        user_id=user_id,
        attributes=attributes,
        time_zone=time_zone,
        experiment=experiment,
        variant=variant,
        now=now,
        coupon_secret=coupon_secret,
        events=events,
        fetched=fetched,
    )
    if content.text is not None and window_open:
        return Written(text=_text(content.text, told, field="text"))
    if content.template is None or content.language is None:
        raise WindowClosed("the 24 hours after the user's last message are over", field="text")
    return Written(
        template=content.template,
        language=choose(content.language, content.languages, locale=locale),
        header=_header(content, told),
        parameters=tuple(_line(source, told, field=field) for field, source in _parameter_sources(content)),
        names=tuple(sorted(content.parameters)) if isinstance(content.parameters, dict) else (),
        buttons=tuple(_button(button, i, told) for i, button in enumerate(content.buttons)),
    )


@dataclass(slots=True)
class _Told:
    """What a text may read, by the names in `TEMPLATE_VARIABLES`; each is made only for a text that reads it."""

    user_id: str
    attributes: Mapping[str, Any]
    time_zone: str | None
    experiment: str
    variant: str
    now: datetime
    coupon_secret: str
    events: Mapping[str, LatestEvent]
    fetched: Fetched

    def about(self, name: str) -> Any:
        made: Any
        match name:
            case "user":
                made = Fields({**self.attributes, "user_id": self.user_id}, path="user")
            case "coupon":
                made = coupon(experiment=self.experiment, user_id=self.user_id, secret=self.coupon_secret)
            case "experiment":
                made = self.experiment
            case "variant":
                made = self.variant
            case "now":
                made = self._on_their_clock(self.now)
            case "events":
                made = Fields(
                    {
                        event: {**known.properties, "at": self._on_their_clock(known.at)}
                        for event, known in self.events.items()
                    },
                    path="events",
                )
            case "content":
                made = Content(self.fetched.values, path="content", unavailable=self.fetched.unavailable)
            case _:
                raise AssertionError(f"nothing is said about {name}")
        return made

    def _on_their_clock(self, moment: datetime) -> datetime:
        return moment.astimezone(zone_of(self.time_zone))


def events_needed(content: MessageContent) -> frozenset[str]:
    """Names of the events that its texts read."""
    return frozenset(name for source in content.sources().values() for name in used_events(source))


def sources_needed(content: MessageContent) -> frozenset[str]:
    """Names of the content sources that its texts read."""
    return frozenset(name for source in content.sources().values() for name in used_sources(source))


def coupon(*, experiment: str, user_id: str, secret: str = "") -> str:
    """A user's code in an experiment: 10 letters and digits (50 bits of HMAC-SHA256), the same each time it is asked for.

    Letters that look like digits (I, O) are avoided. With a `secret` nobody can work out another user's code;
    without one, whoever knows the experiment's key and a user id can, so the shop must check whose code it is.

    >>> coupon(experiment="spring-wakeup", user_id="u1") == coupon(experiment="spring-wakeup", user_id="u1")
    True
    """
    digest = hmac.digest(secret.encode(), f"{experiment}\x00{user_id}".encode(), hashlib.sha256)
    return base64.b32encode(digest).translate(_READABLE)[:COUPON_LENGTH].decode()


class _Compiled(NamedTuple):
    """A source made ready. `reads`: the variables in it; `attribute`: it is `{{ user.attribute }}` and no more."""

    template: Template
    reads: tuple[str, ...]
    attribute: str | None


@lru_cache(maxsize=4096)
def _compiled(source: str) -> _Compiled:
    known = find_undeclared_variables(environment().parse(source)).intersection(TEMPLATE_VARIABLES)
    bare = _ATTRIBUTE.fullmatch(source)
    return _Compiled(environment().from_string(source), tuple(sorted(known)), bare[1] if bare else None)


def _parameter_sources(content: MessageContent) -> list[tuple[str, str]]:
    """Field below `message` and Jinja2 source of each parameter of the body."""
    given = content.parameters
    if isinstance(given, dict):
        # PostgreSQL keeps the names of a document in an order of its own.
        return [(f"parameters.{name}", given[name]) for name in sorted(given)]
    return [(f"parameters[{index}]", source) for index, source in enumerate(given)]


def _header(content: MessageContent, told: _Told) -> HeaderText | HeaderMedia | None:
    header = content.header
    if header is None:
        return None
    if header.text is not None:
        return HeaderText(_line(header.text, told, field="header.text", longest=MAX_HEADER), header.name)
    if header.image is not None:
        return HeaderMedia("image", header.image)
    if header.video is not None:
        return HeaderMedia("video", header.video)
    return HeaderMedia("document", header.document or "")


def _button(button: Button, place: int, told: _Told) -> QuickReply | CopyCode:
    if button.payload is not None:
        return QuickReply(button.index, button.payload)
    field = f"buttons[{place}].code"
    return CopyCode(button.index, _line(button.code or "", told, field=field, longest=MAX_CODE))


def _line(source: str, told: _Told, *, field: str, longest: int = MAX_BODY) -> str:
    """A parameter: one line, not empty."""
    text = _BREAKS.sub(" ", _rendered(source, told, field=field)).strip()
    if not text:
        raise Invalid(
            f"is empty for this user; WhatsApp refuses an empty parameter ({source!r})", field=field
        )
    return _bounded(text, field=field, longest=longest)


def _text(source: str, told: _Told, *, field: str) -> str:
    """A free text, which may have lines."""
    text = _CONTROLS.sub(" ", _rendered(source, told, field=field).replace("\r\n", "\n")).strip()
    if not text:
        raise Invalid(f"is empty for this user ({source!r})", field=field)
    return _bounded(text, field=field, longest=MAX_TEXT)


def _bounded(text: str, *, field: str, longest: int) -> str:
    if not text.isascii():
        text = _turned_back(text)
    if len(text) > longest:
        raise Invalid(f"is {len(text)} characters long for this user; WhatsApp takes {longest}", field=field)
    return text


def _turned_back(text: str) -> str:
    """The text with every turn of its direction ended, so that a name cannot turn around the words behind it."""
    open_turns: list[str] = []
    for mark in _TURNS.findall(text):
        if mark in _CLOSING:
            if open_turns and open_turns[-1] == mark:
                open_turns.pop()
        else:
            open_turns.append("\u2069" if mark in _ISOLATES else "\u202c")
    return text + "".join(reversed(open_turns))


def _rendered(source: str, told: _Told, *, field: str) -> str:
    try:
        compiled = _compiled(source)
        text = _plainly(compiled, told)
        if text is None:
            text = compiled.template.render({name: told.about(name) for name in compiled.reads})
        text.encode()
    except Invalid as error:
        raise Invalid(error.message, field=field) from error
    except TemplateError as error:
        raise Invalid(error.message or type(error).__name__, field=field) from error
    except (TypeError, ValueError, ArithmeticError, LookupError, AttributeError) as error:
        raise Invalid(f"cannot be rendered: {error}", field=field) from error
    return text


def _plainly(compiled: _Compiled, told: _Told) -> str | None:
    """What Jinja would make of the commonest source of all, an attribute that is a text; None: ask Jinja."""
    if compiled.attribute is None:
        return None
    value = told.user_id if compiled.attribute == "user_id" else told.attributes.get(compiled.attribute)
    return value if isinstance(value, str) else None
