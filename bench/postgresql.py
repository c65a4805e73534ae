"""PostgreSQL itself, beside the processes that ask it: who it is, and how much it has stored."""

from __future__ import annotations

from collections.abc import Callable
from typing import LiteralString

import psutil
import psycopg

from tests.databases import plain_url


def server_of(url: str) -> int:
    """The process id of the server behind a URL: whoever answers a connection is its child."""
    with psycopg.connect(plain_url(url)) as connection:
        return psutil.Process(connection.info.backend_pid).ppid()


def size_of(url: str) -> Callable[[], int]:
    """The files of a database, without the server's log."""
    return lambda: _number(url, "SELECT pg_database_size(current_database())")


def log_of(url: str) -> Callable[[], int]:
    """All that the server has ever written into its log, most of which is cut off by now."""
    return lambda: _number(url, "SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')")


def _number(url: str, question: LiteralString) -> int:
    with psycopg.connect(plain_url(url)) as connection:
        [[number]] = connection.execute(question).fetchall()
        return int(number)
