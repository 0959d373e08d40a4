"""Signing in and out with an account."""

from dashboard import values
from dashboard.client import Client


def begin(api_url: str, id_token: str) -> str:
    """The key of a session for whom the ID token names. Raises ApiError when the API does not let them in."""
    client = Client(api_url, None)
    try:
        answer = values.mapping(client.ask("POST", "/v1/sessions", json={"id_token": id_token}))
        key = values.text(answer.get("key"))
        if not key:
            raise client.unreadable("/v1/sessions")
        return key
    finally:
        client.close()


def end(client: Client) -> None:
    """Make the key of this session useless."""
    client.send("DELETE", "/v1/sessions/self")
