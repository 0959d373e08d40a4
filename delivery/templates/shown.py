"""A written message as its reader sees it: parameters filled into what the template declares. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from delivery.content.rendering import Written
from delivery.templates.template_shapes import Shape
from delivery.whatsapp.payloads import MAX_BODY, MAX_HEADER, CopyCode, HeaderMedia, HeaderText, QuickReply
from experiments.errors import Invalid, Problem
from experiments.treatments import MessageContent

TOKEN: Final = "<token>"  # noqa: S105  (stands for the click token, which is made when the message goes out)


@dataclass(frozen=True, slots=True)
class ShownButton:
    """`value`: where its address leads, what it copies, or what we are told when it is pressed."""

    kind: str
    text: str
    value: str | None = None


@dataclass(frozen=True, slots=True)
class Shown:
    """What one user would read, or why they cannot be written to (`error`).

    `kind` is template or text. `header_kind` is TEXT, IMAGE ..; for media `header` is their address. Without the template
    in the registry there are only the `parameters`. `fallbacks`: content sources whose fallback stands in.
    """

    user_id: str
    window_open: bool = False
    fallbacks: tuple[str, ...] = ()
    kind: str | None = None
    language: str | None = None
    parameters: tuple[str, ...] = ()
    header_kind: str | None = None
    header: str | None = None
    body: str | None = None
    footer: str | None = None
    buttons: tuple[ShownButton, ...] = ()
    error: Problem | None = None


def filled(blank: Shown, written: Written, content: MessageContent, shape: Shape | None) -> Shown:
    """`blank` with the words of a message; raises Invalid when they are longer than WhatsApp takes."""
    if written.template is None:
        return replace(blank, kind="text", body=written.text)
    header_kind, header = _header(written)
    shown = replace(
        blank,
        kind="template",
        language=written.language,
        parameters=written.parameters,
        header_kind=header_kind,
        header=header,
    )
    if shape is None:
        return shown
    names = written.names or tuple(str(number) for number in range(1, len(written.parameters) + 1))
    body = shape.body.filled(dict(zip(names, written.parameters, strict=True)))
    if shape.header_kind == "TEXT":
        header = _filled_header(shape, written)
        _check_length(header, MAX_HEADER, "header", "header.text")
    _check_length(body, MAX_BODY, "body", "parameters")
    return replace(
        shown,
        header_kind=shape.header_kind,
        header=header,
        body=body,
        footer=shape.footer or None,
        buttons=tuple(_buttons(shape, written.buttons, content)),
    )


def _header(written: Written) -> tuple[str | None, str | None]:
    if isinstance(written.header, HeaderText):
        return "TEXT", written.header.text
    if isinstance(written.header, HeaderMedia):
        return written.header.kind.upper(), written.header.link
    return None, None


def _filled_header(shape: Shape, written: Written) -> str:
    text = written.header.text if isinstance(written.header, HeaderText) else None
    variables = shape.header.variables
    return shape.header.filled({variables[0]: text} if variables and text is not None else {})


def _check_length(text: str, most: int, what: str, field: str) -> None:
    if len(text) > most:
        raise Invalid(
            f"the {what} is {len(text)} characters long for this user; WhatsApp takes {most}", field=field
        )


def _buttons(
    shape: Shape, given: Sequence[QuickReply | CopyCode], content: MessageContent
) -> list[ShownButton]:
    values = {
        button.index: button.code if isinstance(button, CopyCode) else button.payload for button in given
    }
    shown = []
    for index, button in enumerate(shape.buttons):
        value = values.get(index)
        if button.takes_token and button.url is not None:
            value = content.link or button.url.filled({"1": TOKEN})
        elif button.url is not None:
            value = button.url.text
        shown.append(ShownButton(button.kind, button.text, value))
    return shown
