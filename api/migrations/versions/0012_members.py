"""Members, who sign in with an account; sessions, which expire; the audit log by actor"""

import sqlalchemy as sa
from alembic import op

from experiments import database

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "members",
        sa.Column("id", database.BigKey, nullable=False),
        sa.Column("email", sa.String(length=190), nullable=False),
        sa.Column("role", sa.String(length=10), nullable=False),
        sa.Column("disabled", sa.Boolean(), nullable=False),
        sa.Column("created_at", database.UtcDateTime(), nullable=False),
        sa.Column("updated_at", database.UtcDateTime(), nullable=False),
        sa.Column("signed_in_at", database.UtcDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("email"),
    )
    with op.batch_alter_table("api_keys", schema=None) as batch_op:
        batch_op.add_column(sa.Column("member", sa.String(length=190), nullable=True))
        batch_op.add_column(sa.Column("expires_at", database.UtcDateTime(), nullable=True))
        batch_op.create_index(batch_op.f("ix_api_keys_member"), ["member"], unique=False)
    op.create_index("ix_audit_entries_actor", "audit_entries", ["actor", "id"], unique=False)


def downgrade() -> None:
    op.drop_index("ix_audit_entries_actor", table_name="audit_entries")
    with op.batch_alter_table("api_keys", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_api_keys_member"))
        batch_op.drop_column("expires_at")
        batch_op.drop_column("member")
    op.drop_table("members")
