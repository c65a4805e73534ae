"""PostgreSQL stores the samples as they are: it tried in vain to compress what is compressed."""

from __future__ import annotations

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _store("EXTERNAL")


def downgrade() -> None:
    _store("EXTENDED")


def _store(how: str) -> None:
    # Of what is stored from now on; what was is left where it lies.
    if op.get_bind().dialect.name == "postgresql":
        op.execute(f"ALTER TABLE signals ALTER COLUMN encoded SET STORAGE {how}")
