"""What only SQLite needs: how it is connected to, who writes when, and who reads when."""

from __future__ import annotations

import random
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.pool import ConnectionPoolEntry

from shared.errors import DatabaseUnavailable

# Execution options: of an engine its queues, of a connection that writes its turn.
QUEUES = "isoline_queues"
TURN = "isoline_turn"
# How long a writer sleeps on average before it asks for the lock again; and one that lets the
# others go first.
PAUSE_S, LONG_PAUSE_S = 0.001, 0.003
# How long a reader lets the one before be; then they read side by side.
READERS_PATIENCE_S = 0.05


@dataclass
class Queues:
    """Where the threads of a process wait for each other.

    SQLite lets one write at a time and has the others sleep and look again, up to a tenth of a
    second: threads of one process had better queue for their turn.
    """

    patience_s: float
    pause_s: float = PAUSE_S
    writers: threading.Lock = field(default_factory=threading.Lock)
    readers: threading.Lock = field(default_factory=threading.Lock)


class Turn:
    """A thread's turn among the writers of its process, which it gives up while it sleeps."""

    def __init__(self, queues: Queues) -> None:
        self._queues = queues
        self._is_held = False

    def take(self) -> None:
        """Wait for it; raises `DatabaseUnavailable` when it takes longer than one waits."""
        self._is_held = self._queues.writers.acquire(timeout=self._queues.patience_s)
        if not self._is_held:
            raise DatabaseUnavailable("The database is locked.")

    def give_up(self) -> None:
        """Let the next one have it."""
        if self._is_held:
            self._is_held = False
            self._queues.writers.release()

    def sleep(self) -> None:
        """Let the others ask, and take it again; raises likewise."""
        self.give_up()
        time.sleep(self._queues.pause_s * random.uniform(0.5, 1.5))  # noqa: S311 - not a secret
        self.take()


def connect(url: str, *, patience_s: float, options: dict[str, Any]) -> Engine:
    """Make an engine; its arguments are those of `database.connect`."""
    engine = create_engine(url, connect_args={"timeout": patience_s}, **options)
    engine.update_execution_options(**{QUEUES: Queues(patience_s)})
    event.listen(engine, "connect", _prepare)
    event.listen(engine, "begin", begin)
    return engine


def file_of(database_url: str) -> Path | None:
    """The file that a SQLite database is; None for any other."""
    url = make_url(database_url)
    return Path(url.database) if url.get_backend_name() == "sqlite" and url.database else None


def let_others_first(engine: Engine) -> None:
    """Have the writers of this engine ask less often for SQLite's lock than those of others do."""
    if queues := _queues_of(engine):
        queues.pause_s = LONG_PAUSE_S


@contextmanager
def turn_to_write(engine: Engine) -> Iterator[Turn | None]:
    """Wait for a turn among this engine's writers; there is none where everybody may write.

    Raises
    ------
    DatabaseUnavailable : the others take longer than one waits.
    """
    queues = _queues_of(engine)
    if queues is None:
        yield None
        return
    turn = Turn(queues)
    turn.take()
    try:
        yield turn
    finally:
        turn.give_up()


@contextmanager
def turn_to_read(engine: Engine) -> Iterator[None]:
    """Reading SQLite is work for the processor, during which Python lets other threads have it.

    Of eight that poll at once each would be interrupted by the others at every call: that takes all
    of them a third longer than one after the other.
    """
    queues = _queues_of(engine)
    if queues is None:
        yield
        return
    has_turn = queues.readers.acquire(timeout=READERS_PATIENCE_S)
    try:
        yield
    finally:
        if has_turn:
            queues.readers.release()


def _queues_of(engine: Engine) -> Queues | None:
    queues: Queues | None = engine.get_execution_options().get(QUEUES)
    return queues


def _prepare(connection: DBAPIConnection, entry: ConnectionPoolEntry) -> None:
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
    """Begin a transaction, with SQLite's lock if it is to write; SQLAlchemy calls it."""
    # A transaction that reads first and writes later fails at once, whatever the timeout,
    # when another one wrote in between: writers take the lock before they read.
    turn: Turn | None = connection.get_execution_options().get(TURN)
    if turn is None:
        # By the driver itself: to have it done by SQLAlchemy takes longer than to do it.
        connection.connection.cursor().execute("BEGIN")
        return
    # SQLite sleeps for longer and longer, up to a tenth of a second, while others come and go:
    # whoever asks every millisecond has a fair chance against them.
    driver = connection.connection.cursor()
    with without_waiting(driver) as patience_s:
        end_s = time.monotonic() + patience_s
        while not _try_to_begin(driver) and time.monotonic() < end_s:
            # Who waits for another process keeps no thread of its own from asking meanwhile.
            turn.sleep()
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
        # Above the lowest byte: that it is busy with coming back from a crash, for instance.
        return error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY
    return True
