"""Polls with few and with very many ECGs stored."""

from __future__ import annotations

import asyncio
import json
import random
import sqlite3
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any, NamedTuple

from bench import wrk
from bench.cases import Stand, cases, open_isoline, open_memory
from bench.load import closed_loop, connections, request
from bench.singles import quantile

NUMBER = 8
ROUNDS = 3
DIFFERENT = 4096
# One in so many of those that are stored still waits.
PENDING_ONE_IN = 100
LEADS = json.dumps([{"name": str(lead), "number_of_samples": 5_000} for lead in range(12)])
COLUMNS = (
    "id, user_id, created_at_s, recorded_at_s, baseline, leads, number_of_leads, "
    "number_of_samples, request_id, status, attempts, due_at_s, rung_at_s, finished_at_s"
)


def ids(number: int) -> list[str]:
    """So many ids of version 7, in their order."""
    return [str(uuid.UUID(int=(n << 80) | (7 << 76) | (8 << 60) | n)) for n in range(number)]


def store(folder: Path, stored: Sequence[str], document: bytes) -> None:
    """Write rows straight into the database of a running Isoline."""
    now_s = time.time()

    def ecgs() -> Iterator[tuple[Any, ...]]:
        for n, ecg_id in enumerate(stored):
            is_pending = n % PENDING_ONE_IN == 0
            yield (
                ecg_id, 1, now_s, now_s, 0.0, LEADS, 12, 60_000, "bench",
                "pending" if is_pending else "finished", 0 if is_pending else 1,
                # Nobody is to work on them meanwhile; each has those before it ahead.
                now_s + 1e6 + n, now_s, None if is_pending else now_s,
            )  # fmt: skip

    with closing(sqlite3.connect(folder / "isoline.db", timeout=60)) as database, database:
        database.execute("PRAGMA synchronous = OFF")
        marks = ",".join("?" * (COLUMNS.count(",") + 1))
        database.executemany(f"INSERT INTO ecgs ({COLUMNS}) VALUES ({marks})", ecgs())  # noqa: S608
        database.executemany(
            "INSERT INTO insights (ecg_id, document) VALUES (?, ?)",
            ((one, document) for n, one in enumerate(stored) if n % PENDING_ONE_IN),
        )


async def document_of(stand: Stand) -> bytes:
    """What a finished P12 is answered with."""
    async with connections(stand.port, 1) as [connection]:
        upload = stand.upload(cases()["P12"], 0, "wait=20")
        reply = await connection.send(upload)
        polled = await connection.send(stand.poll(json.loads(reply.body)["id"]))
    assert polled.status == 200
    return polled.body


class Polled(NamedTuple):
    """What was met over some connections."""

    a_second: float
    p50_ms: float
    p99_ms: float
    cpu_ms: float


async def rate(stand: Stand, make: Callable[[int], bytes], seconds: float, status: int) -> Polled:
    """Poll for so long; how fast, and what each cost whoever answered."""
    cpu_before_s = sum(stand.cpu_s().values())
    if wrk.is_installed():
        requests = [make(number) for number in range(DIFFERENT)]
        number, a_second, p50_ms, p99_ms = wrk.closed_loop(
            stand.port, NUMBER, seconds, requests, status
        )
    else:
        tally, took_s = await closed_loop(stand.port, NUMBER, seconds, make)
        assert {reply.status for reply in tally.replies} == {status}, tally.replies[-1]
        took = [reply.took_s for reply in tally.replies]
        number, a_second = len(took), len(took) / took_s
        p50_ms, p99_ms = quantile(took, 0.5), quantile(took, 0.99)
    cpu_s = sum(stand.cpu_s().values()) - cpu_before_s
    return Polled(a_second, p50_ms, p99_ms, 1e3 * cpu_s / number)


async def _look(isoline: Stand, memory: Stand, stored: Sequence[str], seconds: float) -> Any:
    chance = random.Random(1)
    finished = [one for n, one in enumerate(stored) if n % PENDING_ONE_IN]
    pending = stored[::PENDING_ONE_IN]
    sampled = chance.choices(finished, k=DIFFERENT)
    async with connections(isoline.port, 1) as [connection]:
        tags = {
            one: (await connection.send(isoline.poll(one))).header("etag") for one in sampled[:512]
        }
    tagged = list(tags.items())
    asked: dict[str, tuple[Stand, Callable[[int], bytes], int]] = {
        "finished": (isoline, lambda n: isoline.poll(sampled[n % DIFFERENT]), 200),
        "304": (isoline, lambda n: isoline.poll(*tagged[n % len(tagged)]), 304),
        "pending": (isoline, lambda n: isoline.poll(pending[n % len(pending)]), 202),
        "list": (isoline, lambda _: request("GET", "/ecgs?limit=20", isoline.headers), 200),
    }
    places = chance.choices(range(len(stored)), k=DIFFERENT)
    there = [str(uuid.UUID(int=place)) for place in places]
    asked["memory"] = (memory, lambda n: memory.poll(there[n % DIFFERENT]), 200)
    found: dict[str, list[Polled]] = {what: [] for what in asked}
    for _ in range(ROUNDS):
        for what, (stand, make, status) in asked.items():
            found[what].append(await rate(stand, make, seconds / 2, status))
    return {what: sorted(rounds)[ROUNDS // 2] for what, rounds in found.items()}


def measure(sizes: Sequence[int], seconds: float) -> list[dict[str, Any]]:
    """One row for each number of ECGs stored, and each kind of poll."""
    rows: list[dict[str, Any]] = []
    first: dict[str, float] = {}
    upload = cases()["P12"].bodies[0]
    for number in sizes:
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="isoline-bench-")))
            isoline = stack.enter_context(open_isoline(folder))
            memory = stack.enter_context(open_memory())
            stored = ids(number)
            began_s = time.perf_counter()
            store(folder, stored, asyncio.run(document_of(isoline)))
            seeded_s = time.perf_counter() - began_s

            async def prepare(memory: Stand = memory, number: int = number) -> None:
                headers = {"Content-Type": "application/json"}
                async with connections(memory.port, 1) as [connection]:
                    path = f"/stored?number={number}"
                    reply = await connection.send(request("POST", path, headers, upload))
                    assert reply.status == 200, reply.body

            asyncio.run(prepare())
            found = asyncio.run(_look(isoline, memory, stored, seconds))
            memory_a_second = found.pop("memory").a_second
            for what, met in found.items():
                row = {"stored": number, "poll": what, "a second": round(met.a_second)}
                row["of the first"] = round(met.a_second / first.setdefault(what, met.a_second), 2)
                row["p50 / p99 ms"] = f"{met.p50_ms:.2f} / {met.p99_ms:.2f}"
                row["CPU ms"] = round(met.cpu_ms, 2)
                if what == "finished":
                    row["memory a second"] = round(memory_a_second, 1)
                    row["× memory"] = round(met.a_second / memory_a_second, 1)
                rows.append(row)
            print(f"(stored {number:,} in {seeded_s:.0f} s)", flush=True)
    return rows
