"""The engine, and the two ways to use it: `reading` and `transaction`.

SQLite runs in WAL with synchronous=FULL, PostgreSQL with synchronous_commit, whatever the server's
default: what is committed survives the power cut.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Double, Engine
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from shared import postgresql, sqlite
from shared.outages import translated


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
        writer waits for a turn among the threads of its process, then, letting the others ask in
        between, for other processes, and at last for its turn again: thrice that at most.
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
        return sqlite.connect(url, patience_s=patience_s, options=options)
    return postgresql.connect(url, patience_s=patience_s, idle_s=idle_s, options=options)


@contextmanager
def transaction(engine: Engine) -> Iterator[Connection]:
    """Everything inside is committed together at the end, or not at all.

    Raises
    ------
    DatabaseUnavailable : the database is away, locked for too long, damaged, or cannot write.
    """
    with translated(), writing(engine) as connection, connection.begin():
        yield connection


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """A connection whose transactions write, for those who begin and commit them themselves."""
    with sqlite.turn_to_write(engine) as turn, engine.connect() as connection:
        yield connection.execution_options(**{sqlite.TURN: turn})


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """A connection for SELECTs; raises `DatabaseUnavailable` likewise.

    On SQLite they all see one moment, on PostgreSQL each the moment it is asked.
    """
    with translated(), sqlite.turn_to_read(engine), engine.connect() as connection:
        yield connection
