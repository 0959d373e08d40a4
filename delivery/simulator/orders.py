"""What a POST to `/messages` orders, checked as the Graph API checks it. Pure."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from delivery.simulator.components import fill
from delivery.simulator.graph import GraphError
from delivery.simulator.registry import Registry, Template

CALLBACK_DATA_LIMIT = 512
TEXT_LIMIT = 4096


@dataclass(frozen=True, slots=True)
class Order:
    """A valid request to send.

    `template` is a name, None for free text; `known` what the registry says of it, None when it knows none at all.
    `token` is the parameter of the dynamic URL button, `payloads` those of quick replies by position.
    """

    to: str
    template: str | None
    token: str | None
    known: Template | None = None
    payloads: Mapping[int, str] = field(default_factory=dict)


def read_body(raw: bytes) -> tuple[dict[str, Any], str | None]:
    """A request body, and its `biz_opaque_callback_data`; raises GraphError as the Graph API does."""
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise GraphError(100, "The request body is not JSON") from error
    if not isinstance(body, dict) or body.get("messaging_product") != "whatsapp":
        raise GraphError(100, "The parameter messaging_product is required and must be whatsapp")
    callback_data = body.get("biz_opaque_callback_data")
    if callback_data is not None and (
        not isinstance(callback_data, str) or len(callback_data) > CALLBACK_DATA_LIMIT
    ):
        raise GraphError(100, f"biz_opaque_callback_data must be a text of at most {CALLBACK_DATA_LIMIT}")
    return body, callback_data


def read_order(body: Mapping[str, Any], registry: Registry, *, sender: str) -> Order:
    """The order in a body; raises GraphError as the Graph API does. `sender` is the digits of our own number."""
    kind = body.get("type", "text")
    if kind not in ("template", "text"):
        raise GraphError(131051, f"This simulator sends templates and plain text only, not {kind!s:.40}")
    to = body.get("to")
    if not to:
        raise GraphError(131008, "The parameter to is required")
    digits = to.removeprefix("+") if isinstance(to, str) else ""
    if not (digits.isascii() and digits.isdigit()):
        raise GraphError(131009, "The parameter to is not a phone number")
    if digits == sender:
        raise GraphError(131021, "Sender and recipient phone number is the same")
    if kind == "text":
        _check_text(body.get("text"))
        return Order(digits, None, None)
    name, known, components = _find(body.get("template"), registry)
    filled = fill(components, known.shape if known is not None else None)
    return Order(digits, name, filled.token, known, filled.payloads)


def _check_text(text: Any) -> None:
    words = text.get("body") if isinstance(text, dict) else None
    if not isinstance(words, str) or not words:
        raise GraphError(131008, "The parameter text.body is required")
    if len(words) > TEXT_LIMIT:
        raise GraphError(100, f"Param text['body'] must be at most {TEXT_LIMIT} characters long")


def _find(template: Any, registry: Registry) -> tuple[str, Template | None, Any]:
    """The template's name, what is known of it, and the components of the message."""
    if not isinstance(template, dict) or not isinstance(template.get("name"), str):
        raise GraphError(131008, "The parameter template.name is required")
    language = template.get("language")
    code = language.get("code") if isinstance(language, dict) else None
    if not isinstance(code, str) or not code:
        raise GraphError(131008, "The parameter template.language.code is required")
    name: str = template["name"]
    return name, registry.find(name, code), template.get("components", [])
