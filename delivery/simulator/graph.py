"""The Graph API's side of a conversation: the words of its answers. Pure."""

import json
from dataclasses import dataclass
from typing import Literal

TITLES = {
    33: "Parameter value is not valid",
    100: "Invalid parameter",
    190: "Authentication Error",
    130429: "Rate limit hit",
    130472: "User's number is part of an experiment",
    131000: "Something went wrong",
    131008: "Required parameter is missing",
    131009: "Parameter value is not valid",
    131016: "Service unavailable",
    131021: "Recipient cannot be sender",
    131026: "Message undeliverable",
    131031: "Account has been locked",
    131042: "Business eligibility payment issue",
    131047: "Re-engagement message",
    131048: "Spam rate limit hit",
    131049: "This message was not delivered to maintain healthy ecosystem engagement.",
    131050: "User has stopped marketing messages",
    131051: "Unsupported message type",
    131056: "(Business Account, Consumer Account) pair rate limit hit",
    132000: "Number of parameters does not match the expected number of params",
    132001: "Template name does not exist in the translation",
    132012: "Parameter format does not match format in the created template",
    132015: "Template is paused",
    132016: "Template is disabled",
    132018: "There is an issue with the parameters in your template",
}
_HTTP_STATUS = {190: 401, 132001: 404}


def title(code: int) -> str:
    """What Meta calls an error."""
    return TITLES.get(code, "Error")


@dataclass(frozen=True, slots=True)
class Answer:
    """What the server says. `wait` is in seconds of real time; `cut` ends the connection instead of answering, or half way
    through the answer.
    """

    status: int
    body: bytes
    wait: float = 0.0
    cut: Literal["", "whole", "half"] = ""
    media_type: str = "application/json"


class GraphError(Exception):
    """A refusal with Meta's code."""

    def __init__(self, code: int, details: str) -> None:
        super().__init__(details)
        self.code = code
        self.details = details


def refusal(code: int, details: str) -> Answer:
    """An error as the Graph API words it."""
    error = {
        "message": f"(#{code}) {title(code)}",
        "type": "OAuthException",
        "code": code,
        "error_data": {"messaging_product": "whatsapp", "details": details},
        "fbtrace_id": "simulated",
    }
    return Answer(_HTTP_STATUS.get(code, 400), json.dumps({"error": error}).encode())


def bad_gateway() -> Answer:
    """A 5xx from something before the API, which knows no JSON."""
    return Answer(502, b"<html>Bad Gateway</html>", media_type="text/html")


def acceptance(to: str, wamid: str, message_status: str | None = "accepted") -> bytes:
    """The body of a 200: accepted, which is not delivered. Free text has no `message_status`."""
    message = {"id": wamid}
    if message_status is not None:
        message["message_status"] = message_status
    return json.dumps(
        {
            "messaging_product": "whatsapp",
            "contacts": [{"input": to, "wa_id": to.removeprefix("+")}],
            "messages": [message],
        }
    ).encode()
