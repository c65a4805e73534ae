"""How cost grows: with the samples of an ECG, the lines of a batch, and all that is stored.

`python -m bench --parts curves` prints all of them, `python -m bench.curves` the last one.
"""

from __future__ import annotations

import argparse
import asyncio
import sqlite3
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

from bench import bulk, singles
from bench.cases import Case, cases, make_body, open_isoline
from bench.polls import STORED, ids, store
from bench.stages import Bench, Watch, open_bench, walk
from bench.tables import print_table
from tests.parts import lines_of

SAMPLES = (10**2, 10**3, 10**4, 10**5, 10**6, 10**7)
LINES = (10**2, 10**3, 10**4)
# Those that ask the database: upload and analysis as a whole, and what of them it takes part in.
STAGES = ("commit", "upload", "claim", "finish", "analyse", "poll")
ROUNDS = 5
UPLOADS_A_ROUND = 40
TITLE_OF_STORED = (
    f"Cost by what is stored (P12): medians in ms of {ROUNDS * UPLOADS_A_ROUND} in process, "
    "in turn, one at a time"
)
# Processor time is counted in hundredths of a second.
TIMES = {samples: 50 if samples <= 10**5 else 9 for samples in SAMPLES}


async def by_samples() -> list[dict[str, Any]]:
    """One lead of more and more samples, on an idle system, until its insights are there."""
    rows = []
    with (
        tempfile.TemporaryDirectory(prefix="isoline-bench-") as folder,
        open_isoline(Path(folder)) as stand,
    ):
        for samples in SAMPLES:
            case = Case(str(samples), "", [make_body(1, samples, 1)])
            # The first ones find nothing warm.
            await singles.idle(stand, case, 3, prefer="wait=20")
            times = TIMES[samples]
            before = stand.cpu_s()
            took = await singles.idle(stand, case, times, prefer="wait=20")
            after = stand.cpu_s()
            rows.append(
                {
                    "samples": samples,
                    "body": len(case.bodies[0]),
                    "upload to insights, median ms": round(singles.quantile(took, 0.5), 1),
                    "ns a sample": round(1e6 * singles.quantile(took, 0.5) / samples, 1),
                    "api CPU ms": round(1e3 * (after["api"] - before["api"]) / times, 1),
                    "worker CPU ms": round(1e3 * (after["worker"] - before["worker"]) / times, 1),
                }
            )
    return rows


def by_lines(case: Case) -> list[dict[str, Any]]:
    """Batches of more and more lines, and the rate of single uploads in the same run."""
    rows = []
    with (
        tempfile.TemporaryDirectory(prefix="isoline-bench-") as folder,
        open_isoline(Path(folder)) as stand,
    ):
        # What finds nothing warm.
        asyncio.run(singles.rate(stand, case, 8, 2.0))
        for lines in LINES:
            single = asyncio.run(singles.rate(stand, case, 8, 2.0))
            batch = bulk.rate(stand, case, lines)
            row: dict[str, Any] = {
                "lines": lines,
                "lines/s to finished": round(batch.a_second),
                "single/s": round(single.a_second),
                "× single": round(batch.a_second / single.a_second, 1),
            }
            for part in ("api", "bulk"):
                row[f"{part} CPU ms a line"] = round(batch.cpu_ms[part], 2)
            rows.append(row)
    return rows


def by_stored(case: Case, sizes: Sequence[int]) -> list[dict[str, Any]]:
    """The stages that ask the database, with more and more ECGs in it, in turn."""
    watches: dict[int, Watch] = {size: Watch() for size in sizes}
    with ExitStack() as stack:
        benches: dict[int, Bench] = {}
        for size in sizes:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="isoline-bench-"))
            benches[size] = stack.enter_context(open_bench(Path(folder)))
            _fill(benches[size], case, size)
        for _ in range(ROUNDS):
            for size, bench in benches.items():
                _walk(bench, case, watches[size], UPLOADS_A_ROUND)
    return [
        {"stored": size, **{stage: round(watches[size].cost(stage).ms, 2) for stage in STAGES}}
        for size in sizes
    ]


def _walk(bench: Bench, case: Case, watch: Watch, uploads: int) -> None:
    # What is logged is written, as in production, and read by nobody.
    lines_of(lambda: walk(bench, case, watch, uploads))


def _fill(bench: Bench, case: Case, size: int) -> None:
    """Store so many, with the document of one that has gone the whole way, and warm up."""
    _walk(bench, case, Watch(), 3)
    with closing(sqlite3.connect(bench.file)) as connection:
        [document] = connection.execute("SELECT document FROM insights LIMIT 1").fetchone()
    store(bench.file.parent, ids(size), document)
    with closing(sqlite3.connect(bench.file)) as connection:
        # As the relay does, which is not here: a million rows are not to be looked for in the log.
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def main() -> None:
    """Measure the last of them, and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.curves", description=__doc__)
    parser.add_argument("--stored", nargs="*", type=int, default=STORED)
    print_table(TITLE_OF_STORED, by_stored(cases()["P12"], parser.parse_args().stored))


if __name__ == "__main__":
    main()
