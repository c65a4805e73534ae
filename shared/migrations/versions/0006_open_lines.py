"""What the rate of a batch is of, and its first line that has not ended, without looking at all."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

NAME = "ix_ecgs_open_batch_id_line"


def upgrade() -> None:
    op.add_column("batches", sa.Column("worked_s", sa.Double(), nullable=False, server_default="0"))
    # What a rate was made of until now.
    op.execute(
        "UPDATE batches SET worked_s = progressed_at_s - created_at_s "
        "WHERE progressed_at_s > created_at_s"
    )
    where = sa.text("batch_id IS NOT NULL AND status IN ('pending', 'running')")
    op.create_index(NAME, "ecgs", ["batch_id", "line"], sqlite_where=where, postgresql_where=where)


def downgrade() -> None:
    op.drop_index(NAME, "ecgs")
    op.drop_column("batches", "worked_s")
