"""Who was walked over, with which weights: of an audience that is met at one moment"""

import sqlalchemy as sa
from alembic import op

from experiments import database

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("enrolments", schema=None) as batch_op:
        batch_op.add_column(sa.Column("reach", database.JsonDocument, nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("enrolments", schema=None) as batch_op:
        batch_op.drop_column("reach")
