"""The SQL of keys that a hot path asks at each transaction."""

from collections.abc import Collection

from sqlmodel import Session, col, select

from api.models import ApiKey


def revoked_keys(session: Session, key_ids: Collection[int]) -> set[int]:
    """Those of these keys, by id, that no longer count."""
    query = select(ApiKey.id).where(col(ApiKey.id).in_(key_ids), col(ApiKey.revoked_at).is_not(None))
    return {key_id for key_id in session.exec(query) if key_id is not None}
