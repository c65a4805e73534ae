"""SQLite's write-ahead log: what it holds goes into the file; PostgreSQL sees to its own.

All raise `DatabaseUnavailable`. None is done inside a transaction, where SQLite refuses it.
"""

from __future__ import annotations

import random
import time
from typing import Literal, NamedTuple

from sqlalchemy import Engine

from shared.outages import translated
from shared.sqlite import without_waiting

# What is brought home in a moment, while nobody else can write.
FEW_PAGES = 1000
# How often it is tried to find nobody writing or reading, a millisecond apart.
TRIES, PAUSE_S = 50, 0.001


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


def begin_again(engine: Engine) -> None:
    """Have whoever writes next do so at the log's beginning; another time, if somebody reads.

    The log stays as long as it is: to write over what is there takes the file system less than to
    lengthen a file. What was erased is in it until somebody has.
    """
    _checkpoint(engine, "RESTART")


def empty(engine: Engine) -> None:
    """Have nothing left in the log, not even what was erased; another time, if somebody reads."""
    _checkpoint(engine, "TRUNCATE")


def _checkpoint(engine: Engine, mode: Literal["RESTART", "TRUNCATE"]) -> None:
    if engine.dialect.name != "sqlite":
        return
    # Nobody can write meanwhile: by then there is to be next to nothing left to bring home, and
    # not what others wrote for the seconds that a large log takes either.
    before = bring_home(engine)
    log = bring_home(engine)
    written = log.held - before.held
    if max(log.left, written) > FEW_PAGES:
        return
    with translated(), engine.connect() as connection:
        driver = connection.connection.cursor()
        # SQLite would wait for whoever reads, and have all who write wait with it.
        with without_waiting(driver):
            for _ in range(TRIES):
                [is_busy, *_] = driver.execute(f"PRAGMA wal_checkpoint({mode})").fetchone()
                if not is_busy:
                    break
                time.sleep(PAUSE_S * random.uniform(0.5, 1.5))  # noqa: S311 - not a secret
        driver.close()
