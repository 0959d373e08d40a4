"""ID tokens of OpenID Connect: who vouches for whom, checked here and taken on nobody's word.

What is checked is section 3.1.3.7 of OpenID Connect Core 1.0: the signature by a key that the issuer publishes (RS256 or ES256,
nothing else), `iss`, `aud`, `azp`, `exp`, `nbf`, `iat`; and that the issuer knows the e-mail to be the person's own.
"""

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import httpx
from joserfc import jws, jwt
from joserfc.errors import (
    ExpiredTokenError,
    InvalidClaimError,
    InvalidKeyIdError,
    JoseError,
    MissingClaimError,
)
from joserfc.jwk import JWKRegistry, KeySet

from experiments.clock import Clock
from experiments.errors import Refused, Unauthenticated, Unavailable
from experiments.settings import is_secret_on_its_way

ALGORITHMS: Final = ("RS256", "ES256")
LEEWAY: Final = 60
"""Seconds by which the clocks of the issuer and of this machine may differ."""
KEYS_KEPT: Final = timedelta(hours=1)
ASKED_AGAIN: Final = timedelta(seconds=10)
"""Anybody may send a token that names any key: no matter what comes, the issuer is asked no more often than this."""
PATIENCE: Final = 1.0
"""Seconds that a sign-in waits for another one that is asking the issuer."""
MOST_BYTES: Final = 1_000_000
_SIGN_IN_AGAIN: Final = "sign in with your account again"


@dataclass(frozen=True, slots=True)
class _Published:
    keys: KeySet
    at: datetime


