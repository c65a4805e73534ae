"""How long who writes to SQLite waits for its one write lock: `python -m bench.locks`.

API and worker both write, and one waits while the other holds the lock: that is a convoy when the
waits are long beside what it is held for, or when it is held most of the time. Each process is
started by `bench.watched`, which leaves a record of each transaction; the code is production's.

And what a commit costs that has to bring the log home, since nobody else did.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import Any, ClassVar

from bench.bulk import submit
from bench.cases import Case, Stand, cases, open_isoline
from bench.singles import quantile, rate
from bench.tables import print_table
from bench.watched import RECORD
from shared import database
from shared.database import transaction
from tests.chaos.house import House

CONNECTIONS = 8
# Long enough for the relay, which writes once a second.
SECONDS = 5.0
# Twice what the log may hold, and some more.
LOG_BYTES = 2_300_000_000
COMMIT_BYTES = 2_000_000
# More than are taken in while single uploads come.
LINES = 4_000
BEGUN_WITHIN_S = 2.0
TAKEN_IN = "API, a batch's lines"
# And the file that each leaves its records in.
WHO = {
    "API": "api",
    TAKEN_IN: "api",
    "worker": "worker",
    "bulk worker": "worker-bulk",
    "relay": "worker.relay",
}


class WatchedHouse(House):
    """The processes of production, each with a watch on it."""

    MODULES: ClassVar = {
        name: ["bench.watched", *started] for name, started in House.MODULES.items()
    }

    def __init__(self, folder: Path, database_url: str) -> None:
        super().__init__(folder, database_url)
        self.environ["BENCH_WAITS"] = str(folder)


def waits(case: Case) -> list[dict[str, Any]]:
    """A row for each who writes while single uploads come over eight connections, and once more
    while a batch is taken in beside them."""
    rows = []
    for beside in ("nothing", "a batch"):
        with ExitStack() as stack:
            name = stack.enter_context(tempfile.TemporaryDirectory(prefix="isoline-bench-"))
            stand = stack.enter_context(open_isoline(Path(name), kind=WatchedHouse))
            asyncio.run(rate(stand, case, CONNECTIONS, 0.5))
            if beside == "a batch":
                stack.enter_context(_batch(stand, case))
            files = [Path(name) / module for module in dict.fromkeys(WHO.values())]
            for file in files:
                os.truncate(file, 0)
            run = asyncio.run(rate(stand, case, CONNECTIONS, SECONDS))
            records = {file.name: list(RECORD.iter_unpack(file.read_bytes())) for file in files}
        for who, module in WHO.items():
            is_of_a_batch = who == TAKEN_IN
            if of := [
                times for *times, of_a_batch in records[module] if of_a_batch == is_of_a_batch
            ]:
                row = {"beside": beside, "who": who}
                rows.append({**row, **_row(of, run.ecgs / run.a_second)})
    return rows


@contextmanager
def _batch(stand: Stand, case: Case) -> Iterator[None]:
    """Have a process of its own send a batch, which outlasts what is done meanwhile."""
    url = f"http://127.0.0.1:{stand.port}"
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        sent = pool.submit(submit, url, stand.headers, case.bodies, LINES)
        time.sleep(BEGUN_WITHIN_S)
        yield
        assert not sent.done(), "The batch ended before what was to be measured beside it."
        sent.result()


def _row(of: Sequence[Sequence[float]], took_s: float) -> dict[str, Any]:
    turns_s, begins_s, works_s, commits_s = zip(*of, strict=True)
    held_s = [work + commit for work, commit in zip(works_s, commits_s, strict=True)]
    return {
        "transactions a second": round(len(of) / took_s, 1),
        "waits for its own threads, p50 / p99 / max ms": _spread(turns_s),
        "BEGIN IMMEDIATE, p50 / p99 / max ms": _spread(begins_s),
        "holds the lock, p50 / p99 / max ms": _spread(held_s),
        # SQLite lets go of its lock before the thread has Python's again, which shows here.
        "of which COMMIT, until its thread goes on": _spread(commits_s),
        "of the time": f"{sum(held_s) / took_s:.0%}",
    }


def beyond_the_log() -> list[dict[str, Any]]:
    """What commits cost without a relay: most of them, and those for which the log is too long."""
    piece = os.urandom(COMMIT_BYTES)
    took_s = []
    with tempfile.TemporaryDirectory(prefix="isoline-bench-") as name:
        engine = database.connect(f"sqlite:///{name}/isoline.db", pool_size=1)
        with transaction(engine) as connection:
            connection.exec_driver_sql("CREATE TABLE pieces (piece BLOB)")
        for _ in range(LOG_BYTES // COMMIT_BYTES):
            began_s = time.perf_counter()
            with transaction(engine) as connection:
                connection.exec_driver_sql("INSERT INTO pieces VALUES (?)", (piece,))
            took_s.append(time.perf_counter() - began_s)
        engine.dispose()
    longest = sorted(range(len(took_s)), key=took_s.__getitem__)[-3:]
    return [
        {"a commit of 2 MB": "p50", "ms": round(quantile(took_s, 0.5), 1)},
        {"a commit of 2 MB": "p99", "ms": round(quantile(took_s, 0.99), 1)},
        *(
            {"a commit of 2 MB": f"number {one + 1:,}", "ms": round(1000 * took_s[one], 1)}
            for one in sorted(longest)
        ),
    ]


def _spread(took_s: Sequence[float]) -> str:
    return " / ".join(f"{quantile(took_s, share):.2f}" for share in (0.5, 0.99, 1.0))


def main() -> None:
    """Measure, and print."""
    for name in ("P12", "P12all"):
        print_table(f"SQLite's write lock, {name}", waits(cases()[name]))
    print_table("SQLite's log beyond 1 GB", beyond_the_log())


if __name__ == "__main__":
    main()
