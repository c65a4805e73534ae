"""What each stage of an upload costs, beside its floor: `python -m bench.budget`.

A floor is the least that any program would pay for the same step on this machine. Beside the sum
of the stages stands what the processes of production use for an ECG and its poll, with what only
they have: a server, threads that wait for each other, and messages that name several.
"""

from __future__ import annotations

import asyncio
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import redis

from api.uploads import parse
from bench import singles
from bench.cases import Case, cases, open_empty, open_isoline, open_program
from bench.limits import (
    Cost,
    celery_messages,
    flask_ms,
    fsync_ms,
    measure_messages,
    scan_ms,
    timed,
)
from bench.load import closed_loop, request
from bench.stages import UNHEARD, Bench, Watch, open_bench, walk
from bench.tables import print_table
from shared.jobs import INTERACTIVE, TAKEN, enqueue
from shared.signals import encode
from tests.parts import lines_of

CONNECTIONS = (1, 8)
ROUNDS = 3

Row = dict[str, Any]


def row(part: str, stage: str, cost: Cost, floor: str = "", floor_ms: float = 0.0) -> Row:
    """A line of the table."""
    found = {"part": part, "stage": stage, "ms": round(cost.ms, 3)}
    if floor:
        found |= {"floor": floor, "floor ms": round(floor_ms, 4)}
        found["× floor"] = round(cost.ms / floor_ms, 1)
    return {**found, "CPU ms": round(cost.cpu_ms, 3)}


def stages(bench: Bench, watch: Watch, message: Cost, case: Case) -> list[Row]:
    """Every stage of the way, with its floor."""
    cost = watch.cost
    recording = parse(case.body(0))
    samples = np.stack(recording.leads)
    flask, fsync = flask_ms(), fsync_ms(4096)
    copying = "memcpy of the samples", timed(samples.copy)
    blob_synced = "fsync of the blob", fsync_ms(len(encode(recording.leads)))
    between = cost("upload") - cost("parse, check") - cost("encode") - cost("commit")
    in_worker = "claim", "load", "compute", "finish"
    beside = cost("analyse")
    for stage in in_worker:
        beside -= cost(stage)
    return [
        row("API", "parse, check", cost("parse, check"), "JSON scan", scan_ms(case.body(0))),
        row("API", "encode", cost("encode"), *copying),
        row("API", "commit", cost("commit"), *blob_synced),
        row("API", "who, body, answer, log", between, "an empty Flask view", flask),
        row("API", "ring", cost("ring"), "LPUSH of a message", _push_ms(bench)),
        row("API", "poll", cost("poll"), "an empty Flask view", flask),
        row(
            *("worker", "message", message - cost("nothing claimed")),
            *("a Celery message for nothing", celery_messages().ms),
        ),
        row("worker", "claim", cost("claim"), "one fsync", fsync),
        row("worker", "load", cost("load"), "SELECT without SQLAlchemy", _select_ms(bench)),
        row("worker", "decode", cost("decode"), *copying),
        row(
            *("worker", "insights, document", cost("compute") - cost("decode")),
            *("np.max of the samples", timed(samples.max)),
        ),
        row("worker", "finish", cost("finish"), "one fsync", fsync),
        row("worker", "time limit, log", beside),
    ]


def _push_ms(bench: Bench) -> float:
    with redis.Redis.from_url(bench.redis_url) as client:
        message = client.lindex(UNHEARD, 0)
        return timed(lambda: client.lpush(UNHEARD, message))


def _select_ms(bench: Bench) -> float:
    with closing(sqlite3.connect(bench.file)) as connection:
        [ecg_id] = connection.execute("SELECT max(ecg_id) FROM signals").fetchone()
        statement = "SELECT encoded FROM signals WHERE ecg_id = ?"
        return timed(lambda: connection.execute(statement, [ecg_id]).fetchone())


def used(case: Case, seconds: float) -> list[Row]:
    """Processor time an ECG, with its poll, of the processes of production."""
    rows = []
    with (
        tempfile.TemporaryDirectory(prefix="isoline-bench-") as folder,
        open_isoline(Path(folder)) as stand,
    ):
        for number in CONNECTIONS:
            # The first round finds nothing warm.
            _, *runs = [
                asyncio.run(singles.rate(stand, case, number, seconds)) for _ in range(1 + ROUNDS)
            ]
            run = singles.median_of(runs)
            rows += [
                {
                    "part": name,
                    "stage": f"all that its processes use, connections: {number}",
                    "CPU ms": round(run.cpu_ms[part], 3),
                }
                for name, part in {"API": "api", "worker": "worker"}.items()
            ]
    return rows


def server(case: Case, seconds: float) -> Row:
    """Processor time of granian and an empty view for an upload and a poll."""
    with open_empty() as stand:

        def ask(number: int) -> bytes:
            body = case.body(number // 2)
            return request("GET", "/") if number % 2 else request("POST", "/", {}, body)

        before_s = stand.cpu_s()["api"]
        tally, _ = asyncio.run(closed_loop(stand.port, 1, seconds, ask))
        an_ecg_ms = 2e3 * (stand.cpu_s()["api"] - before_s) / len(tally.replies)
    what = "granian with an empty view: an upload and a poll"
    return {"part": "API", "stage": what, "CPU ms": round(an_ecg_ms, 3)}


def sums(rows: list[Row]) -> list[Row]:
    """Of all stages of each part."""
    return [
        {
            "part": part,
            "stage": "sum of the above",
            **{
                what: round(sum(one[what] for one in rows if one["part"] == part), 3)
                for what in ("ms", "CPU ms")
            },
        }
        for part in ("API", "worker")
    ]


def budget(case: Case, seconds: float) -> list[Row]:
    """One row for each stage, their sums, and what is used in all."""
    watch = Watch()
    with (
        tempfile.TemporaryDirectory(prefix="isoline-bench-") as folder,
        open_bench(Path(folder)) as bench,
    ):
        # Whatever they log is written, as it is in production, and nobody reads it.
        lines_of(lambda: walk(bench, case, watch))
        with open_program(["worker"], bench.environ) as worker:
            message = measure_messages(
                *(bench.redis_url, worker, lambda: enqueue(bench.celery, [])),
                queue=INTERACTIVE,
                taken=TAKEN[INTERACTIVE],
            )
        rows = stages(bench, watch, message, case)
    return [*rows, *sums(rows), server(case, seconds), *used(case, seconds)]


def main() -> None:
    """Measure, and print."""
    for name in ("P12", "P12all"):
        print_table(f"The budget of {name}", budget(cases()[name], 2.0))


if __name__ == "__main__":
    main()
