"""With which insights an ecg was analysed, and what is needed to analyse it again."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

NEW = {
    "ix_ecgs_held_lease_until_s": (["lease_until_s"], "lease_until_s IS NOT NULL"),
    "ix_ecgs_final_catalogue_id": (
        ["catalogue", "id"],
        "status = 'finished' AND redo_after IS NULL",
    ),
    "ix_ecgs_fresh_redo_rung_at_s_id": (
        ["rung_at_s", "id"],
        "redo_after = attempts AND lease_until_s IS NULL",
    ),
    "ix_ecgs_retried_redo_rung_at_s": (
        ["rung_at_s"],
        "redo_after < attempts AND lease_until_s IS NULL",
    ),
    "ix_ecgs_not_redone": (["id"], "status = 'finished' AND failure IS NOT NULL"),
}
REPLACED = {"ix_ecgs_running_lease_until_s": (["lease_until_s"], "status = 'running'")}
# Columns of the catalogue: what there was before was of leads, and said no more.
OF_DEFINITIONS = {"scopes": '["lead"]', "limits": "[]", "sources": "[]"}


def upgrade() -> None:
    op.create_table(
        "catalogues",
        sa.Column("fingerprint", sa.String(16), nullable=False),
        sa.Column("versions", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("fingerprint"),
    )
    for name, default in OF_DEFINITIONS.items():
        column = sa.Column(name, sa.Text(), nullable=False, server_default=default)
        op.add_column("insight_definitions", column)
    op.add_column("ecgs", sa.Column("catalogue", sa.String(16), nullable=False, server_default=""))
    op.add_column("ecgs", sa.Column("redo_after", sa.Integer(), nullable=True))
    for name in REPLACED:
        op.drop_index(name, "ecgs")
    for name, (columns, condition) in NEW.items():
        _create_index(name, columns, condition)


def downgrade() -> None:
    for name in NEW:
        op.drop_index(name, "ecgs")
    # Nobody knows any more that these were to be analysed again.
    op.execute("UPDATE ecgs SET lease_until_s = NULL, held_by = NULL WHERE status = 'finished'")
    op.execute("UPDATE ecgs SET failure = NULL WHERE status = 'finished'")
    for name, (columns, condition) in REPLACED.items():
        _create_index(name, columns, condition)
    op.drop_column("ecgs", "redo_after")
    op.drop_column("ecgs", "catalogue")
    for name in OF_DEFINITIONS:
        op.drop_column("insight_definitions", name)
    op.drop_table("catalogues")


def _create_index(name: str, columns: list[str], condition: str) -> None:
    where = sa.text(condition)
    op.create_index(name, "ecgs", columns, sqlite_where=where, postgresql_where=where)
