"""Which pages of browsers may use the doors that are meant for them; every other path stays closed to foreign pages."""

from typing import Final

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

DOORS: Final = ("/ofrep/", "/api/features/")
_HEADERS: Final = ("authorization", "content-type", "if-none-match", "x-api-key")


class CorsOnDoors:
    """CORS for evaluation only. Keys travel in headers or in the path and never in cookies, so any origin may be allowed.

    origins: addresses separated by commas, `*` for all, nothing for none.
    """

    def __init__(self, app: ASGIApp, *, origins: str) -> None:
        self._app = app
        self._open = CORSMiddleware(
            app,
            allow_origins=[origin.strip() for origin in origins.split(",") if origin.strip()],
            allow_methods=("GET", "POST"),
            allow_headers=_HEADERS,
            expose_headers=("ETag", "Retry-After"),
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, through CORS when the path is a door."""
        is_door = scope["type"] == "http" and scope["path"].startswith(DOORS)
        await (self._open if is_door else self._app)(scope, receive, send)
