"""Which lines have come to a batch, it knows itself: those that are erased have come, too."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

TABLES = "ecgs", "rejected_lines"


def upgrade() -> None:
    op.execute("ALTER TABLE batches RENAME COLUMN last_line TO last_number")
    for name in ("last_line", "unnamed"):
        op.add_column("batches", sa.Column(name, sa.Integer(), nullable=False, server_default="0"))
    op.execute("UPDATE batches SET last_line = last_number")
    for table in TABLES:
        last = f"(SELECT max(line) FROM {table} WHERE batch_id = batches.id)"  # noqa: S608
        op.execute(f"UPDATE batches SET last_line = {last} WHERE {last} > last_line")  # noqa: S608
        op.execute(
            "UPDATE batches SET unnamed = unnamed + (SELECT count(*) "  # noqa: S608
            f"FROM {table} WHERE batch_id = batches.id AND custom_id IS NULL)"
        )


def downgrade() -> None:
    for name in ("unnamed", "last_line"):
        op.drop_column("batches", name)
    op.execute("ALTER TABLE batches RENAME COLUMN last_number TO last_line")
