"""Bring a database to a revision of the tables, and tell which one it is at."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine


def upgrade(engine: Engine, revision: str = "head") -> None:
    """Take the steps that are missing; does nothing when there is none."""
    command.upgrade(_config(engine), revision)


def downgrade(engine: Engine, revision: str) -> None:
    """Take steps back, as far as `revision` ("base" is an empty database)."""
    command.downgrade(_config(engine), revision)


def newest_revision() -> str:
    """The revision that this code was written for."""
    return ScriptDirectory(str(Path(__file__).parent)).get_current_head() or ""


def current_revision(connection: Connection) -> str | None:
    """The revision that the database is at; None when it has never been migrated."""
    return MigrationContext.configure(connection).get_current_revision()


def _config(engine: Engine) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["engine"] = engine
    return config
