"""Which revision of the tables there is, and which one this code was written for.

Without Alembic, which takes as long to import as Flask: only who migrates needs that.
"""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection, inspect, text

_VERSIONS = Path(__file__).parent / "versions"


def newest_revision() -> str:
    """The revision that this code was written for."""
    return max(file.stem.partition("_")[0] for file in _VERSIONS.glob("[0-9]*_*.py"))


def current_revision(connection: Connection) -> str | None:
    """The revision that the database is at; None when it has never been migrated."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    revision: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
    return revision
