"""The SQL of keys that a hot path asks in each transaction: as it goes to the driver, since building it would cost more."""

import json
from collections.abc import Collection
from typing import Final

from sqlmodel import Session

_REVOKED: Final = {
    "sqlite": "SELECT id FROM api_keys WHERE revoked_at IS NOT NULL AND id IN (SELECT value FROM json_each(?))",
    "postgresql": "SELECT id FROM api_keys WHERE revoked_at IS NOT NULL "
    "AND id IN (SELECT CAST(value AS BIGINT) FROM jsonb_array_elements_text(CAST(%s AS JSONB)))",
}


def revoked_keys(session: Session, key_ids: Collection[int]) -> set[int]:
    """Those of these keys, by id, that no longer count."""
    connection = session.connection()
    rows = connection.exec_driver_sql(_REVOKED[connection.dialect.name], (json.dumps(list(key_ids)),))
    return {row[0] for row in rows.all()}
