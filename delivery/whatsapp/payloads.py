"""What goes out: a template message as the Cloud API expects it."""

from dataclasses import dataclass, field
from typing import Any

from experiments.errors import Invalid, Problem

CALLBACK_DATA_LIMIT = 512
"""Longest `biz_opaque_callback_data` in characters."""


@dataclass(frozen=True, slots=True)
class TemplateMessage:
    """One message to one person, rendered and ready.

    `to` is an E.164 number, with or without `+`; `url_suffix` is the click token that ends the link of the template's
    dynamic URL button (None: the template has no such button); `callback_data` is our own id, echoed by every status
    webhook, and so the only way to learn what became of a POST that was never answered.
    The person's number and the words for them stay out of `repr`, and so out of logs.
    """

    to: str = field(repr=False)
    template: str
    language: str
    body_parameters: tuple[str, ...] = field(repr=False)
    url_suffix: str | None
    callback_data: str

    def __post_init__(self) -> None:
        problems = [
            Problem(name, "must not be empty")
            for name in ("template", "language", "callback_data")
            if not getattr(self, name)
        ]
        digits = self.to.removeprefix("+")
        if not (digits.isascii() and digits.isdigit()):
            problems.append(Problem("to", "must be a phone number in E.164 form"))
        if len(self.callback_data) > CALLBACK_DATA_LIMIT:
            problems.append(Problem("callback_data", f"must have at most {CALLBACK_DATA_LIMIT} characters"))
        if problems:
            raise Invalid.of(problems)

    def to_payload(self) -> dict[str, Any]:
        """The JSON body of `POST /{version}/{phone_number_id}/messages`."""
        template: dict[str, Any] = {"name": self.template, "language": {"code": self.language}}
        components: list[dict[str, Any]] = []
        if self.body_parameters:
            components.append(
                {"type": "body", "parameters": [_text(value) for value in self.body_parameters]}
            )
        if self.url_suffix is not None:
            components.append(
                {"type": "button", "sub_type": "url", "index": "0", "parameters": [_text(self.url_suffix)]}
            )
        if components:
            template["components"] = components
        return {
            "messaging_product": "whatsapp",
            "recipient_type": "individual",
            "to": self.to.removeprefix("+"),
            "type": "template",
            "biz_opaque_callback_data": self.callback_data,
            "template": template,
        }


def _text(value: str) -> dict[str, str]:
    return {"type": "text", "text": value}
