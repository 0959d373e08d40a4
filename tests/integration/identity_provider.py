"""A provider of OpenID Connect on loopback: it signs people in without asking, and its keys can be changed.

`/authorize` sends the browser back at once, `/token` gives the ID token, `/jwks` the keys. What it says of the person is `person`.
"""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey

CLIENT_ID = "touchstone-dashboard"
CLIENT_SECRET = "client-secret"


class IdentityProvider:
    """`asked` are the paths that were asked for. A broken one answers nothing but errors."""

    def __init__(self) -> None:
        self.url = ""
        self.asked: list[str] = []
        self.broken = False
        self.person: dict[str, Any] = {"sub": "1", "email": "ada@example.com", "email_verified": True}
        self.published: list[RSAKey | ECKey] = []
        self.rotate(RSAKey.generate_key(2048, {"kid": "first", "use": "sig"}))
        self._codes: dict[str, str | None] = {}

    @property
    def issuer(self) -> str:
        return self.url

    def rotate(self, key: RSAKey | ECKey) -> None:
        """Sign with this key from now on, and publish no other."""
        self.key = key
        self.published = [key]

    def sign(
        self, *, now: float, algorithm: str = "RS256", key: Any = None, kid: str | None = None, **claims: Any
    ) -> str:
        """An ID token of `person`, an hour long; a claim that is None is left out."""
        whole = {
            "iss": self.issuer,
            "aud": CLIENT_ID,
            "iat": int(now),
            "exp": int(now) + 3600,
            **self.person,
            **claims,
        }
        header = {"alg": algorithm, "kid": self.key.kid if kid is None else kid}
        kept = {name: value for name, value in whole.items() if value is not None}
        return jwt.encode(header, kept, key or self.key, algorithms=[algorithm])

    def answer(self, method: str, target: str, body: bytes) -> tuple[int, dict[str, str], Any]:
        """Status, headers and the document to one request."""
        path, query = urlsplit(target).path, parse_qs(urlsplit(target).query)
        self.asked.append(path)
        if self.broken:
            return 500, {}, {}
        if path == "/.well-known/openid-configuration":
            return 200, {}, self._about()
        if path == "/jwks":
            return 200, {}, {"keys": [key.as_dict(private=False) for key in self.published]}
        if path == "/authorize":
            code = f"code-{len(self._codes)}"
            self._codes[code] = query.get("nonce", [None])[0]
            back = urlencode({"code": code, "state": query["state"][0]})
            return 302, {"Location": f"{query['redirect_uri'][0]}?{back}"}, {}
        if (method, path) == ("POST", "/token"):
            code = parse_qs(body.decode())["code"][0]
            token = self.sign(now=time.time(), nonce=self._codes.pop(code))
            return 200, {}, {"access_token": "a", "token_type": "Bearer", "expires_in": 60, "id_token": token}
        return 404, {}, {}

    def _about(self) -> dict[str, Any]:
        return {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.url}/authorize",
            "token_endpoint": f"{self.url}/token",
            "jwks_uri": f"{self.url}/jwks",
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256", "ES256"],
        }


@contextmanager
def served() -> Iterator[IdentityProvider]:
    """A provider that listens on loopback."""
    provider = IdentityProvider()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            status, headers, document = provider.answer(self.command, self.path, self.rfile.read(length))
            content = json.dumps(document).encode()
            self.send_response(status)
            for name, value in {"Content-Type": "application/json", **headers}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_POST = do_GET  # noqa: N815  # the name is that of the base class

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    provider.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield provider
    server.shutdown()
    server.server_close()
    thread.join()
