"""WhatsApp's webhooks. Stored first, answered at once, made sense of afterwards."""

from http import HTTPStatus
from typing import Any, Final

from fastapi import APIRouter, Request, Response
from fastapi.responses import PlainTextResponse

from api.dependencies import WiringOf, wiring_of
from api.intake import DirectRoute, read_body
from delivery.whatsapp import webhooks
from experiments.errors import Refused

router = APIRouter(prefix="/webhooks/whatsapp", tags=["whatsapp"])
# Statuses come in thousands a second, so the way to this route is the short one of `intake`.
intake_router = APIRouter(prefix="/webhooks/whatsapp", tags=["whatsapp"], route_class=DirectRoute)
MAX_BODY: Final = 4_000_000
"""WhatsApp sends bodies of up to 3 MB."""
REFUSED: Final = {"description": "Not sent by who we know"}


def _text(place: str, name: str) -> dict[str, Any]:
    # Read by hand, because Meta's wrong guess is a 403 and never a 422.
    return {"name": name, "in": place, "required": False, "schema": {"type": "string"}}


@router.get(
    "",
    response_class=PlainTextResponse,
    responses={403: REFUSED},
    openapi_extra={
        "parameters": [_text("query", f"hub.{name}") for name in ("mode", "challenge", "verify_token")]
    },
)
def handshake(wiring: WiringOf, request: Request) -> Response:
    """Answer the challenge of a subscription that knows our verify token."""
    token = wiring.settings.whatsapp_verify_token.get_secret_value()
    challenge = webhooks.handshake(dict(request.query_params), token) if token else None
    if challenge is None:
        raise Refused("the verify token is not ours, or TOUCHSTONE_WHATSAPP_VERIFY_TOKEN is not set")
    return PlainTextResponse(challenge)


@intake_router.post(
    "",
    response_class=Response,
    responses={403: REFUSED},
    openapi_extra={
        "parameters": [_text("header", "X-Hub-Signature-256")],
        "requestBody": {"required": True, "content": {"application/json": {"schema": {"type": "object"}}}},
    },
)
async def receive(request: Request) -> Response:
    """Check the signature over the raw bytes, store them, answer 200."""
    wiring = wiring_of(request)
    body = await read_body(request, MAX_BODY)
    secret = wiring.settings.whatsapp_app_secret.get_secret_value()
    signature = request.headers.get("x-hub-signature-256")
    if not secret or not webhooks.verify_signature(secret, body, signature):
        raise Refused("the signature does not fit the body", field="X-Hub-Signature-256")
    await wiring.webhooks.commit(body)
    return Response(status_code=HTTPStatus.OK)
