"""A template's components: what it declares, and whether a message's components fit it. Pure.

Declared as the Graph API lists them (`HEADER`, `BODY`, `FOOTER`, `BUTTONS` with `{{1}}` or `{{name}}`), given as a message
carries them (`header`, `body`, `button`, each with `parameters`). What does not fit gets Meta's code.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from delivery.simulator.graph import GraphError
from experiments.errors import Invalid

MEDIA = ("image", "video", "document")
_VARIABLE = re.compile(r"\{\{\s*(\w+)\s*\}\}")
_DYNAMIC = {"QUICK_REPLY": "quick_reply", "URL": "url", "COPY_CODE": "copy_code"}
_HEADERS = ("TEXT", "IMAGE", "VIDEO", "DOCUMENT", "LOCATION")
_BUTTONS = (*_DYNAMIC, "PHONE_NUMBER", "FLOW", "OTP", "CATALOG", "MPM", "SPM", "VOICE_CALL")


@dataclass(frozen=True, slots=True)
class Button:
    """`sub_type` as a message names it, None for a kind that takes no parameter; `required`: it must be given one."""

    text: str
    sub_type: str | None
    required: bool


@dataclass(frozen=True, slots=True)
class Shape:
    """What a message must fill in. `header` is None or TEXT, IMAGE ..; variables in their order.

    `body` None: any number is taken. `loose`: header and buttons are not checked, as for a template of which only the
    behaviour is known.
    """

    header: str | None = None
    header_variables: tuple[str, ...] = ()
    body: tuple[str, ...] | None = ()
    buttons: tuple[Button, ...] = ()
    named: bool = False
    loose: bool = False

    @property
    def quick_replies(self) -> tuple[tuple[int, str], ...]:
        """Position and text of each."""
        return tuple((n, one.text) for n, one in enumerate(self.buttons) if one.sub_type == "quick_reply")


@dataclass(frozen=True, slots=True)
class Filled:
    """What a message fills in: the click token and, by position of the quick reply, the payloads."""

    token: str | None = None
    payloads: Mapping[int, str] = field(default_factory=dict)


def read_shape(components: Any, where: str, *, named: bool | None = None) -> Shape:
    """The shape that declared components have; `named` None: told by the variables. Raises Invalid by path."""
    if not isinstance(components, list) or not all(isinstance(one, dict) for one in components):
        raise Invalid("must be a list of objects", field=where)
    header: str | None = None
    texts: dict[str, str] = {}
    buttons: tuple[Button, ...] = ()
    for position, component in enumerate(components):
        at = f"{where}[{position}]"
        kind = str(component.get("type", "")).upper()
        if kind in texts or (kind == "BUTTONS" and buttons):
            raise Invalid("is there twice", field=f"{at}.type")
        if kind in ("HEADER", "BODY", "FOOTER"):
            form = str(component.get("format", "TEXT")).upper() if kind == "HEADER" else "TEXT"
            if form not in _HEADERS:
                raise Invalid(f"must be one of {', '.join(_HEADERS)}", field=f"{at}.format")
            header = form if kind == "HEADER" else header
            texts[kind] = _required_text(component, "text", at) if form == "TEXT" else ""
        elif kind == "BUTTONS":
            buttons = _read_buttons(component.get("buttons"), f"{at}.buttons")
        else:
            raise Invalid("must be HEADER, BODY, FOOTER or BUTTONS", field=f"{at}.type")
    if "BODY" not in texts:
        raise Invalid("must have a BODY", field=where)
    body, head = _variables(texts["BODY"]), _variables(texts.get("HEADER", ""))
    numbers = all(name.isdigit() for name in (*body, *head))
    if named is None:
        named = not numbers
    if not named and (not numbers or [int(name) for name in body] != list(range(1, len(body) + 1))):
        raise Invalid("positional variables must be {{1}}, {{2}} ..", field=where)
    return Shape(header, head, body, buttons, named)


def _read_buttons(value: Any, where: str) -> tuple[Button, ...]:
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
        raise Invalid("must be a list of objects", field=where)
    buttons = []
    for position, one in enumerate(value):
        kind = str(one.get("type", "")).upper()
        if kind not in _BUTTONS:
            raise Invalid(f"must be one of {', '.join(_BUTTONS)}", field=f"{where}[{position}].type")
        dynamic = kind == "COPY_CODE" or (kind == "URL" and bool(_variables(str(one.get("url", "")))))
        sub_type = _DYNAMIC.get(kind) if dynamic or kind == "QUICK_REPLY" else None
        text = one.get("text", "Copy code" if kind == "COPY_CODE" else None)
        if not isinstance(text, str) or not text:
            raise Invalid("must be a text", field=f"{where}[{position}].text")
        buttons.append(Button(text, sub_type, dynamic))
    return tuple(buttons)


def _required_text(component: Mapping[str, Any], name: str, where: str) -> str:
    text = component.get(name)
    if not isinstance(text, str) or not text:
        raise Invalid("must be a text", field=f"{where}.{name}")
    return text


def _variables(text: str) -> tuple[str, ...]:
    """Each variable once, positional ones in the order of their numbers."""
    names = list(dict.fromkeys(_VARIABLE.findall(text)))
    return tuple(sorted(names, key=int) if all(name.isdigit() for name in names) else names)


def fill(components: Any, shape: Shape | None) -> Filled:
    """What a message's components fill in; raises GraphError when they do not fit `shape` (None: anything fits)."""
    if not isinstance(components, list):
        raise GraphError(131009, "The parameter template.components must be a list")
    body: Sequence[dict[str, Any]] = ()
    header: Sequence[dict[str, Any]] = ()
    buttons: dict[int, tuple[str, Any]] = {}
    for component in components:
        parameters = _parameters(component)
        kind = component["type"].lower()
        if kind == "body":
            body = parameters
        elif kind == "header":
            header = parameters
        elif kind == "button":
            position = _index(component.get("index", "0"))
            buttons[position] = (str(component.get("sub_type", "")).lower(), parameters)
        else:
            raise GraphError(
                131009, f"A component of the template has the type {kind:.20}, which is not known"
            )
    if shape is not None:
        _check_variables("body", body, shape.body, named=shape.named)
        if not shape.loose:
            _check_header(header, shape)
            _check_buttons(buttons, shape)
    token, payloads = None, {}
    for position, (sub_type, parameters) in sorted(buttons.items()):
        value = _value(parameters[0]) if parameters else None
        if sub_type == "url" and token is None:
            token = value
        elif sub_type == "quick_reply" and value is not None:
            payloads[position] = value
    return Filled(token, payloads)


