"""The SQL of keys that a hot path asks at each transaction."""

from collections.abc import Collection
from typing import Final

from sqlalchemy import bindparam
from sqlmodel import Session, col, select

from api.models import ApiKey

_REVOKED: Final = select(col(ApiKey.id)).where(
    col(ApiKey.id).in_(bindparam("ids", expanding=True)), col(ApiKey.revoked_at).is_not(None)
)


def revoked_keys(session: Session, key_ids: Collection[int]) -> set[int]:
    """Those of these keys, by id, that no longer count."""
    found = session.connection().execute(_REVOKED, {"ids": list(key_ids)}).scalars()
    return {key_id for key_id in found if key_id is not None}
