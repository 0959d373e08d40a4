"""That a message failed at its person once is remembered when a further try begins"""

import sqlalchemy as sa
from alembic import op

from experiments import database

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("messages", sa.Column("first_failed_at", database.UtcDateTime, nullable=True))


def downgrade() -> None:
    op.drop_column("messages", "first_failed_at")
