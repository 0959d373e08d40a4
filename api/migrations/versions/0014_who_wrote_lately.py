"""Who wrote to us lately is found by an index: they may not count among the people of a day"""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

WROTE = sa.text("last_inbound_at IS NOT NULL")


def upgrade() -> None:
    op.create_index(
        "ix_users_last_inbound_at",
        "users",
        ["last_inbound_at"],
        sqlite_where=WROTE,
        postgresql_where=WROTE,
    )


def downgrade() -> None:
    op.drop_index("ix_users_last_inbound_at", table_name="users")
