"""PostgreSQL itself, beside the processes that ask it: who it is, and how much it has stored."""

from __future__ import annotations

from collections.abc import Callable

import psutil
import psycopg

from tests.parts import plain_url


def server_of(url: str) -> int:
    """The process id of the server behind a URL: whoever answers a connection is its child."""
    with psycopg.connect(plain_url(url)) as connection:
        return psutil.Process(connection.info.backend_pid).ppid()


def size_of(url: str) -> Callable[[], int]:
    """The files of a database, without the server's log, which is cut off again and again."""

    def count() -> int:
        with psycopg.connect(plain_url(url)) as connection:
            found = connection.execute("SELECT pg_database_size(current_database())")
            [[size]] = found.fetchall()
            return int(size)

    return count
