"""Batches: their counts, the lines that were rejected, and which ecg came with which."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

WAITING = {
    "ix_ecgs_fresh_rung_at_s": (
        ["rung_at_s"],
        "status = 'pending' AND attempts = 0 AND batch_id IS NULL",
    ),
    "ix_ecgs_fresh_due_at_s": (
        ["due_at_s"],
        "status = 'pending' AND attempts = 0 AND batch_id IS NULL",
    ),
    "ix_ecgs_bulk_user_id_rung_at_s_id": (
        ["user_id", "rung_at_s", "id"],
        "status = 'pending' AND attempts = 0 AND batch_id IS NOT NULL",
    ),
    "ix_ecgs_retried_rung_at_s": (["rung_at_s"], "status = 'pending' AND attempts > 0"),
}
UNIQUE = {
    "uq_ecgs_batch_id_line": (["batch_id", "line"], "batch_id IS NOT NULL"),
    "uq_ecgs_batch_id_custom_id": (["batch_id", "custom_id"], "custom_id IS NOT NULL"),
}
REPLACED = {
    "ix_ecgs_pending_rung_at_s": (["rung_at_s"], "status = 'pending'"),
    "ix_ecgs_pending_due_at_s": (["due_at_s"], "status = 'pending'"),
}


def upgrade() -> None:
    op.create_table(
        "batches",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("idempotency_key", sa.String(255), nullable=True),
        sa.Column("reception", sa.Integer(), nullable=False),
        sa.Column("last_line", sa.Integer(), nullable=False),
        sa.Column("total", sa.Integer(), nullable=False),
        sa.Column("rejected", sa.Integer(), nullable=False),
        sa.Column("finished", sa.Integer(), nullable=False),
        sa.Column("failed", sa.Integer(), nullable=False),
        sa.Column("created_at_s", sa.Double(), nullable=False),
        sa.Column("received_at_s", sa.Double(), nullable=True),
        sa.Column("cancelled_at_s", sa.Double(), nullable=True),
        sa.Column("progressed_at_s", sa.Double(), nullable=True),
        sa.Column("finished_at_s", sa.Double(), nullable=True),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint(
            "user_id", "idempotency_key", name="uq_batches_user_id_idempotency_key"
        ),
    )
    op.create_index("ix_batches_user_id_id", "batches", ["user_id", "id"])
    _create_index(
        "ix_batches_cancelled",
        ["id"],
        "cancelled_at_s IS NOT NULL AND finished_at_s IS NULL",
        table="batches",
    )
    op.create_table(
        "rejected_lines",
        sa.Column("batch_id", sa.String(36), nullable=False),
        sa.Column("line", sa.Integer(), nullable=False),
        sa.Column("custom_id", sa.String(255), nullable=True),
        sa.Column("problem", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["batch_id"], ["batches.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("batch_id", "line"),
    )
    op.create_index(
        "ix_rejected_lines_batch_id_custom_id", "rejected_lines", ["batch_id", "custom_id"]
    )
    op.add_column(
        "ecgs", sa.Column("number_of_samples", sa.BigInteger(), nullable=False, server_default="0")
    )
    op.add_column("ecgs", sa.Column("batch_id", sa.String(36), nullable=True))
    op.add_column("ecgs", sa.Column("line", sa.Integer(), nullable=True))
    op.add_column("ecgs", sa.Column("custom_id", sa.String(255), nullable=True))
    op.add_column(
        "insight_definitions", sa.Column("figures", sa.Text(), nullable=False, server_default="[]")
    )
    for name in REPLACED:
        op.drop_index(name, "ecgs")
    for name, (columns, condition) in WAITING.items():
        _create_index(name, columns, condition)
    for name, (columns, condition) in UNIQUE.items():
        _create_index(name, columns, condition, unique=True)


def downgrade() -> None:
    for name in (*WAITING, *UNIQUE):
        op.drop_index(name, "ecgs")
    for name, (columns, condition) in REPLACED.items():
        _create_index(name, columns, condition)
    op.drop_column("insight_definitions", "figures")
    for column in ("custom_id", "line", "batch_id", "number_of_samples"):
        op.drop_column("ecgs", column)
    op.drop_table("rejected_lines")
    op.drop_table("batches")


def _create_index(
    name: str, columns: list[str], condition: str, *, table: str = "ecgs", unique: bool = False
) -> None:
    op.create_index(
        name,
        table,
        columns,
        unique=unique,
        sqlite_where=sa.text(condition),
        postgresql_where=sa.text(condition),
    )
