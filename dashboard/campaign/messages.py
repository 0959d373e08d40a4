"""What a template asks to be filled in, from WhatsApp's own description of it. Pure."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from dashboard.campaign.documents import at, items_at

_VARIABLE: Final = re.compile(r"\{\{\s*(\w+)\s*\}\}")

_IN_BRACES: Final = re.compile(r"\{\{.*?\}\}|\{%.*?%\}", re.DOTALL)
_PLAIN_WORDS: Final = frozenset({"coupon", "now", "experiment", "variant"})
_KNOWN_PATH: Final = re.compile(
    r"(?<![\w./@-])(?:(?:user|content)\.[A-Za-z_]\w*|events\[[\"'][^\]]*\])(?![@\w])"
)


@dataclass(frozen=True, slots=True)
class AskedButton:
    """A button that needs something: the payload of a quick reply, the code that it copies, or where its address leads."""

    kind: str
    index: int
    text: str


@dataclass(frozen=True, slots=True)
class Asked:
    """What a template asks for: the variables of its body (by number or name), its header, its buttons."""

    body: str
    named: bool
    variables: tuple[str, ...]
    header: str | None
    header_variable: str | None
    buttons: tuple[AskedButton, ...]


def asked_by(template: Mapping[str, Any]) -> Asked:
    """What has to be filled in for a template as the registry shows it."""
    components = [part for part in items_at(template, ("components",)) if isinstance(part, Mapping)]
    body = next((str(part.get("text", "")) for part in components if _type(part) == "BODY"), "")
    header = next((part for part in components if _type(part) == "HEADER"), {})
    kind = str(header.get("format", "TEXT")).lower() if header else None
    in_header = variables(str(header.get("text", "")))
    if kind == "text":
        kind = "text" if in_header else None
    named = str(template.get("parameter_format", "")).upper() == "NAMED"
    return Asked(
        body=body,
        named=named,
        variables=variables(body),
        header=kind if kind in {"text", "image", "video", "document"} else None,
        header_variable=in_header[0] if named and in_header else None,
        buttons=tuple(_buttons(components)),
    )


def variables(text: str) -> tuple[str, ...]:
    """The variables of a text: numbers in their order, names as they come.

    >>> variables("Hi {{2}}, {{ 1 }} and {{2}}"), variables("Hi {{first_name}}")
    (('1', '2'), ('first_name',))
    """
    found = list(dict.fromkeys(_VARIABLE.findall(text)))
    return tuple(sorted(found, key=int)) if all(name.isdecimal() for name in found) else tuple(found)


def unbraced(text: str) -> str | None:
    """What is known of a user but stands in a text without its double braces, so that readers get it letter by letter.

    Words that are also plain words, such as coupon, only when they are the whole text.

    >>> unbraced("Hi user.first_name"), unbraced("{ coupon }"), unbraced("Hi {{ user.first_name }}, your coupon")
    ('user.first_name', 'coupon', None)
    """
    bare = _IN_BRACES.sub(" ", text)
    alone = bare.strip().strip("{}").strip()
    if alone in _PLAIN_WORDS:
        return alone
    found = _KNOWN_PATH.search(bare)
    return found[0] if found else None


def _type(component: Mapping[str, Any]) -> str:
    return str(component.get("type", "")).upper()


def _buttons(components: Sequence[Mapping[str, Any]]) -> list[AskedButton]:
    buttons = [
        button for part in components if _type(part) == "BUTTONS" for button in items_at(part, ("buttons",))
    ]
    found = []
    for index, button in enumerate(buttons):
        kind = str(at(button, ("type",), "")).upper()
        text = str(at(button, ("text",), ""))
        if kind in {"QUICK_REPLY", "COPY_CODE"}:
            found.append(AskedButton(kind.lower(), index, text))
        elif kind == "URL" and variables(str(at(button, ("url",), ""))):
            found.append(AskedButton("url", index, text))
    return found


def with_asked(message: Mapping[str, Any], asked: Asked) -> dict[str, Any]:
    """The message with a place for each variable of its template, and none too many; what is filled in stays."""
    old = message.get("parameters")
    if asked.named:
        was = old if isinstance(old, Mapping) else {}
        filled: Any = {name: str(was.get(name, "")) for name in asked.variables}
    else:
        given = list(old) if isinstance(old, list | tuple) else []
        filled = [str(given[i]) if i < len(given) else "" for i in range(len(asked.variables))]
    rest = {name: value for name, value in message.items() if name != "parameters"}
    return {**rest, "parameters": filled} if asked.variables else rest
