"""The Graph API's side of a conversation: what it checks in a message, and the words of its answers. Pure."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from delivery.simulator.behaviour import Treatment

CALLBACK_DATA_LIMIT = 512

TITLES = {
    100: "Invalid parameter",
    190: "Authentication Error",
    130429: "Rate limit hit",
    130472: "User's number is part of an experiment",
    131008: "Required parameter is missing",
    131009: "Parameter value is not valid",
    131021: "Recipient cannot be sender",
    131026: "Message undeliverable",
    131049: "This message was not delivered to maintain healthy ecosystem engagement.",
    131051: "Unsupported message type",
    132000: "Number of parameters does not match the expected number of params",
    132001: "Template name does not exist in the translation",
}
_HTTP_STATUS = {190: 401, 132001: 404}


@dataclass(frozen=True, slots=True)
class Answer:
    """What the server says. `wait` is in seconds of real time; `drop` cuts the connection instead of answering."""

    status: int
    body: bytes
    wait: float = 0.0
    drop: bool = False
    media_type: str = "application/json"


@dataclass(frozen=True, slots=True)
class Order:
    """A valid request to send: `token` is the parameter of the dynamic URL button."""

    to: str
    template: str
    token: str | None
    callback_data: str | None


class GraphError(Exception):
    """A refusal with Meta's code."""

    def __init__(self, code: int, details: str) -> None:
        super().__init__(details)
        self.code = code
        self.details = details


def refusal(code: int, details: str) -> Answer:
    """An error as the Graph API words it."""
    error = {
        "message": f"(#{code}) {TITLES[code]}",
        "type": "OAuthException",
        "code": code,
        "error_data": {"messaging_product": "whatsapp", "details": details},
        "fbtrace_id": "simulated",
    }
    return Answer(_HTTP_STATUS.get(code, 400), json.dumps({"error": error}).encode())


def acceptance(order: Order, wamid: str) -> bytes:
    """The body of a 200: accepted, which is not delivered."""
    return json.dumps(
        {
            "messaging_product": "whatsapp",
            "contacts": [{"input": order.to, "wa_id": order.to.removeprefix("+")}],
            "messages": [{"id": wamid, "message_status": "accepted"}],
        }
    ).encode()


def read_order(raw: bytes, templates: Mapping[str, Treatment], *, sender: str) -> Order:
    """The order in a request body; raises GraphError as the Graph API does.

    When `templates` is empty every template is known; `sender` is the digits of our own number.
    """
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise GraphError(100, "The request body is not JSON") from error
    if not isinstance(body, dict) or body.get("messaging_product") != "whatsapp":
        raise GraphError(100, "The parameter messaging_product is required and must be whatsapp")
    kind = body.get("type", "text")
    if kind != "template":
        raise GraphError(131051, f"This simulator sends templates only, not {kind!s:.40}")
    callback_data = body.get("biz_opaque_callback_data")
    if callback_data is not None and (
        not isinstance(callback_data, str) or len(callback_data) > CALLBACK_DATA_LIMIT
    ):
        raise GraphError(100, f"biz_opaque_callback_data must be a text of at most {CALLBACK_DATA_LIMIT}")
    to = body.get("to")
    if not to:
        raise GraphError(131008, "The parameter to is required")
    digits = to.removeprefix("+") if isinstance(to, str) else ""
    if not (digits.isascii() and digits.isdigit()):
        raise GraphError(131009, "The parameter to is not a phone number")
    if digits == sender:
        raise GraphError(131021, "Sender and recipient phone number is the same")
    name, token = _read_template(body.get("template"), templates)
    return Order(digits, name, token, callback_data)


def _read_template(template: Any, templates: Mapping[str, Treatment]) -> tuple[str, str | None]:
    """The template's name and the click token."""
    if not isinstance(template, dict) or not isinstance(template.get("name"), str):
        raise GraphError(131008, "The parameter template.name is required")
    language = template.get("language")
    code = language.get("code") if isinstance(language, dict) else None
    if not isinstance(code, str) or not code:
        raise GraphError(131008, "The parameter template.language.code is required")
    name: str = template["name"]
    known = templates.get(name)
    if templates and (known is None or known.language not in (None, code)):
        raise GraphError(132001, f"template name ({name:.60}) does not exist in {code:.20}")
    parameters, token = 0, None
    components = template.get("components", [])
    if not isinstance(components, list):
        raise GraphError(131009, "The parameter template.components must be a list")
    for component in components:
        texts = _texts(component)
        if component["type"].lower() == "body":
            parameters = len(texts)
        elif component["type"].lower() == "button" and component.get("sub_type") == "url":
            token = texts[0] if texts else None
    if known is not None and known.parameters not in (None, parameters):
        raise GraphError(
            132000,
            f"body: number of localizable_params ({parameters}) does not match the expected ({known.parameters})",
        )
    return name, token


def _texts(component: Any) -> list[str]:
    """The texts of a component's parameters, every one of them checked."""
    if not isinstance(component, dict) or not isinstance(component.get("type"), str):
        raise GraphError(131009, "A component of the template has no type")
    parameters = component.get("parameters", [])
    if not isinstance(parameters, list):
        raise GraphError(131009, "The parameters of a component must be a list")
    texts = []
    for parameter in parameters:
        text = parameter.get("text") if isinstance(parameter, dict) else None
        if not isinstance(text, str) or not text:
            raise GraphError(131008, "A parameter of the template has no text")
        texts.append(text)
    return texts
