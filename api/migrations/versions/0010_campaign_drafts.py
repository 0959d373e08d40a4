"""Campaigns that are being written"""

import sqlalchemy as sa
from alembic import op

from experiments import database

revision = '0010'
down_revision = '0007'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        'campaign_drafts',
        sa.Column('id', database.BigKey, nullable=False),
        sa.Column('key', sa.String(length=64), nullable=False),
        sa.Column('document', database.JsonDocument, nullable=False),
        sa.Column('revision', sa.Integer(), nullable=False),
        sa.Column('updated_by', sa.String(length=200), nullable=False),
        sa.Column('created_at', database.UtcDateTime(), nullable=False),
        sa.Column('updated_at', database.UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint('id'),
        sa.UniqueConstraint('key'),
    )


def downgrade() -> None:
    op.drop_table('campaign_drafts')
