"""The database: what is away is said to be away, in time and by its own name."""

from __future__ import annotations

import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest
from sqlalchemy import Engine, create_engine, make_url, select, text, update

from shared import database, sqlite, sqlite_log
from shared.errors import DatabaseDamaged, DatabaseUnavailable
from shared.models import Ecg
from tests.databases import another_database, damage, open_postgresql


def test_tables_that_are_not_there_yet_are_a_database_that_is_not_ready(
    postgresql_url: str,
) -> None:
    engine = database.connect(another_database(postgresql_url, "no_tables"))
    with pytest.raises(DatabaseUnavailable), database.reading(engine) as connection:
        connection.execute(select(Ecg.id))
    engine.dispose()


def test_a_server_that_is_frozen_is_given_up_and_found_again() -> None:
    with open_postgresql() as url:
        engine = database.connect(url, patience_s=3.0)
        with database.reading(engine) as connection:
            backend = connection.scalar(text("SELECT pg_backend_pid()"))
        postmaster = psutil.Process(backend).parent()
        assert postmaster is not None
        frozen = [postmaster, *postmaster.children(recursive=True)]
        for process in frozen:
            process.suspend()
        try:
            began_s = time.monotonic()
            with pytest.raises(DatabaseUnavailable), database.reading(engine) as connection:
                connection.execute(select(1))
            assert time.monotonic() - began_s < 10
        finally:
            for process in frozen:
                process.resume()
        with database.reading(engine) as connection:
            assert connection.scalar(select(1)) == 1
        engine.dispose()


def test_whoever_freezes_in_a_transaction_lets_go_of_what_it_holds(postgresql_url: str) -> None:
    url = another_database(postgresql_url, "frozen_in_a_transaction")
    frozen, others = database.connect(url, idle_s=0.5), database.connect(url, patience_s=10.0)
    with database.transaction(others) as connection:
        connection.exec_driver_sql("CREATE TABLE things (name TEXT)")
        connection.exec_driver_sql("INSERT INTO things VALUES ('a row')")
    write = text("UPDATE things SET name = 'written'")
    written_by_others: list[bool] = []

    def freeze() -> None:
        with database.transaction(frozen) as held:
            held.execute(write)
            with database.transaction(others) as connection:
                connection.execute(write)
            written_by_others.append(True)
            held.execute(write)

    with pytest.raises(DatabaseUnavailable):
        freeze()
    assert written_by_others
    for engine in (frozen, others):
        engine.dispose()


@pytest.mark.parametrize(
    ("by_default", "ours"), [("off", "on"), ("local", "on"), ("remote_apply", "remote_apply")]
)
def test_a_commit_is_durable_whatever_the_server_does_by_default(
    postgresql_url: str, by_default: str, ours: str
) -> None:
    url = another_database(postgresql_url, f"hasty_{by_default}")
    engine = database.connect(url)
    with engine.begin() as connection:
        name = make_url(url).database
        connection.exec_driver_sql(f"ALTER DATABASE {name} SET synchronous_commit = {by_default}")
    engine.dispose()
    asked = text("SELECT current_setting('synchronous_commit')")
    plain = create_engine(url)
    with plain.connect() as connection:
        assert connection.scalar(asked) == by_default
    plain.dispose()
    with database.transaction(engine) as connection:
        assert connection.scalar(asked) == ours
    # Also on a connection that somebody has used and left, as after a failure.
    with pytest.raises(DatabaseUnavailable), database.transaction(engine):
        raise DatabaseUnavailable
    with database.transaction(engine) as connection:
        assert connection.scalar(asked) == ours
    engine.dispose()


def test_a_server_that_says_nothing_is_given_up_in_seconds() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"postgresql+psycopg://a:b@127.0.0.1:{silent.getsockname()[1]}/c"
        engine = database.connect(url, patience_s=2.0)
        began_s = time.monotonic()
        with pytest.raises(DatabaseUnavailable), database.reading(engine) as connection:
            connection.execute(select(1))
        assert time.monotonic() - began_s < 10


@pytest.mark.parametrize("kept_bytes", [0, 4096], ids=["all of it", "all but the first page"])
def test_a_file_that_is_damaged_says_so_whatever_is_done_with_it(
    sqlite_engine: Engine, kept_bytes: int
) -> None:
    damage(sqlite_engine, kept_bytes=kept_bytes)
    with pytest.raises(DatabaseDamaged), database.reading(sqlite_engine) as connection:
        connection.execute(select(Ecg.id))
    with pytest.raises(DatabaseDamaged), database.transaction(sqlite_engine) as connection:
        connection.execute(update(Ecg).values(attempts=1))
    with pytest.raises(DatabaseDamaged):
        sqlite_log.empty(sqlite_engine)


@pytest.mark.parametrize("state", ["data_corrupted", "index_corrupted"])
def test_what_postgresql_finds_damaged_is_called_so(postgresql_url: str, state: str) -> None:
    engine = database.connect(postgresql_url)
    finding = text(f"DO $$ BEGIN RAISE EXCEPTION 'a page' USING ERRCODE = '{state}'; END $$")
    with pytest.raises(DatabaseDamaged), database.reading(engine) as connection:
        connection.execute(finding)
    engine.dispose()


def test_whoever_reads_for_long_keeps_nobody_from_reading(engine: Engine) -> None:
    with database.reading(engine) as one, ThreadPoolExecutor(2) as others:
        one.execute(text("SELECT 1"))

        def read(_: int) -> bool:
            with database.reading(engine) as another:
                return bool(another.scalar(text("SELECT 2")) == 2)

        assert all(others.map(read, range(4)))


def test_nobody_waits_longer_than_they_are_patient_for_a_neighbour_who_was_quicker(
    sqlite_engine: Engine,
) -> None:
    url = str(sqlite_engine.url)
    ours = database.connect(url, patience_s=0.5)
    waited_s: list[float] = []

    def write() -> None:
        began_s = time.monotonic()
        try:
            with database.transaction(ours):
                waited_s.append(time.monotonic() - began_s)
                # Longer than the other one waits.
                time.sleep(2.0)
        except DatabaseUnavailable:
            waited_s.append(time.monotonic() - began_s)

    # Who of them is first is a matter of chance.
    for _ in range(4):
        writers = [threading.Thread(target=write) for _ in range(2)]
        with database.transaction(sqlite_engine):
            for writer in writers:
                writer.start()
            time.sleep(0.2)
        for writer in writers:
            writer.join()
    ours.dispose()
    assert len(waited_s) == 8
    assert max(waited_s) < 1.5


def test_whoever_waits_for_another_process_keeps_no_thread_of_its_own_from_asking(
    sqlite_engine: Engine,
) -> None:
    other = database.connect(str(sqlite_engine.url))
    written = threading.Event()

    def write() -> None:
        with database.transaction(sqlite_engine):
            written.set()

    waiting = threading.Thread(target=write)
    turn = sqlite_engine.get_execution_options()[sqlite.QUEUES].writers
    with database.transaction(other):
        waiting.start()
        # It is held for as long as it takes to ask, again and again.
        for _ in range(20):
            assert turn.acquire(timeout=1)
            turn.release()
        assert not written.is_set()
    assert written.wait(5)
    waiting.join()
    assert turn.acquire(timeout=1)
    turn.release()
    other.dispose()
