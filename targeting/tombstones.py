"""Tombstones: people who were erased do not come back by import, tracking or an inbound message.

What is kept of them is a keyed digest of each name they had: HMAC-SHA256 of kind and value under the secret of the
installation (`TOUCHSTONE_ERASURE_SECRET`). Without the secret nobody can try out phone numbers against the table, and
with another secret the old tombstones block nobody: keep it.
"""

import hashlib
import hmac
from collections.abc import Collection, Iterable
from datetime import datetime
from typing import Final

from sqlmodel import Session

from targeting import privacy_repository as repository

USER_ID: Final = "user_id"
PHONE: Final = "phone"

Name = tuple[str, str]
"""What somebody is known by: (`user_id`, "u-1"), (`phone`, "+12025550123"), or the kind of an alias and its value."""


def digest_of(name: Name, *, secret: str) -> str:
    """The only trace that is kept of a name, 64 hexadecimal digits."""
    kind, value = name
    return hmac.new(secret.encode(), f"{kind}\0{value}".encode(), hashlib.sha256).hexdigest()


def bury(session: Session, names: Iterable[Name], *, secret: str, now: datetime) -> None:
    """Let nobody of these names come back."""
    repository.add_tombstones(session, {digest_of(name, secret=secret): name[0] for name in names}, now=now)


def erased_among(session: Session, names: Collection[Name], *, secret: str) -> set[Name]:
    """Those of `names` that belong to people who were erased. One look at an empty table where nobody ever was."""
    if not names or not repository.any_tombstone(session):
        return set()
    by_digest = {digest_of(name, secret=secret): name for name in names}
    return {by_digest[digest] for digest in repository.known_digests(session, by_digest)}


def unbury(session: Session, names: Collection[Name], *, secret: str) -> int:
    """Let people of these names come back; returns how many names were blocked."""
    return repository.remove_tombstones(session, [digest_of(name, secret=secret) for name in names])
