"""Run by Alembic: hands it our engine and our metadata."""

from typing import Any, Literal

from alembic import context
from alembic.autogenerate.api import AutogenContext
from sqlmodel.sql.sqltypes import AutoString

from api.tables import metadata
from experiments.database import BigKey, JsonDocument, UtcDateTime


def render_item(kind: str, item: Any, _context: AutogenContext) -> str | Literal[False]:
    """Write our own types by name, so that a migration reads like the models."""
    if kind != "type":
        return False
    if isinstance(item, UtcDateTime):
        return "database.UtcDateTime()"
    if isinstance(item, AutoString):
        return f"sa.String(length={item.length})"
    if item is BigKey:
        return "database.BigKey"
    if item is JsonDocument:
        return "database.JsonDocument"
    return False


engine = context.config.attributes["engine"]

with engine.connect() as connection:
    context.configure(
        connection=connection,
        target_metadata=metadata,
        render_as_batch=engine.dialect.name == "sqlite",
        compare_type=True,
        render_item=render_item,
    )
    with context.begin_transaction():
        context.run_migrations()
    connection.commit()
