"""What a template declares, read from Meta's JSON: its texts, their variables, its buttons. Pure, and lenient: a kind that is
not known is kept by name.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

_VARIABLE: Final = re.compile(r"\{\{\s*(\w+)\s*\}\}")
MEDIA: Final = ("IMAGE", "VIDEO", "DOCUMENT")


@dataclass(frozen=True, slots=True)
class Text:
    """A text with variables such as `{{1}}` or `{{first_name}}`."""

    text: str = ""

    @property
    def variables(self) -> tuple[str, ...]:
        """Each once: numbers in their order, names as they appear."""
        names = list(dict.fromkeys(_VARIABLE.findall(self.text)))
        return tuple(sorted(names, key=int)) if all(map(str.isdigit, names)) else tuple(names)

    def filled(self, values: Mapping[str, str]) -> str:
        """The text with its variables replaced; one without a value stays as it is."""
        return _VARIABLE.sub(lambda found: values.get(found[1], found[0]), self.text)


@dataclass(frozen=True, slots=True)
class DeclaredButton:
    """`kind` as Meta writes it (URL, QUICK_REPLY, COPY_CODE ..); `url` of a button with an address."""

    kind: str
    text: str
    url: Text | None = None

    @property
    def takes_token(self) -> bool:
        """Whether its address ends with something that each message brings."""
        return self.kind == "URL" and self.url is not None and bool(self.url.variables)


@dataclass(frozen=True, slots=True)
class Shape:
    """`header_kind`: TEXT, IMAGE, VIDEO, DOCUMENT, LOCATION ..; None without a header."""

    body: Text
    header_kind: str | None = None
    header: Text = Text()
    footer: str = ""
    buttons: tuple[DeclaredButton, ...] = ()
    named: bool = False


def read_shape(components: Sequence[Any], *, parameter_format: str) -> Shape | None:
    """The shape of a template; None when it declares no body (it is known by a webhook only, or in an odd form)."""
    parts: dict[str, Mapping[str, Any]] = {
        str(part.get("type", "")).upper(): part for part in components if isinstance(part, Mapping)
    }
    if "BODY" not in parts:
        return None
    header = parts.get("HEADER")
    kind = None if header is None else str(header.get("format") or "TEXT").upper()
    buttons = parts.get("BUTTONS", {}).get("buttons")
    return Shape(
        body=Text(_text(parts["BODY"])),
        header_kind=kind,
        header=Text(_text(header)) if header is not None and kind == "TEXT" else Text(),
        footer=_text(parts["FOOTER"]) if "FOOTER" in parts else "",
        buttons=tuple(_button(one) for one in buttons) if isinstance(buttons, list) else (),
        named=parameter_format == "NAMED",
    )


def _button(value: Any) -> DeclaredButton:
    button = value if isinstance(value, Mapping) else {}
    url = button.get("url")
    return DeclaredButton(
        str(button.get("type", "")).upper(), _text(button), Text(url) if isinstance(url, str) else None
    )


def _text(part: Mapping[str, Any]) -> str:
    text = part.get("text")
    return text if isinstance(text, str) else ""
