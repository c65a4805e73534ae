"""When a row is due, whose message holds it, and a trail of what the administrator did."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("ecgs", sa.Column("due_at_s", sa.Double(), nullable=False, server_default="0"))
    op.add_column("ecgs", sa.Column("held_by", sa.String(64), nullable=True))
    op.execute("UPDATE ecgs SET due_at_s = created_at_s")
    condition = sa.text("status = 'pending'")
    op.create_index(
        "ix_ecgs_pending_due_at_s",
        "ecgs",
        ["due_at_s"],
        sqlite_where=condition,
        postgresql_where=condition,
    )
    op.create_table(
        "audit_trail",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("at_s", sa.Double(), nullable=False),
        sa.Column("act", sa.String(32), nullable=False),
        sa.Column("username", sa.String(64), nullable=False),
        sa.Column("request_id", sa.String(128), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sqlite_autoincrement=True,
    )


def downgrade() -> None:
    op.drop_table("audit_trail")
    op.drop_index("ix_ecgs_pending_due_at_s", "ecgs")
    op.drop_column("ecgs", "held_by")
    op.drop_column("ecgs", "due_at_s")
