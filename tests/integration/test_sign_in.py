"""Signing in with an account: what an ID token must prove, who is let in, and when it ends."""

import base64
import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from threading import Thread
from typing import Any

import pytest
from fastapi.testclient import TestClient
from httpx import Response
from joserfc import jws
from joserfc.jwk import ECKey, OctKey, RSAKey
from sqlmodel import select

from api import members
from api.app import create_app
from api.id_tokens import ASKED_AGAIN, KEYS_KEPT
from api.models import ApiKey
from api.wiring import Wiring
from experiments.clock import SteppedClock
from experiments.database import Database
from experiments.settings import Settings
from experiments.vocabulary import Role
from tests.integration.identity_provider import CLIENT_ID, IdentityProvider, served

ADA = "ada@example.com"


@pytest.fixture(scope="module")
def listening() -> Iterator[IdentityProvider]:
    with served() as provider:
        yield provider


@pytest.fixture
def provider(listening: IdentityProvider) -> IdentityProvider:
    listening.broken = False
    listening.asked.clear()
    listening.person = {"sub": "1", "email": ADA, "email_verified": True}
    listening.rotate(listening.key)
    return listening


@pytest.fixture
def wiring(database: Database, database_url: str, clock: SteppedClock, provider: IdentityProvider) -> Wiring:
    settings = Settings(database_url=database_url, oidc_issuer=provider.issuer, oidc_audience=CLIENT_ID)
    return Wiring(settings, clock, database)


@pytest.fixture
def ada(wiring: Wiring) -> str:
    put(wiring, ADA, Role.EDITOR)
    return ADA


SignIn = Callable[..., Response]


@pytest.fixture
def sign_in(http: TestClient, provider: IdentityProvider, clock: SteppedClock) -> SignIn:
    """POST an ID token of the provider's, with claims of the test's own."""

    def signed_in(**claims: Any) -> Response:
        token = provider.sign(now=clock.now().timestamp(), **claims)
        return http.post("/v1/sessions", json={"id_token": token})

    return signed_in


def put(wiring: Wiring, email: str, role: Role, *, disabled: bool = False) -> None:
    with wiring.database.transaction() as session:
        members.put_member(session, wiring.clock, actor="test", email=email, role=role, disabled=disabled)


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def self_of(http: TestClient, key: str) -> Response:
    return http.get("/v1/keys/self", headers=bearer(key))


@pytest.mark.parametrize(
    ("role", "scopes"),
    [
        (Role.READER, ["read"]),
        (Role.EDITOR, ["read", "write"]),
        (Role.ADMIN, ["admin", "evaluate", "ingest", "read", "write"]),
    ],
)
def test_a_member_gets_a_session_with_what_their_role_may_do(
    http: TestClient, wiring: Wiring, sign_in: SignIn, role: Role, scopes: list[str]
) -> None:
    put(wiring, ADA, role)
    answer = sign_in(email="Ada@Example.com")
    assert answer.status_code == 201, answer.text
    assert answer.headers["cache-control"] == "no-store"
    assert (answer.json()["email"], answer.json()["role"]) == (ADA, role)
    assert self_of(http, answer.json()["key"]).json()["scopes"] == scopes


def test_the_audit_log_says_which_person_it_was(http: TestClient, ada: str, sign_in: SignIn) -> None:
    key = bearer(sign_in().json()["key"])
    http.put("/v1/metrics/m", headers=key, json={"kind": "proportion", "event": "Paid"})
    found = http.get("/v1/audit", headers=key, params={"actor": f"member:{ada}"}).json()["items"]
    assert [entry["action"] for entry in found] == ["metric.put", "member.sign_in"]


BAD: dict[str, dict[str, Any]] = {
    "another issuer": {"iss": "https://elsewhere.example"},
    "for somebody else": {"aud": "another-client"},
    "for somebody else among others": {"aud": ["another-client"]},
    "for us and another, by nobody knows whom": {"aud": [CLIENT_ID, "another"]},
    "passed on by another client": {"aud": [CLIENT_ID, "another"], "azp": "another"},
    "expired": {"exp": 1},
    "without an end": {"exp": None},
    "not yet valid": {"nbf": 2**40},
    "made in the future": {"iat": 2**40},
    "without a subject": {"sub": None},
    "an end that is no number": {"exp": "soon"},
    "an unknown key": {"kid": "nobody's"},
}


@pytest.mark.parametrize("claims", BAD.values(), ids=BAD.keys())
def test_a_token_that_proves_nothing_is_a_401(ada: str, sign_in: SignIn, claims: dict[str, Any]) -> None:
    answer = sign_in(**claims)
    assert answer.status_code == 401, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert sign_in().status_code == 201


def test_a_token_within_the_difference_of_two_clocks_counts(
    ada: str, sign_in: SignIn, clock: SteppedClock
) -> None:
    now = int(clock.now().timestamp())
    assert sign_in(iat=now + 30, nbf=now + 30).status_code == 201
    assert sign_in(exp=now - 30).status_code == 201
    assert sign_in(exp=now - 61).status_code == 401


