"""How each connection to SQLite is set up, and how its transactions begin."""

from __future__ import annotations

import random
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.pool import ConnectionPoolEntry

# Execution options of an engine or a connection.
WRITING = "isoline_writing"
TURN = "isoline_turn"
PAUSE = "isoline_pause"
# How long a writer sleeps on average before it asks for the lock again; and one that lets the
# others go first.
PAUSE_S, LONG_PAUSE_S = 0.001, 0.003


def prepare(connection: DBAPIConnection, entry: ConnectionPoolEntry) -> None:
    """Set a new connection up; SQLAlchemy calls it."""
    # Python's driver would begin transactions by itself, too late and always deferred.
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode = WAL")
    cursor.execute("PRAGMA synchronous = FULL")
    # The relay brings the log into the file every second. An upload that has to do it, because so
    # many pages have gathered (1 GB), waits for seconds (bench/locks.py): that is for a house
    # without a relay, whose log must not grow for ever. Beside a relay, so many gather only while
    # somebody reads for as long, as the backup of a very large database does.
    cursor.execute("PRAGMA wal_autocheckpoint = 262144")
    cursor.execute("PRAGMA foreign_keys = ON")
    # Erased means erased: overwrite what DELETE frees.
    cursor.execute("PRAGMA secure_delete = ON")
    cursor.close()


def begin(connection: Connection) -> None:
    """Begin a transaction, with the lock if it is to write; SQLAlchemy calls it."""
    # A transaction that reads first and writes later fails at once, whatever the timeout,
    # when another one wrote in between: writers take the lock before they read.
    options = connection.get_execution_options()
    if not options.get(WRITING):
        # By the driver itself: to have it done by SQLAlchemy takes longer than to do it.
        connection.connection.cursor().execute("BEGIN")
        return
    # SQLite sleeps for longer and longer, up to a tenth of a second, while others come and go:
    # whoever asks every millisecond has a fair chance against them.
    driver = connection.connection.cursor()
    turn, _ = options[TURN]
    with without_waiting(driver) as patience_s:
        end_s = time.monotonic() + patience_s
        while not _try_to_begin(driver) and time.monotonic() < end_s:
            # Who waits for another process keeps no thread of its own from asking meanwhile.
            turn.release()
            try:
                time.sleep(options.get(PAUSE, PAUSE_S) * random.uniform(0.5, 1.5))  # noqa: S311 - not a secret
            finally:
                turn.acquire()
        if not driver.connection.in_transaction:
            # What is in the way is to be said by SQLAlchemy.
            connection.exec_driver_sql("BEGIN IMMEDIATE")
    driver.close()


@contextmanager
def without_waiting(driver: Any) -> Iterator[float]:
    """SQLite says at once what it cannot do yet; yields how many seconds it would wait by itself.

    Parameters
    ----------
    driver : a cursor of Python's own.
    """
    [patience_ms] = driver.execute("PRAGMA busy_timeout").fetchone()
    driver.execute("PRAGMA busy_timeout = 0")
    try:
        yield patience_ms / 1000
    finally:
        driver.execute(f"PRAGMA busy_timeout = {patience_ms}")


def _try_to_begin(driver: Any) -> bool:
    """Begin; False when somebody else is writing at the moment, so that it must be tried again."""
    try:
        driver.execute("BEGIN IMMEDIATE")
    except sqlite3.DatabaseError as error:
        # Whatever else is in the way will be in it the next time, too.
        return error.sqlite_errorcode != sqlite3.SQLITE_BUSY
    return True
