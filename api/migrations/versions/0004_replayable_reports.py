"""Reports keep what they were made from, and their text as it was written"""

import sqlalchemy as sa
from alembic import op

revision = '0004'
down_revision = '0003'
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table('reports', schema=None) as batch_op:
        batch_op.add_column(sa.Column('inputs', sa.JSON(none_as_null=True), nullable=True))
        batch_op.add_column(sa.Column('hashes', sa.JSON(none_as_null=True), nullable=True))
        batch_op.add_column(sa.Column('made_with', sa.JSON(none_as_null=True), nullable=True))
    # JSONB rewrites numbers, and a text that is hashed must stay as it is. On SQLite both are text.
    if op.get_bind().dialect.name == 'postgresql':
        op.execute('ALTER TABLE reports ALTER COLUMN body TYPE JSON USING body::json')


def downgrade() -> None:
    if op.get_bind().dialect.name == 'postgresql':
        op.execute('ALTER TABLE reports ALTER COLUMN body TYPE JSONB USING body::jsonb')
    with op.batch_alter_table('reports', schema=None) as batch_op:
        batch_op.drop_column('made_with')
        batch_op.drop_column('hashes')
        batch_op.drop_column('inputs')