def encoded(part: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode()


def test_a_signature_must_be_the_issuers(
    http: TestClient, ada: str, provider: IdentityProvider, clock: SteppedClock
) -> None:
    now = clock.now().timestamp()
    whole = provider.sign(now=now)
    head, claims, signature = whole.split(".")
    kid = provider.key.kid
    public = provider.key.as_pem(private=False)
    shared = OctKey.import_key(base64.b64encode(public))
    with_public_key = jws.serialize_compact(
        {"alg": "HS256", "kid": kid}, json.dumps({"sub": "1"}).encode(), shared, algorithms=["HS256"]
    )
    changed = encoded({"iss": provider.issuer, "aud": CLIENT_ID, "email": "eve@example.com"})
    forged = {
        "another key under the same name": provider.sign(now=now, key=RSAKey.generate_key(2048), kid=kid),
        "none": f"{encoded({'alg': 'none', 'kid': kid})}.{claims}.",
        "none, with a signature": f"{encoded({'alg': 'none', 'kid': kid})}.{claims}.{signature}",
        "the public key as a shared secret": with_public_key,
        "another algorithm of the same key": provider.sign(now=now, algorithm="RS512"),
        "other claims": f"{head}.{changed}.{signature}",
        "no signature": f"{head}.{claims}.",
        "a key of its own": provider.sign(now=now, algorithm="ES256", key=ECKey.generate_key("P-256")),
        "no token": "x",
        "dots": "..",
        "not JSON": "e30.e30.e30",
        "letters": "é.é.é",
    }
    answers = {name: http.post("/v1/sessions", json={"id_token": token}) for name, token in forged.items()}
    assert {name: answer.status_code for name, answer in answers.items()} == dict.fromkeys(forged, 401)
    assert http.post("/v1/sessions", json={"id_token": whole}).status_code == 201


@pytest.mark.parametrize(
    ("claims", "words"),
    [
        ({"email_verified": False}, "has been verified as yours"),
        ({"email_verified": None}, "TOUCHSTONE_OIDC_EMAILS_VERIFIED"),
        ({"email_verified": 1}, "has been verified as yours"),
        ({"email_verified": "false"}, "has been verified as yours"),
        ({"email_verified": 1.5}, "has been verified as yours"),
        ({"email": None}, "tells no e-mail"),
        ({"email": ["ada@example.com"]}, "tells no e-mail"),
        ({"email": "ada\x00@example.com"}, "tells no e-mail"),
        ({"email": "\u202eada@example.com"}, "tells no e-mail"),
        ({"email": " ada@example.com"}, "is not a member here"),
        ({"email": "eve@example.com"}, "eve@example.com is not a member here; ask an admin to add you"),
    ],
)
def test_who_is_not_let_in_is_told_whom_to_ask(
    ada: str, sign_in: SignIn, claims: dict[str, Any], words: str
) -> None:
    answer = sign_in(**claims)
    assert answer.status_code == 403
    assert words in answer.json()["detail"]


@pytest.mark.parametrize(
    ("claims", "status"),
    [
        ({"email_verified": None}, 201),  # left out
        ({"email_verified": True}, 201),
        ({"email_verified": False}, 403),
        ({"email_verified": "false"}, 403),
        ({"email_verified": ""}, 403),
        ({"email_verified": 0}, 403),
        ({"email_verified": None, "email": "eve@example.com"}, 403),
        ({"email_verified": None, "iss": "https://elsewhere.example"}, 401),
    ],
)
def test_an_issuer_whose_addresses_are_said_to_be_verified_need_not_say_so(
    wiring: Wiring,
    ada: str,
    provider: IdentityProvider,
    clock: SteppedClock,
    claims: dict[str, Any],
    status: int,
) -> None:
    settings = wiring.settings.model_copy(update={"oidc_emails_verified": True})
    token = provider.sign(now=clock.now().timestamp(), **claims)
    with TestClient(create_app(Wiring(settings, clock, wiring.database))) as http:
        answer = http.post("/v1/sessions", json={"id_token": token})
    assert answer.status_code == status, answer.text


def test_a_letter_that_only_looks_like_another_is_another(
    http: TestClient, wiring: Wiring, sign_in: SignIn
) -> None:
    put(wiring, "kate@example.com", Role.ADMIN)
    assert sign_in(email="\N{KELVIN SIGN}ate@example.com").status_code == 403
    assert sign_in(email="KATE@Example.com").status_code == 201


def test_who_is_switched_off_is_not_let_in(wiring: Wiring, sign_in: SignIn) -> None:
    put(wiring, ADA, Role.ADMIN, disabled=True)
    assert "is switched off here; ask an admin" in sign_in().json()["detail"]


def test_another_role_and_a_removal_end_what_somebody_is_signed_in_with(
    http: TestClient, wiring: Wiring, ada: str, sign_in: SignIn
) -> None:
    first = sign_in().json()["key"]
    put(wiring, ADA, Role.EDITOR)  # the same as before: nothing ends
    assert self_of(http, first).status_code == 200
    put(wiring, ADA, Role.READER)
    assert self_of(http, first).status_code == 401
    second = sign_in().json()["key"]
    assert self_of(http, second).json()["scopes"] == ["read"]
    with wiring.database.transaction() as session:
        members.remove_member(session, wiring.clock, actor="test", email=ADA)
    assert self_of(http, second).status_code == 401
    assert sign_in().status_code == 403


def test_a_session_ends_by_itself_everywhere_and_is_forgotten(
    http: TestClient, wiring: Wiring, sign_in: SignIn, clock: SteppedClock
) -> None:
    put(wiring, ADA, Role.ADMIN)
    answer = sign_in().json()
    call = {"event": "X", "userId": "u"}
    flag = {"context": {"targetingKey": "u"}}
    doors = [("/v1/track", call), ("/ofrep/v1/evaluate/flags", flag)]
    for path, body in doors:
        assert http.post(path, headers=bearer(answer["key"]), json=body).status_code == 200
    clock.advance(wiring.settings.session_lifetime)
    assert self_of(http, answer["key"]).status_code == 401
    for path, body in doors:
        assert http.post(path, headers=bearer(answer["key"]), json=body).status_code == 401
    clock.advance(members.SESSIONS_KEPT + timedelta(seconds=1))
    assert sign_in().status_code == 201
    with wiring.database.snapshot() as session:
        assert len(session.exec(select(ApiKey)).all()) == 1


def test_signing_out_ends_the_session_and_no_key(
    http: TestClient, wiring: Wiring, ada: str, sign_in: SignIn, keys: dict[str, str]
) -> None:
    key = sign_in().json()["key"]
    assert http.delete("/v1/sessions/self", headers=bearer(key)).status_code == 204
    assert self_of(http, key).status_code == 401
    assert http.delete("/v1/sessions/self", headers=bearer(keys["read"])).status_code == 403
    assert self_of(http, keys["read"]).status_code == 200


def test_sessions_are_not_among_the_keys(
    http: TestClient, ada: str, sign_in: SignIn, keys: dict[str, str]
) -> None:
    sign_in()
    listed = http.get("/v1/keys", headers=bearer(keys["admin"])).json()["items"]
    assert {key["name"] for key in listed} == {f"{scope} key" for scope in keys}


def test_keys_are_asked_for_once_and_again_when_they_change(
    ada: str, sign_in: SignIn, provider: IdentityProvider, clock: SteppedClock
) -> None:
    for _ in range(3):
        assert sign_in().status_code == 201
    assert provider.asked.count("/jwks") == 1
    provider.rotate(ECKey.generate_key("P-256", {"kid": "second", "use": "sig"}))
    clock.advance(ASKED_AGAIN)
    assert sign_in(algorithm="ES256").status_code == 201
    assert provider.asked.count("/jwks") == 2
    for _ in range(3):
        assert sign_in(algorithm="ES256", kid="made up").status_code == 401
    assert provider.asked.count("/jwks") == 2
    clock.advance(KEYS_KEPT)
    assert sign_in(algorithm="ES256").status_code == 201
    assert provider.asked.count("/jwks") == 3
    provider.rotate(RSAKey.generate_key(2048, {"kid": "first", "use": "sig"}))


def test_an_issuer_that_is_silent_is_a_503_and_is_not_asked_at_every_try(
    ada: str, sign_in: SignIn, provider: IdentityProvider, clock: SteppedClock
) -> None:
    provider.broken = True
    answers = [sign_in() for _ in range(3)]
    assert {answer.status_code for answer in answers} == {503}
    assert "does not tell its keys" in answers[0].json()["detail"]
    assert len(provider.asked) == 1
    provider.broken = False
    clock.advance(ASKED_AGAIN)
    assert sign_in().status_code == 201


def test_without_an_issuer_there_is_no_such_sign_in(
    database: Database, database_url: str, clock: SteppedClock
) -> None:
    plain = Wiring(Settings(database_url=database_url), clock, database)
    with TestClient(create_app(plain)) as client:
        answer = client.post("/v1/sessions", json={"id_token": "x"})
    assert answer.status_code == 409
    assert "set TOUCHSTONE_OIDC_ISSUER" in answer.json()["detail"]


def test_who_signs_in_while_their_role_is_changed_gets_the_new_one(
    http: TestClient, wiring: Wiring, ada: str, sign_in: SignIn
) -> None:
    answers: list[Response] = []
    thread = Thread(target=lambda: answers.append(sign_in()))
    with wiring.database.transaction() as session:
        members.put_member(session, wiring.clock, actor="test", email=ADA, role=Role.READER)
        session.flush()
        thread.start()
        thread.join(timeout=1)  # it must wait for us, so it cannot have ended
        assert not answers
    thread.join()
    assert self_of(http, answers[0].json()["key"]).json()["scopes"] == ["read"]
