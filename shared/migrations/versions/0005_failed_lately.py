"""What failed lately is found without looking at everything that ever was."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

NAME = "ix_ecgs_failed_finished_at_s"


def upgrade() -> None:
    where = sa.text("status = 'failed'")
    op.create_index(NAME, "ecgs", ["finished_at_s"], sqlite_where=where, postgresql_where=where)


def downgrade() -> None:
    op.drop_index(NAME, "ecgs")
