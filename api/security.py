"""API keys: random, shown once, stored as a hash, scoped, revocable.

A key reads `ts_PREFIX_SECRET`. The prefix finds the row, the secret is compared by its SHA-256 in constant time; a
slow password hash would add nothing against guessing 256 random bits.
"""

import hashlib
import hmac
import re
import secrets
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlmodel import Session

from api import repository
from api.models import ApiKey
from experiments import audit
from experiments.clock import Clock
from experiments.errors import Invalid, NotFound, Refused, Unauthenticated
from experiments.vocabulary import Scope

IMPLIED: Final[dict[Scope, frozenset[Scope]]] = {
    Scope.INGEST: frozenset({Scope.INGEST}),
    Scope.EVALUATE: frozenset({Scope.EVALUATE}),
    Scope.READ: frozenset({Scope.READ}),
    Scope.WRITE: frozenset({Scope.WRITE, Scope.READ}),
    Scope.ADMIN: frozenset(Scope),
}
"""What each scope allows."""
UNKNOWN_KEY: Final = "this key is not known; create one with `touchstone keys create --scope ..`"
_PREFIX: Final = re.compile(r"[0-9a-f]{12}")


@dataclass(frozen=True, slots=True)
class Principal:
    """Who makes a request. `member`: the e-mail of a person who signed in with an account; None for a key."""

    key_id: int
    prefix: str
    name: str
    scopes: frozenset[Scope]
    member: str | None = None

    @property
    def actor(self) -> str:
        """How the audit log names them."""
        return f"member:{self.member}" if self.member else f"key:{self.name}:{self.prefix}"

    @property
    def sees_numbers(self) -> bool:
        """Whether phone numbers are shown to them: whoever may only read sees none, anywhere."""
        return Scope.WRITE in self.scopes

    def require(self, scope: Scope) -> None:
        """Raise Refused unless this key may do it."""
        if scope not in self.scopes:
            raise Refused(f"this key may not do that: it lacks the scope {scope}")


def create_key(
    session: Session, clock: Clock, *, actor: str, name: str, scopes: Collection[Scope]
) -> tuple[ApiKey, str]:
    """A new key and its text, which is never to be had again. Raises Invalid when no scope is given."""
    if not scopes:
        raise Invalid("give at least one scope", field="scopes")
    key, text = make_key(session, clock, name=name, scopes=scopes)
    audit.record(
        session,
        clock,
        actor=actor,
        action="key.create",
        subject_kind="key",
        subject_key=key.prefix,
        after={"name": name, "scopes": key.scopes},
    )
    return key, text


def make_key(
    session: Session,
    clock: Clock,
    *,
    name: str,
    scopes: Collection[Scope],
    member: str | None = None,
    expires_at: datetime | None = None,
) -> tuple[ApiKey, str]:
    """The row of a new key, and its text. Who calls this writes the audit log."""
    prefix, secret = secrets.token_hex(6), secrets.token_urlsafe(32)
    key = ApiKey(
        name=name,
        prefix=prefix,
        secret_hash=_hash(secret),
        scopes=sorted(str(scope) for scope in set(scopes)),
        created_at=clock.now(),
        member=member,
        expires_at=expires_at,
    )
    session.add(key)
    session.flush()
    return key, f"ts_{prefix}_{secret}"


def revoke_key(session: Session, clock: Clock, *, actor: str, prefix: str) -> ApiKey:
    """Make a key useless from now on. Raises NotFound; revoking twice changes nothing."""
    key = repository.find_key(session, prefix)
    if key is None:
        raise NotFound(f"there is no key with the prefix {prefix!r}", field="prefix")
    if key.revoked_at is None:
        key.revoked_at = clock.now()
        audit.record(session, clock, actor=actor, action="key.revoke", subject_kind="key", subject_key=prefix)
    return key


def authenticate(session: Session, clock: Clock, text: str) -> Principal:
    """Who owns this key; raises Unauthenticated, always with the same words. A session that is over is a key like any revoked one."""
    unknown = Unauthenticated(UNKNOWN_KEY)
    parts = text.split("_", 2)
    if len(parts) != 3 or parts[0] != "ts" or _PREFIX.fullmatch(parts[1]) is None:
        raise unknown
    key = repository.find_key(session, parts[1])
    expected = key.secret_hash if key else _hash("")
    matches = hmac.compare_digest(expected, _hash(parts[2]))
    if key is None or key.id is None or not matches or key.revoked_at is not None:
        raise unknown
    if key.expires_at is not None and key.expires_at <= clock.now():
        raise unknown
    scopes = frozenset(allowed for scope in key.scopes for allowed in IMPLIED[Scope(scope)])
    return Principal(key_id=key.id, prefix=key.prefix, name=key.name, scopes=scopes, member=key.member)


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()
