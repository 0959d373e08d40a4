"""What goes out, as the Cloud API expects it: a template message, or a free text.

    OutgoingMessage
    |- TemplateMessage   at any time; its words were approved beforehand, but for the parameters
    |- TextMessage       only within 24 hours of the person's last message to us

Both have `to`, `callback_data`, `texts` (what was written for this person), `language` and `to_payload()`. The person's
number and the words for them stay out of `repr`, and so out of logs.
"""

from dataclasses import dataclass, field
from typing import Any, Final, Literal

from experiments.errors import Invalid, Problem

CALLBACK_DATA_LIMIT: Final = 512
"""Longest `biz_opaque_callback_data` in characters."""


# Longest texts in characters, as WhatsApp takes them.
MAX_BODY: Final = 1024
MAX_HEADER: Final = 60
MAX_CODE: Final = 15
MAX_TEXT: Final = 4096


@dataclass(frozen=True, slots=True)
class HeaderText:
    """The value of the one variable in a header of text; `name` where the template names its variables."""

    text: str = field(repr=False)
    name: str | None = None


@dataclass(frozen=True, slots=True)
class HeaderMedia:
    """The picture, video or document of a header: an address from which WhatsApp fetches it."""

    kind: Literal["image", "video", "document"]
    link: str


@dataclass(frozen=True, slots=True)
class QuickReply:
    """What we are told when the button at `index` is pressed."""

    index: int
    payload: str


@dataclass(frozen=True, slots=True)
class CopyCode:
    """The code that the button at `index` puts into the clipboard."""

    index: int
    code: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class TemplateMessage:
    """One message to one person, rendered and ready.

    `to` is an E.164 number, with or without `+`; `url_suffix` is the click token that ends the link of the template's
    dynamic URL button at `url_index` (None: the template has no such button); `body_names` are the names of the body's
    variables where the template names them; `callback_data` is our own id, echoed by every status webhook, and so the
    only way to learn what became of a POST that was never answered.
    """

    to: str = field(repr=False)
    template: str
    language: str
    body_parameters: tuple[str, ...] = field(repr=False)
    url_suffix: str | None
    callback_data: str
    body_names: tuple[str, ...] = ()
    header: HeaderText | HeaderMedia | None = None
    buttons: tuple[QuickReply | CopyCode, ...] = ()
    url_index: int = 0

    def __post_init__(self) -> None:
        problems = [
            Problem(name, "must not be empty") for name in ("template", "language") if not getattr(self, name)
        ]
        problems += _envelope_problems(self.to, self.callback_data)
        if self.body_names and len(self.body_names) != len(self.body_parameters):
            problems.append(Problem("body_names", "must be one for each parameter"))
        if problems:
            raise Invalid.of(problems)

    @property
    def texts(self) -> tuple[str, ...]:
        """What was written for this person, in the order in which it is read: header, body, codes."""
        header = (self.header.text,) if isinstance(self.header, HeaderText) else ()
        codes = tuple(button.code for button in self.buttons if isinstance(button, CopyCode))
        return (*header, *self.body_parameters, *codes)

    def to_payload(self) -> dict[str, Any]:
        """The JSON body of `POST /{version}/{phone_number_id}/messages`."""
        template: dict[str, Any] = {"name": self.template, "language": {"code": self.language}}
        components = self._components()
        if components:
            template["components"] = components
        return _envelope(self.to, self.callback_data) | {"type": "template", "template": template}

    def _components(self) -> list[dict[str, Any]]:
        components: list[dict[str, Any]] = []
        if self.header is not None:
            components.append({"type": "header", "parameters": [_header(self.header)]})
        if self.body_parameters:
            names: tuple[str | None, ...] = self.body_names or (None,) * len(self.body_parameters)
            pairs = zip(names, self.body_parameters, strict=True)
            components.append({"type": "body", "parameters": [_text(value, name) for name, value in pairs]})
        buttons = [(button.index, *_button(button)) for button in self.buttons]
        if self.url_suffix is not None:
            buttons.append((self.url_index, "url", _text(self.url_suffix)))
        components += [
            {"type": "button", "sub_type": kind, "index": str(index), "parameters": [parameter]}
            for index, kind, parameter in sorted(buttons, key=lambda button: button[0])
        ]
        return components


@dataclass(frozen=True, slots=True)
class TextMessage:
    """A free text to one person; an address in it is shown with a preview."""

    to: str = field(repr=False)
    text: str = field(repr=False)
    callback_data: str

    def __post_init__(self) -> None:
        problems = _envelope_problems(self.to, self.callback_data)
        if not self.text:
            problems.append(Problem("text", "must not be empty"))
        if problems:
            raise Invalid.of(problems)

    @property
    def texts(self) -> tuple[str, ...]:
        """The text itself."""
        return (self.text,)

    @property
    def language(self) -> None:
        """A free text is in whatever language it was written in."""
        return

    def to_payload(self) -> dict[str, Any]:
        """The JSON body of `POST /{version}/{phone_number_id}/messages`."""
        text = {"preview_url": True, "body": self.text}
        return _envelope(self.to, self.callback_data) | {"type": "text", "text": text}


OutgoingMessage = TemplateMessage | TextMessage


def _envelope_problems(to: str, callback_data: str) -> list[Problem]:
    problems = []
    digits = to.removeprefix("+")
    if not (digits.isascii() and digits.isdigit()):
        problems.append(Problem("to", "must be a phone number in E.164 form"))
    if not callback_data:
        problems.append(Problem("callback_data", "must not be empty"))
    if len(callback_data) > CALLBACK_DATA_LIMIT:
        problems.append(Problem("callback_data", f"must have at most {CALLBACK_DATA_LIMIT} characters"))
    return problems


def _envelope(to: str, callback_data: str) -> dict[str, Any]:
    return {
        "messaging_product": "whatsapp",
        "recipient_type": "individual",
        "to": to.removeprefix("+"),
        "biz_opaque_callback_data": callback_data,
    }


def _header(header: HeaderText | HeaderMedia) -> dict[str, Any]:
    if isinstance(header, HeaderText):
        return _text(header.text, header.name)
    return {"type": header.kind, header.kind: {"link": header.link}}


def _button(button: QuickReply | CopyCode) -> tuple[str, dict[str, str]]:
    if isinstance(button, QuickReply):
        return "quick_reply", {"type": "payload", "payload": button.payload}
    return "copy_code", {"type": "coupon_code", "coupon_code": button.code}


def _text(value: str, name: str | None = None) -> dict[str, str]:
    named = {} if name is None else {"parameter_name": name}
    return {"type": "text", **named, "text": value}
