"""User ids are compared byte by byte, so that the beginning of one can be looked for in their index"""

from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # SQLite compares so anyway. PostgreSQL makes the index anew; the rows stay where they are.
    if op.get_bind().dialect.name == "postgresql":
        op.execute('ALTER TABLE users ALTER COLUMN user_id TYPE VARCHAR(200) COLLATE "C"')


def downgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute('ALTER TABLE users ALTER COLUMN user_id TYPE VARCHAR(200) COLLATE "default"')
