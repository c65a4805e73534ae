"""First tables: users, ecgs, signals, insights, insight_definitions."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "users",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("username", sa.String(64), nullable=False),
        sa.Column("token_sha256", sa.LargeBinary(32), nullable=False),
        sa.Column("created_at_s", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("username", name="uq_users_username"),
        sa.UniqueConstraint("token_sha256", name="uq_users_token_sha256"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "ecgs",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("created_at_s", sa.Double(), nullable=False),
        sa.Column("recorded_at_s", sa.Double(), nullable=False),
        sa.Column("sampling_rate_hz", sa.Double(), nullable=True),
        sa.Column("unit", sa.String(32), nullable=True),
        sa.Column("gain", sa.Double(), nullable=True),
        sa.Column("baseline", sa.Double(), nullable=False),
        sa.Column("leads", sa.Text(), nullable=False),
        sa.Column("number_of_leads", sa.Integer(), nullable=False),
        sa.Column("request_id", sa.String(128), nullable=False),
        sa.Column("idempotency_key", sa.String(255), nullable=True),
        sa.Column("body_sha256", sa.LargeBinary(32), nullable=True),
        sa.Column("status", sa.String(8), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("rung_at_s", sa.Double(), nullable=False),
        sa.Column("lease_until_s", sa.Double(), nullable=True),
        sa.Column("finished_at_s", sa.Double(), nullable=True),
        sa.Column("failure", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], ondelete="CASCADE"),
        sa.CheckConstraint(
            "status IN ('pending', 'running', 'finished', 'failed')", name="ck_ecgs_status"
        ),
        sa.UniqueConstraint("user_id", "idempotency_key", name="uq_ecgs_user_id_idempotency_key"),
    )
    op.create_index("ix_ecgs_user_id_id", "ecgs", ["user_id", "id"])
    op.create_index("ix_ecgs_user_id_status_id", "ecgs", ["user_id", "status", "id"])
    for status, column in (("pending", "rung_at_s"), ("running", "lease_until_s")):
        condition = sa.text(f"status = '{status}'")
        op.create_index(
            f"ix_ecgs_{status}_{column}",
            "ecgs",
            [column],
            sqlite_where=condition,
            postgresql_where=condition,
        )
    op.create_table(
        "signals",
        sa.Column("ecg_id", sa.String(36), nullable=False),
        sa.Column("encoded", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("ecg_id"),
        sa.ForeignKeyConstraint(["ecg_id"], ["ecgs.id"], ondelete="CASCADE"),
    )
    op.create_table(
        "insights",
        sa.Column("ecg_id", sa.String(36), nullable=False),
        sa.Column("document", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("ecg_id"),
        sa.ForeignKeyConstraint(["ecg_id"], ["ecgs.id"], ondelete="CASCADE"),
    )
    op.create_table(
        "insight_definitions",
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("unit", sa.String(64), nullable=False),
        sa.Column("definition", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )


def downgrade() -> None:
    for table in ("insight_definitions", "insights", "signals", "ecgs", "users"):
        op.drop_table(table)
