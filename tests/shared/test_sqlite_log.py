"""SQLite's log: brought into the file and emptied, and never in the way of those who write."""

from __future__ import annotations

import random
import shutil
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from sqlalchemy import Engine

from shared import database, sqlite_log
from tests.door import Door

CHANCE = random.Random(1)
# A few of these are more than is brought home in a moment.
BODY = {"leads": [{"name": "I", "signal": [CHANCE.randrange(2**31) for _ in range(300_000)]}]}


def test_the_log_is_brought_home_while_somebody_writes(
    sqlite_engine: Engine, tmp_path: Path
) -> None:
    path = Path(sqlite_engine.url.database or "")
    with database.transaction(sqlite_engine) as connection:
        connection.exec_driver_sql("CREATE TABLE things (name TEXT)")
        connection.exec_driver_sql("INSERT INTO things VALUES ('written')")
    with database.transaction(sqlite_engine) as writer:
        writer.exec_driver_sql("INSERT INTO things VALUES ('not yet')")
        sqlite_log.bring_home(sqlite_engine)
        # Without the log beside it.
        shutil.copy(path, tmp_path / "copy.db")
    with closing(sqlite3.connect(tmp_path / "copy.db")) as copy:
        assert copy.execute("SELECT name FROM things").fetchall() == [("written",)]


@contextmanager
def somebody_who_writes(path: Path) -> Iterator[list[bool]]:
    """Tries again and again to begin, without any patience; tells each time whether they could."""
    could: list[bool] = []
    is_over = threading.Event()

    def write() -> None:
        with closing(sqlite3.connect(path, timeout=0, isolation_level=None)) as connection:
            while not is_over.is_set():
                try:
                    connection.execute("BEGIN IMMEDIATE")
                    connection.execute("ROLLBACK")
                    could.append(True)
                except sqlite3.OperationalError:
                    could.append(False)

    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield could
    finally:
        is_over.set()
        thread.join()


@pytest.mark.parametrize("settle", [sqlite_log.begin_again, sqlite_log.empty])
def test_nobody_who_writes_waits_for_whoever_reads(
    sqlite_door: Door, settle: Callable[[Engine], None]
) -> None:
    door = sqlite_door
    ada = door.user()
    path = Path(door.engine.url.database or "")
    log = path.with_name(path.name + "-wal")
    with closing(sqlite3.connect(path, isolation_level=None)) as somebody:
        somebody.execute("BEGIN")
        assert somebody.execute("SELECT id FROM ecgs").fetchall() == []
        door.post("/ecgs", json={"leads": []}, headers=ada)
        with somebody_who_writes(path) as could:
            settle(door.engine)
        waited = could.count(False)
        # SQLite by itself has them wait from the first try to the last.
        assert waited < len(could) / 2
        size = log.stat().st_size
        somebody.execute("COMMIT")
    settle(door.engine)
    door.post("/ecgs", json={"leads": []}, headers=ada)
    # Written over what was there, or into an empty one.
    assert log.stat().st_size <= size


def test_the_log_begins_again_while_somebody_writes_all_the_time(sqlite_engine: Engine) -> None:
    path = Path(sqlite_engine.url.database or "")
    log = path.with_name(path.name + "-wal")
    with database.transaction(sqlite_engine) as connection:
        connection.exec_driver_sql("CREATE TABLE things (name TEXT)")
    sizes = []
    with ThreadPoolExecutor(1) as pool:
        is_over = threading.Event()
        written = pool.submit(_write_until, sqlite_engine, is_over)
        try:
            for _ in range(20):
                time.sleep(0.05)
                sqlite_log.begin_again(sqlite_engine)
                sizes.append(log.stat().st_size)
        finally:
            is_over.set()
    with database.reading(sqlite_engine) as connection:
        stored = connection.exec_driver_sql("SELECT count(*) FROM things").scalar()
    assert stored == written.result()
    # Without it, each of them would have lengthened it by a page at least.
    assert max(sizes) < written.result() * 4096 / 2


def _write_until(engine: Engine, is_over: threading.Event) -> int:
    written = 0
    while not is_over.is_set():
        with database.transaction(engine) as connection:
            connection.exec_driver_sql("INSERT INTO things VALUES ('written')")
        written += 1
    return written


def test_uploads_beside_somebody_who_reads_are_kept_and_the_log_is_emptied_once_they_are_done(
    sqlite_door: Door, tmp_path: Path
) -> None:
    door = sqlite_door
    ada = door.user()
    path = Path(door.engine.url.database or "")
    log = path.with_name(path.name + "-wal")
    asked = "SELECT id FROM ecgs ORDER BY id"
    with closing(sqlite3.connect(path, isolation_level=None)) as somebody:
        somebody.execute("BEGIN")
        assert somebody.execute(asked).fetchall() == []
        stored = [door.post("/ecgs", json=BODY, headers=ada).json["id"] for _ in range(6)]
        held_pages = sqlite_log.bring_home(door.engine).left
        assert held_pages > sqlite_log.FEW_PAGES
        with somebody_who_writes(path) as could:
            sqlite_log.empty(door.engine)
        assert all(could)
        assert log.stat().st_size > held_pages * 4096
        assert somebody.execute(asked).fetchall() == []
    sqlite_log.empty(door.engine)
    assert log.stat().st_size == 0
    # Without the log beside it.
    shutil.copy(path, tmp_path / "copy.db")
    with closing(sqlite3.connect(tmp_path / "copy.db")) as copy:
        assert copy.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert copy.execute(asked).fetchall() == sorted((one,) for one in stored)
