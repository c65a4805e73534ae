"""The engine, and the two ways to use it: `reading` and `transaction`.

SQLite runs in WAL with synchronous=FULL, PostgreSQL with synchronous_commit, whatever the server's
default: what is committed survives the power cut.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Double, Engine, create_engine, event, make_url
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from shared import sqlite
from shared.errors import DatabaseUnavailable
from shared.outages import translated

READING_TURN = "isoline_reading_turn"
# How long a reader lets the one before be; then they read side by side.
READERS_PATIENCE_S = 0.05


class now_s(FunctionElement[float]):  # noqa: N801 - an SQL function, named like one
    """The database's clock, in seconds since 1970: no decision uses the clock of a worker."""

    type = Double()
    inherit_cache = True


@compiles(now_s, "sqlite")
def _now_sqlite(element: now_s, compiler: SQLCompiler, **kw: Any) -> str:
    # unixepoch('subsec') came with SQLite 3.42; Python 3.11 may still bring 3.40.
    return "((julianday('now') - 2440587.5) * 86400.0)"


@compiles(now_s, "postgresql")
def _now_postgresql(element: now_s, compiler: SQLCompiler, **kw: Any) -> str:
    return "extract(epoch FROM clock_timestamp())::double precision"


def connect(
    url: str, *, patience_s: float = 5.0, pool_size: int = 16, idle_s: float = 30.0
) -> Engine:
    """Make an engine for SQLite or PostgreSQL.

    Parameters
    ----------
    url : a SQLAlchemy URL, as `Settings.database_url` holds it.
    patience_s : seconds to wait for a lock, or for a connection, before giving up. On SQLite a
        writer waits for a turn among the threads of its process, and for other processes with that
        let go in between: about twice that at most.
    pool_size : connections kept open; the same number again may be opened at a peak.
    idle_s : seconds after which PostgreSQL takes back what a transaction holds in which nothing is
        asked: whoever froze in it, or vanished, would keep others from its rows. 0: never.
    """
    # hide_parameters: an error must never print a name or a sample that was bound to a statement.
    options: dict[str, Any] = {
        "hide_parameters": True,
        "pool_size": pool_size,
        "max_overflow": pool_size,
        "pool_timeout": patience_s,
    }
    if url.startswith("sqlite"):
        engine = create_engine(url, connect_args={"timeout": patience_s}, **options)
        # SQLite lets one write at a time and has the others sleep and look again, up to a tenth of
        # a second: threads of one process had better queue for their turn.
        engine.update_execution_options(
            **{sqlite.TURN: (threading.Lock(), patience_s), READING_TURN: threading.Lock()}
        )
        event.listen(engine, "connect", sqlite.prepare)
        event.listen(engine, "begin", sqlite.begin)
        return engine
    milliseconds = int(patience_s * 1000)
    engine = create_engine(
        url,
        pool_pre_ping=True,
        connect_args={
            "connect_timeout": max(2, int(patience_s)),
            # A host that vanishes says nothing; the kernel would wait for it for a quarter hour.
            "keepalives_idle": 5,
            "keepalives_interval": 2,
            "keepalives_count": 3,
            "tcp_user_timeout": 2 * milliseconds,
            "options": f"-c lock_timeout={milliseconds} -c statement_timeout={3 * milliseconds} "
            f"-c idle_in_transaction_session_timeout={int(idle_s * 1000)}",
        },
        **options,
    )
    _prepare_postgresql(engine, patience_s)
    return engine


def let_others_first(engine: Engine) -> None:
    """Have the writers of this engine ask less often for SQLite's lock than those of others do."""
    engine.update_execution_options(**{sqlite.PAUSE: sqlite.LONG_PAUSE_S})


def sqlite_file_of(database_url: str) -> Path | None:
    """The file that a SQLite database is; None for any other."""
    url = make_url(database_url)
    return Path(url.database) if url.get_backend_name() == "sqlite" and url.database else None


def _prepare_postgresql(engine: Engine, patience_s: float) -> None:
    # A twentieth of what it takes to start, of which SQLite needs nothing.
    import psycopg

    class Impatient(psycopg.Connection[Any]):
        # A server that is frozen holds its end of the connection and never says a word: it keeps to
        # none of the bounds that it was told.
        # A migration, which is none of a user's questions, sets it to None.
        longest_s: float | None = 4 * patience_s

        def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
            # In autocommit nothing is asked but whether it is there, which takes no time.
            longest_s = patience_s if self.autocommit else self.longest_s
            try:
                return super().wait(gen, interval, timeout or longest_s)
            except psycopg.errors._WaitTimeout:
                # What it would still say belongs to nobody.
                self.pgconn.finish()
                raise psycopg.OperationalError("The server says nothing.") from None

    def connect(dialect: Any, entry: Any, arguments: Any, named: Any) -> Any:
        connection = Impatient.connect(*arguments, **named)
        connection.autocommit = True
        connection.execute(_DURABLY)
        connection.autocommit = False
        return connection

    event.listen(engine, "do_connect", connect)


# A commit that the server tells of before it is on a disk would make an answer of 201 a guess;
# remote_apply is the one that asks for more.
_DURABLY = """
SELECT set_config('synchronous_commit', 'on', false)
WHERE current_setting('synchronous_commit') <> 'remote_apply'
"""


@contextmanager
def transaction(engine: Engine) -> Iterator[Connection]:
    """Everything inside is committed together at the end, or not at all.

    Raises
    ------
    DatabaseUnavailable : the database is away, locked for too long, damaged, or cannot write.
    """
    with translated(), _turn(engine), engine.connect() as plain:
        connection = plain.execution_options(**{sqlite.WRITING: True})
        with connection.begin():
            yield connection


@contextmanager
def _turn(engine: Engine) -> Iterator[None]:
    queue = engine.get_execution_options().get(sqlite.TURN)
    if queue is None:
        yield
        return
    lock, patience_s = queue
    if not lock.acquire(timeout=patience_s):
        raise DatabaseUnavailable("The database is locked.")
    try:
        yield
    finally:
        lock.release()


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """A connection for SELECTs; raises `DatabaseUnavailable` likewise.

    On SQLite they all see one moment, on PostgreSQL each the moment it is asked.
    """
    with translated(), _reading_turn(engine), engine.connect() as connection:
        yield connection


@contextmanager
def _reading_turn(engine: Engine) -> Iterator[None]:
    """Reading SQLite is work for the processor, during which Python lets other threads have it.

    Of eight that poll at once each would be interrupted by the others at every call: that takes all
    of them a third longer than one after the other.
    """
    lock: threading.Lock | None = engine.get_execution_options().get(READING_TURN)
    if lock is None:
        yield
        return
    has_turn = lock.acquire(timeout=READERS_PATIENCE_S)
    try:
        yield
    finally:
        if has_turn:
            lock.release()
