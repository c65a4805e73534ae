"""How far a batch was when more lines came: what it says of its progress never falls."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "batches", sa.Column("progress_kept", sa.Double(), nullable=False, server_default="0")
    )


def downgrade() -> None:
    op.drop_column("batches", "progress_kept")