class Issuer:
    """The keys that an issuer publishes, asked for when needed and kept for an hour. For many threads.

    `emails_verified`: whoever runs this says that the issuer gives nobody an address that is not theirs, so that its silence about
    `email_verified` is no doubt. `transport` lets a test answer without a network.
    """

    def __init__(
        self,
        issuer: str,
        audience: str,
        clock: Clock,
        *,
        emails_verified: bool = False,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._issuer = issuer
        self._audience = audience
        self._clock = clock
        self._emails_verified = emails_verified
        self._transport = transport
        self._lock = threading.Lock()
        self._published: _Published | None = None
        self._asked_at: datetime | None = None

    def email_of(self, id_token: str) -> str:
        """The e-mail of the person whom the issuer vouches for.

        Raises Unauthenticated for a token that proves nothing, Refused when the issuer has not verified the e-mail, and
        Unavailable when the issuer does not tell its keys.
        """
        claims = self._claims(id_token)
        email = claims.get("email")
        if not isinstance(email, str) or not email.strip() or not email.isprintable():
            raise Refused("your account tells no e-mail; ask whoever runs it to release the scope email")
        self._check_verified(claims, email)
        return email

    def _check_verified(self, claims: Mapping[str, Any], email: str) -> None:
        """Raise Refused unless the e-mail is known to be the person's own: the issuer says so, or never says and is believed."""
        if "email_verified" not in claims:
            if self._emails_verified:
                return
            raise Refused(
                f"your account does not say whether {email} has been verified as yours; an admin can say that your provider's "
                "addresses are (TOUCHSTONE_OIDC_EMAILS_VERIFIED, docs/dashboard.md), or sign in with an API key"
            )
        verified = claims["email_verified"]
        # Some issuers write their booleans as text; a number is none, although Python holds 1 == True.
        if verified is not True and verified != "true":
            raise Refused(
                f"your account does not say that {email} has been verified as yours; verify it there, and sign in again"
            )

    def _claims(self, id_token: str) -> Mapping[str, Any]:
        try:
            keys = self._keys_for(id_token)
            claims = jwt.decode(id_token, keys, algorithms=ALGORITHMS).claims
        except (JoseError, ValueError) as error:
            raise Unauthenticated(
                f"the ID token is not signed by {self._issuer}; {_SIGN_IN_AGAIN}"
            ) from error
        audience = claims.get("aud")
        # A token for several was asked for by one of them, and that must have been us (section 3.1.3.7, points 3 and 4).
        for_several = isinstance(audience, list) and len(audience) > 1
        wanted = jwt.JWTClaimsRegistry(
            now=int(self._clock.now().timestamp()),
            leeway=LEEWAY,
            iss={"essential": True, "value": self._issuer},
            aud={"essential": True, "value": self._audience},
            sub={"essential": True},
            exp={"essential": True},
            iat={"essential": True},
            azp={"essential": for_several, "value": self._audience},
        )
        try:
            wanted.validate(claims)
        except ExpiredTokenError as error:
            raise Unauthenticated(f"the ID token has expired; {_SIGN_IN_AGAIN}") from error
        except (InvalidClaimError, MissingClaimError, TypeError, OverflowError) as error:
            raise Unauthenticated(f"the ID token is not for us, or not yet: {error}") from error
        return claims

    def _keys_for(self, id_token: str) -> KeySet:
        """The issuer's keys, asked for anew when the token names one that we have not seen."""
        kid = jws.extract_compact(id_token.encode()).headers().get("kid")
        held = self._published
        if held is not None and self._is_good(held, kid):
            return held.keys
        # While one asks an issuer that is slow the others do not stand in line: each holds a thread of the whole server.
        if not self._lock.acquire(timeout=PATIENCE):
            raise self._silent()
        try:
            return self._asked_for(kid).keys
        finally:
            self._lock.release()

    def _is_good(self, held: _Published, kid: object) -> bool:
        return self._clock.now() - held.at < KEYS_KEPT and _has(held.keys, kid)

    def _asked_for(self, kid: object) -> _Published:
        now, held = self._clock.now(), self._published
        if held is not None and self._is_good(held, kid):
            return held
        if self._asked_at is not None and now - self._asked_at < ASKED_AGAIN:
            if held is None:
                raise self._silent()
            return held
        self._asked_at = now
        self._published = _Published(self._ask(), now)
        return self._published

    def _silent(self) -> Unavailable:
        return Unavailable(
            f"{self._issuer} does not tell its keys; try again in a moment, or sign in with an API key"
        )

    def _ask(self) -> KeySet:
        try:
            with httpx.Client(transport=self._transport, timeout=httpx.Timeout(5)) as client:
                about = _document(client, f"{self._issuer.rstrip('/')}/.well-known/openid-configuration")
                if about.get("issuer") != self._issuer or not is_secret_on_its_way(
                    str(about.get("jwks_uri"))
                ):
                    raise Unavailable(
                        f"what answers at TOUCHSTONE_OIDC_ISSUER calls itself {about.get('issuer')!r}, with its keys at "
                        f"{about.get('jwks_uri')!r}: write the issuer exactly as it calls itself, over https"
                    )
                return _read_keys(_document(client, str(about["jwks_uri"])))
        except (httpx.HTTPError, httpx.InvalidURL, JoseError, ValueError) as error:
            raise self._silent() from error


def _document(client: httpx.Client, url: str) -> Mapping[str, Any]:
    with client.stream("GET", url, headers={"Accept": "application/json"}) as response:
        response.raise_for_status()
        body = b""
        for part in response.iter_bytes():
            body += part
            if len(body) > MOST_BYTES:
                raise ValueError("is too large")
    # Read again as a whole, so that its encoding is httpx's business.
    document = httpx.Response(200, content=body).json()
    if not isinstance(document, Mapping):
        raise ValueError("is no object")  # noqa: TRY004  # what came is wrong, not who called
    return document


def _read_keys(document: Mapping[str, Any]) -> KeySet:
    """The keys that may sign. What is there besides (for encryption, of kinds that we do not take) is left out."""
    listed = document.get("keys")
    signing = [
        JWKRegistry.import_key(each)
        for each in (listed if isinstance(listed, list) else [])
        if isinstance(each, dict)
        and each.get("kty") in ("RSA", "EC")
        and each.get("use", "sig") == "sig"
        and each.get("alg", ALGORITHMS[0]) in ALGORITHMS
    ]
    if not signing:
        raise ValueError("holds no key for signatures")
    return KeySet(signing)


def _has(keys: KeySet, kid: object) -> bool:
    try:
        keys.get_by_kid(kid if isinstance(kid, str) else None)
    except InvalidKeyIdError:
        return False
    return True
