"""Start a process of Isoline as it is, with a watch on how long it waits for SQLite's write lock.

`python -m bench.watched worker --bulk`, for example: for each transaction that writes, a record
goes into a file in the folder that BENCH_WAITS names. `bench.locks` reads them.
"""

from __future__ import annotations

import os
import runpy
import struct
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection, Engine

from shared import database, sqlite

# Seconds: of waiting for other threads, of BEGIN IMMEDIATE, of what is then done, and of COMMIT
# until its thread goes on; and whether it is for lines of a batch that are taken in.
RECORD = struct.Struct("<4d?")
RECEPTION = str(Path("api", "reception.py"))


class _Here(threading.local):
    """What a thread's transaction has waited for so far."""

    turn_s = begin_s = 0.0


def watch(file: Path) -> None:
    """Have every transaction that writes leave a record at the end of this file."""
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    here = _Here()
    begin, take, transaction = sqlite.begin, sqlite.Turn.take, database.transaction

    def watched_begin(connection: Connection) -> None:
        began_s = time.perf_counter()
        waited_s = here.turn_s
        begin(connection)
        if connection.get_execution_options().get(sqlite.TURN):
            here.begin_s = time.perf_counter() - began_s - (here.turn_s - waited_s)

    def watched_take(self: sqlite.Turn) -> None:
        began_s = time.perf_counter()
        try:
            take(self)
        finally:
            # More than once, when it was given up in between.
            here.turn_s += time.perf_counter() - began_s

    @contextmanager
    def watched_transaction(engine: Engine) -> Iterator[Connection]:
        began_s = time.perf_counter()
        here.turn_s = 0.0
        with transaction(engine) as connection:
            yield connection
            done_s = time.perf_counter()
        commit_s = time.perf_counter() - done_s
        work_s = done_s - began_s - here.turn_s - here.begin_s
        record = RECORD.pack(here.turn_s, here.begin_s, work_s, commit_s, _is_of_a_batch())
        os.write(descriptor, record)

    sqlite.begin = watched_begin
    sqlite.Turn.take = watched_take  # type: ignore[method-assign]
    database.transaction = watched_transaction


def _is_of_a_batch() -> bool:
    frame = sys._getframe().f_back
    while frame is not None and not frame.f_code.co_filename.endswith(RECEPTION):
        frame = frame.f_back
    return frame is not None


if __name__ == "__main__":
    # Before anybody imports what is replaced; children are forked, and watched with it.
    watch(Path(os.environ["BENCH_WAITS"]) / "-".join(sys.argv[1:]).replace("---", "-"))
    module = sys.argv.pop(1)
    runpy.run_module(module, run_name="__main__", alter_sys=True)
