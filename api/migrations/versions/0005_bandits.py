"""Bandits: what was reallocated and why, weights that are held by hand, variants that are silenced"""

import sqlalchemy as sa
from alembic import op

from experiments import database

revision = '0005'
down_revision = '0004'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('reallocations',
    sa.Column('id', database.BigKey, nullable=False),
    sa.Column('experiment_id', database.BigKey, nullable=False),
    sa.Column('slot', sa.Integer(), nullable=False),
    sa.Column('at', database.UtcDateTime(), nullable=False),
    sa.Column('outcome', sa.String(length=20), nullable=False),
    sa.Column('reason', sa.String(length=1000), nullable=False),
    sa.Column('epoch', sa.Integer(), nullable=False),
    sa.Column('numbers', database.JsonDocument, nullable=False),
    sa.ForeignKeyConstraint(['experiment_id'], ['experiments.id'], name=op.f('fk_reallocations_experiment_id_experiments')),
    sa.PrimaryKeyConstraint('id', name=op.f('pk_reallocations')),
    sa.UniqueConstraint('experiment_id', 'slot', name=op.f('uq_reallocations_experiment_id_slot'))
    )
    with op.batch_alter_table('experiments', schema=None) as batch_op:
        batch_op.add_column(sa.Column('held_at', database.UtcDateTime(), nullable=True))
        batch_op.add_column(sa.Column('silenced', database.JsonDocument, nullable=True))


def downgrade() -> None:
    with op.batch_alter_table('experiments', schema=None) as batch_op:
        batch_op.drop_column('silenced')
        batch_op.drop_column('held_at')
    op.drop_table('reallocations')
