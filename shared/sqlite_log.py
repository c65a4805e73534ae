"""SQLite's write-ahead log: what it holds goes into the file; PostgreSQL sees to its own.

Both raise `DatabaseUnavailable`. Neither is done inside a transaction, where SQLite refuses it.
"""

from __future__ import annotations

from sqlalchemy import Engine

from shared.outages import translated


def bring_home(engine: Engine) -> None:
    """Bring what the log holds into the file, while others read and write."""
    if engine.dialect.name == "sqlite":
        with translated(), engine.connect() as connection:
            connection.connection.cursor().execute("PRAGMA wal_checkpoint(PASSIVE)").close()


def empty(engine: Engine) -> None:
    """Have nothing left in the log, not even what was erased; another time, if somebody reads."""
    # Nobody can write while it is emptied: it is to have next to nothing in it by then.
    bring_home(engine)
    if engine.dialect.name == "sqlite":
        with translated(), engine.connect() as connection:
            # While it waits for a reader, as a backup is for minutes, nobody else can write.
            driver = connection.connection.cursor()
            [patience_ms] = driver.execute("PRAGMA busy_timeout").fetchone()
            driver.execute("PRAGMA busy_timeout = 100")
            try:
                driver.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            finally:
                driver.execute(f"PRAGMA busy_timeout = {patience_ms}")
                driver.close()
