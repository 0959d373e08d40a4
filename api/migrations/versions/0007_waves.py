"""Waves of an audience, and experiments that have shipped a variant"""

import sqlalchemy as sa
from alembic import op

from experiments import database

revision = '0007'
down_revision = '0006'
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table('experiments', schema=None) as batch_op:
        batch_op.add_column(sa.Column('released', sa.Float(), nullable=True))
        batch_op.add_column(sa.Column('shipped', sa.String(length=64), nullable=True))
        batch_op.add_column(sa.Column('shipped_at', database.UtcDateTime(), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table('experiments', schema=None) as batch_op:
        batch_op.drop_column('shipped_at')
        batch_op.drop_column('shipped')
        batch_op.drop_column('released')
