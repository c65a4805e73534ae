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
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from bench.cases import Case, cases, open_isoline
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
WHO = {"API": "api", "worker": "worker", "relay": "worker.relay"}


class WatchedHouse(House):
    """The processes of production, each with a watch on it."""

    MODULES: ClassVar = {
        name: ["bench.watched", *started] for name, started in House.MODULES.items()
    }

    def __init__(self, folder: Path, database_url: str) -> None:
        super().__init__(folder, database_url)
        self.environ["BENCH_WAITS"] = str(folder)


def waits(case: Case) -> list[dict[str, Any]]:
    """A row for each process that writes while single uploads come over eight connections."""
    with (
        tempfile.TemporaryDirectory(prefix="isoline-bench-") as name,
        open_isoline(Path(name), kind=WatchedHouse) as stand,
    ):
        files = {who: Path(name) / module for who, module in WHO.items()}
        asyncio.run(rate(stand, case, CONNECTIONS, 0.5))
        for file in files.values():
            os.truncate(file, 0)
        run = asyncio.run(rate(stand, case, CONNECTIONS, SECONDS))
        records = {who: list(RECORD.iter_unpack(file.read_bytes())) for who, file in files.items()}
    took_s = run.ecgs / run.a_second
    rows = []
    for who, of in records.items():
        turns_s, begins_s, _ = zip(*of, strict=True)
        held_s = [whole - turn - begin for turn, begin, whole in of]
        rows.append(
            {
                "who": who,
                "transactions an ECG": round(len(of) / run.ecgs, 2),
                "waits for its own threads, p50 / p99 / max ms": _spread(turns_s),
                "BEGIN IMMEDIATE, p50 / p99 / max ms": _spread(begins_s),
                "holds the lock, p50 / p99 / max ms": _spread(held_s),
                "of the time": f"{sum(held_s) / took_s:.0%}",
            }
        )
    return rows


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
