"""Guards: variants that were stopped because they do harm, and what was last seen"""

import sqlalchemy as sa
from alembic import op

from experiments import database

revision = '0006'
down_revision = '0005'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('guard_looks',
    sa.Column('experiment_id', database.BigKey, nullable=False),
    sa.Column('looked_at', database.UtcDateTime(), nullable=False),
    sa.Column('seconds', sa.Float(), nullable=False),
    sa.Column('verdicts', database.JsonDocument, nullable=False),
    sa.ForeignKeyConstraint(['experiment_id'], ['experiments.id'], name=op.f('fk_guard_looks_experiment_id_experiments')),
    sa.PrimaryKeyConstraint('experiment_id', name=op.f('pk_guard_looks'))
    )
    with op.batch_alter_table('experiments', schema=None) as batch_op:
        batch_op.add_column(sa.Column('stopped_arms', database.JsonDocument, nullable=True))


def downgrade() -> None:
    with op.batch_alter_table('experiments', schema=None) as batch_op:
        batch_op.drop_column('stopped_arms')
    op.drop_table('guard_looks')
