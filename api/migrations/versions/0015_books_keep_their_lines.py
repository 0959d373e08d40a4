"""What the books of an experiment were drawn up from is kept, so that what is long over is not counted for ever"""

import sqlalchemy as sa
from alembic import op

from experiments import database

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("balances", schema=None) as batch_op:
        batch_op.add_column(sa.Column("lines", database.JsonDocument, nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("balances", schema=None) as batch_op:
        batch_op.drop_column("lines")