def _parameters(component: Any) -> list[dict[str, Any]]:
    """A component's parameters, every one of them checked by itself."""
    if not isinstance(component, dict) or not isinstance(component.get("type"), str):
        raise GraphError(131009, "A component of the template has no type")
    parameters = component.get("parameters", [])
    if not isinstance(parameters, list):
        raise GraphError(131009, "The parameters of a component must be a list")
    for parameter in parameters:
        if not isinstance(parameter, dict):
            raise GraphError(131009, "A parameter of the template must be an object")
        _check_parameter(parameter)
    return parameters


def _check_parameter(parameter: Mapping[str, Any]) -> None:
    kind = parameter.get("type", "text")
    if kind in MEDIA:
        media = parameter.get(kind)
        link = media.get("link") if isinstance(media, dict) else None
        known = media.get("id") if isinstance(media, dict) else None
        if link is None and known is None:
            raise GraphError(131008, f"A parameter of the template needs {kind}.link or {kind}.id")
        if link is not None and not (isinstance(link, str) and link.startswith(("http://", "https://"))):
            raise GraphError(131009, f"The parameter {kind}.link must be a URL")
    elif kind in ("text", "payload", "coupon_code"):
        value = _value(parameter)
        if not isinstance(value, str) or not value:
            raise GraphError(131008, f"A parameter of the template has no {kind}")
    elif kind in ("currency", "date_time", "location"):
        if not isinstance(parameter.get(kind), dict):
            raise GraphError(131008, f"A parameter of the template has no {kind}")
    else:
        raise GraphError(131009, f"A parameter of the template has the type {kind!s:.20}, which is not known")


def _value(parameter: Mapping[str, Any]) -> str | None:
    """The text, payload or coupon code of a parameter."""
    value = parameter.get(parameter.get("type", "text"))
    return value if isinstance(value, str) else None


def _index(value: Any) -> int:
    text = str(value)
    if not text.isdecimal() or int(text) > 9:
        raise GraphError(131009, "The index of a button must be between 0 and 9")
    return int(text)


def _check_variables(
    part: str, given: Sequence[Mapping[str, Any]], expected: Sequence[str] | None, *, named: bool
) -> None:
    if expected is None:
        return
    if len(given) != len(expected):
        raise GraphError(
            132000,
            f"{part}: number of localizable_params ({len(given)}) does not match the expected number of params "
            f"({len(expected)})",
        )
    names = [parameter.get("parameter_name") for parameter in given]
    if named and (None in names or set(names) != set(expected)):
        raise GraphError(
            132012, f"{part}: the parameter_name of each parameter must be one of {', '.join(expected)}"
        )
    if not named and any(name is not None for name in names):
        raise GraphError(132012, f"{part}: the template has positional parameters, not named ones")


def _check_header(given: Sequence[Mapping[str, Any]], shape: Shape) -> None:
    if shape.header in (None, "TEXT"):
        _check_variables("header", given, shape.header_variables, named=shape.named)
        kinds = {"text", "currency", "date_time"}
    else:
        kinds = {str(shape.header).lower()}
        if len(given) != 1:
            raise GraphError(132012, f"header: Format mismatch, expected {shape.header}, received none")
    for parameter in given:
        kind = parameter.get("type", "text")
        if kind not in kinds:
            raise GraphError(
                132012, f"header: Format mismatch, expected {shape.header}, received {str(kind).upper():.20}"
            )


def _check_buttons(given: Mapping[int, tuple[str, Sequence[Mapping[str, Any]]]], shape: Shape) -> None:
    for position, (sub_type, parameters) in given.items():
        button = shape.buttons[position] if position < len(shape.buttons) else None
        if button is None or button.sub_type != sub_type:
            raise GraphError(132018, f"buttons: the button at index {position} takes no {sub_type:.20}")
        if len(parameters) != 1:
            raise GraphError(132018, f"buttons: the button at index {position} takes one parameter")
        kind = parameters[0].get("type", "text")
        expected = {"url": ("text",), "quick_reply": ("payload",), "copy_code": ("coupon_code",)}[sub_type]
        if kind not in expected:
            raise GraphError(
                132012, f"buttons: the button at index {position} takes a {expected[0]}, not {kind!s:.20}"
            )
    for position, button in enumerate(shape.buttons):
        if button.required and position not in given:
            raise GraphError(
                131008, f"buttons: Button at index {position} of type {button.sub_type} requires a parameter"
            )
