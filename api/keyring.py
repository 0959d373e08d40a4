"""Keys that were seen before, so that a hot path need not ask the database who is calling at each request.

What is kept never goes stale: a key's secret and scopes never change, and it does not expire. Only its revocation does, so whoever relies on a
key from here asks `key_repository.revoked_keys` in the transaction in which it writes.
"""

import hashlib
from typing import Final

from api.security import Principal

MOST_KEPT: Final = 1000


class KeyRing:
    """Principals by what a request says to prove who it is. Holds digests only, never a key. For one event loop."""

    def __init__(self) -> None:
        self._known: dict[bytes, Principal] = {}

    def find(self, proof: str) -> Principal | None:
        """Whose proof this is, if it was put here before."""
        return self._known.get(_digest(proof))

    def put(self, proof: str, principal: Principal) -> None:
        """Remember whose proof this is. Full means empty: the keys in use come back by themselves.

        Sessions of people are not kept: they expire, and their rows are deleted some day.
        """
        if principal.member is not None:
            return
        if len(self._known) >= MOST_KEPT:
            self._known.clear()
        self._known[_digest(proof)] = principal


def _digest(proof: str) -> bytes:
    return hashlib.sha256(proof.encode("utf-8", "surrogatepass")).digest()
