"""What a database says when it cannot be used, in our own words."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DBAPIError, InternalError, OperationalError, TimeoutError

from shared.errors import DatabaseDamaged, DatabaseUnavailable

# PostgreSQL's undefined_table and undefined_column, data_corrupted and index_corrupted.
NOT_MIGRATED = {"42P01", "42703"}
DAMAGED = {"XX001", "XX002"}
# SQLite's, whose extended codes have more above the lowest byte.
DAMAGED_FILE = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


@contextmanager
def translated() -> Iterator[None]:
    """Have whatever is raised inside because the database cannot be used say so.

    Raises
    ------
    DatabaseDamaged : what it holds is not what was written.
    DatabaseUnavailable : it is away, locked, full, or not migrated yet.
    """
    try:
        yield
    except (DBAPIError, TimeoutError, sqlite3.Error) as error:
        if _is_damage(error):
            raise DatabaseDamaged(
                "The database is damaged: restore it from a backup, see docs/operations.md."
            ) from error
        if _is_outage(error):
            raise DatabaseUnavailable("The database is not available.") from error
        raise


def _is_damage(error: Exception) -> bool:
    # What is asked of SQLite beside a transaction, and while one begins, is the driver's own error.
    origin = error.orig if isinstance(error, DBAPIError) else error
    code = getattr(origin, "sqlite_errorcode", sqlite3.SQLITE_OK)
    return code & 0xFF in DAMAGED_FILE or getattr(origin, "sqlstate", "") in DAMAGED


def _is_outage(error: Exception) -> bool:
    if isinstance(
        error, OperationalError | InternalError | TimeoutError | sqlite3.OperationalError
    ):
        return True
    # To SQLite a table that is not there is an operational error; here too it is somebody who has
    # not migrated yet.
    return isinstance(error, DBAPIError) and (
        error.connection_invalidated or getattr(error.orig, "sqlstate", "") in NOT_MIGRATED
    )
