"""SQLite's write-ahead log: what it holds goes into the file; PostgreSQL sees to its own.

Both raise `DatabaseUnavailable`. Neither is done inside a transaction, where SQLite refuses it.
"""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import Engine

from shared.outages import translated

# What is brought home in a moment, while nobody else can write.
FEW_PAGES = 1000


class Log(NamedTuple):
    """How many pages the log holds, and how many of these are in the file by now, too."""

    held: int
    brought: int

    @property
    def left(self) -> int:
        """How many stayed behind, because somebody reads who began before they were written."""
        return self.held - self.brought


def bring_home(engine: Engine) -> Log:
    """Bring what the log holds into the file, while others read and write."""
    if engine.dialect.name != "sqlite":
        return Log(0, 0)
    with translated(), engine.connect() as connection:
        driver = connection.connection.cursor()
        [_, held, brought] = driver.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        driver.close()
    return Log(held, brought)


def empty(engine: Engine) -> None:
    """Have nothing left in the log, not even what was erased; another time, if somebody reads."""
    # Nobody can write while it is emptied: by then it is to have next to nothing in it, and not
    # what others wrote for the seconds that a large one takes either.
    bring_home(engine)
    if bring_home(engine).left > FEW_PAGES or engine.dialect.name != "sqlite":
        return
    with translated(), engine.connect() as connection:
        # Whoever reads is waited for, but not by all who write.
        driver = connection.connection.cursor()
        [patience_ms] = driver.execute("PRAGMA busy_timeout").fetchone()
        driver.execute("PRAGMA busy_timeout = 100")
        try:
            driver.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        finally:
            driver.execute(f"PRAGMA busy_timeout = {patience_ms}")
            driver.close()
