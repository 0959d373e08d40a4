"""What the API asks of an issuer, without HTTP in between: its keys by many threads, and a claim that is there and says nothing."""

from concurrent.futures import ThreadPoolExecutor
from threading import Event

import httpx
import pytest
from joserfc import jwt

from api.id_tokens import ASKED_AGAIN, Issuer
from experiments.clock import SteppedClock
from experiments.errors import Refused, Unauthenticated, Unavailable
from tests.integration.identity_provider import CLIENT_ID, IdentityProvider
from tests.integration.test_sign_in import ADA, listening, provider

__all__ = ["listening", "provider"]


def test_null_is_no_silence(provider: IdentityProvider, clock: SteppedClock) -> None:
    claims = {"iss": provider.issuer, "aud": CLIENT_ID, "email": ADA, "email_verified": None, "sub": "1"}
    now = int(clock.now().timestamp())
    header = {"alg": "RS256", "kid": provider.key.kid}
    token = jwt.encode(header, claims | {"iat": now, "exp": now + 60}, provider.key, algorithms=["RS256"])
    issuer = Issuer(provider.issuer, CLIENT_ID, clock, emails_verified=True)
    with pytest.raises(Refused, match="has been verified as yours"):
        issuer.email_of(token)


def test_nobody_stands_in_line_for_an_issuer_that_hangs(
    provider: IdentityProvider, clock: SteppedClock
) -> None:
    asked, go_on = Event(), Event()
    hangs = False

    def answer(request: httpx.Request) -> httpx.Response:
        if hangs:
            asked.set()
            go_on.wait(20)
        status, _, document = provider.answer("GET", request.url.path, b"")
        return httpx.Response(status, json=document)

    issuer = Issuer(provider.issuer, CLIENT_ID, clock, transport=httpx.MockTransport(answer))
    now = clock.now().timestamp()
    known, odd = provider.sign(now=now), provider.sign(now=now, kid="made up")
    assert issuer.email_of(known) == ADA
    clock.advance(ASKED_AGAIN)
    hangs = True

    def refused() -> None:
        with pytest.raises(Unauthenticated):
            issuer.email_of(odd)

    with ThreadPoolExecutor() as pool:
        first = pool.submit(refused)
        assert asked.wait(20)
        assert issuer.email_of(known) == ADA
        with pytest.raises(Unavailable, match="does not tell its keys"):
            issuer.email_of(odd)
        assert not first.done()
        go_on.set()
        first.result(20)
