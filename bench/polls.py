"""Polls with few and with very many ECGs stored: `python -m bench.polls`."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import sqlite3
import statistics
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from bench import wrk
from bench.cases import Stand, cases, open_isoline, open_memory
from bench.load import closed_loop, connections, request
from bench.singles import quantile
from bench.tables import print_table

NUMBER = 8
ROUNDS = 5
# More than are asked for in a round: none is asked for twice in it, where there are so many.
DIFFERENT = 16_384
STORED = (10**3, 10**4, 10**5, 10**6)
POLLS = ("finished", "finished, from disk", "304", "pending", "list", "memory")
TITLE = (
    f"Polls, {NUMBER} connections, of ECGs drawn anew from all that are stored in each of {ROUNDS} "
    "rounds; the kernel has the file in memory, except where it was made to forget it just before"
)
PIECE = 2**20
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


class Store(NamedTuple):
    """An Isoline and a peer with as many ECGs stored, the ids of these, and a tag of each."""

    number: int
    isoline: Stand
    memory: Stand
    file: Path
    finished: Sequence[str]
    pending: Sequence[str]
    tag: str


@contextmanager
def open_store(folder: Path, number: int) -> Iterator[Store]:
    """Start both, and fill them."""
    began_s = time.perf_counter()
    with open_isoline(folder) as isoline, open_memory() as memory:
        stored = ids(number)
        document = asyncio.run(document_of(isoline))
        store(folder, stored, document)
        asyncio.run(_fill(memory, number))
        finished = [one for n, one in enumerate(stored) if n % PENDING_ONE_IN]
        # All have the same document, and so the same tag.
        tag = asyncio.run(_tag_of(isoline, finished[0]))
        print(f"(stored {number:,} in {time.perf_counter() - began_s:.0f} s)", flush=True)
        file = folder / "isoline.db"
        yield Store(number, isoline, memory, file, finished, stored[::PENDING_ONE_IN], tag)


async def _fill(memory: Stand, number: int) -> None:
    headers = {"Content-Type": "application/json"}
    async with connections(memory.port, 1) as [connection]:
        path = f"/stored?number={number}"
        upload = cases()["P12"].bodies[0]
        reply = await connection.send(request("POST", path, headers, upload))
        assert reply.status == 200, reply.body


async def _tag_of(isoline: Stand, ecg_id: str) -> str:
    async with connections(isoline.port, 1) as [connection]:
        return (await connection.send(isoline.poll(ecg_id))).header("etag")


def _take_from_memory(file: Path) -> None:
    """Have the kernel forget what it knows of a file: what is asked next comes from the disk."""
    descriptor = os.open(file, os.O_RDONLY)
    # Only what is on the disk can be forgotten.
    os.fsync(descriptor)
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(descriptor)


def _bring_into_memory(file: Path) -> None:
    """Have the kernel know all of it again: a small file would come back by itself, polled a few
    times, and a large one would not."""
    with file.open("rb", buffering=0) as stored:
        while stored.read(PIECE):
            pass


async def _round(of: Store, what: str, seconds: float, chance: random.Random) -> Polled:
    """One kind of poll for so long; of ECGs that are drawn anew from all that are stored."""
    isoline = of.isoline
    if what == "memory":
        places = chance.choices(range(of.number), k=DIFFERENT)
        there = [str(uuid.UUID(int=place)) for place in places]
        return await rate(of.memory, lambda n: of.memory.poll(there[n % DIFFERENT]), seconds, 200)
    if what == "list":
        page = request("GET", "/ecgs?limit=20", isoline.headers)
        return await rate(isoline, lambda _: page, seconds, 200)
    drawn = chance.choices(of.pending if what == "pending" else of.finished, k=DIFFERENT)
    if what == "finished, from disk":
        _take_from_memory(of.file)
    tag, status = {"304": (of.tag, 304), "pending": ("", 202)}.get(what, ("", 200))
    met = await rate(isoline, lambda n: isoline.poll(drawn[n % DIFFERENT], tag), seconds, status)
    if what == "finished, from disk":
        _bring_into_memory(of.file)
    return met


def measure(sizes: Sequence[int], seconds: float) -> list[dict[str, Any]]:
    """One row for each number of ECGs stored, and each kind of poll.

    All stores are there before the first poll, and each round asks all of them, in one order and
    then in the other: whatever else the machine does meets all alike.
    """
    chance = random.Random(1)
    found: dict[tuple[int, str], list[Polled]] = {}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="isoline-bench-")))
        stores = [stack.enter_context(open_store(folder / str(size), size)) for size in sizes]
        for _ in range(ROUNDS):
            for what in POLLS:
                for of in stores:
                    met = asyncio.run(_round(of, what, seconds / 2, chance))
                    found.setdefault((of.number, what), []).append(met)
            stores.reverse()
    return [_row(found, size, sizes[0], what) for size in sizes for what in POLLS]


def _row(
    found: dict[tuple[int, str], list[Polled]], number: int, first: int, what: str
) -> dict[str, Any]:
    met = found[number, what]
    # Of the same round each: what a noisy machine does to one, it does to the other.
    shares = [one.a_second / of.a_second for one, of in zip(met, found[first, what], strict=True)]
    middle = sorted(met)[ROUNDS // 2]
    row = {"stored": number, "poll": what, "a second": round(middle.a_second, 1)}
    row[f"of {first:,} stored"] = round(statistics.median(shares), 2)
    row["p50 / p99 ms"] = f"{middle.p50_ms:.2f} / {middle.p99_ms:.2f}"
    row["CPU ms"] = round(middle.cpu_ms, 2)
    if what == "finished":
        memory = sorted(found[number, "memory"])[ROUNDS // 2]
        row["× memory"] = round(middle.a_second / memory.a_second, 1)
    return row


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.polls", description=__doc__)
    parser.add_argument("--stored", nargs="*", type=int, default=STORED)
    parser.add_argument("--seconds", type=float, default=2.0, help="twice what a round takes")
    asked = parser.parse_args()
    print_table(TITLE, measure(asked.stored, asked.seconds))


if __name__ == "__main__":
    main()
