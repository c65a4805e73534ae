"""Single uploads, from the first byte to the last insight."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from bench.cases import Case, Stand, crossings_in
from bench.load import Connection, Reply, closed_loop, connections, each, open_loop, request

PAUSE_S = 0.002
SETTLED_WITHIN_S = 120.0
REFUSALS = (429, 503)


@dataclass(frozen=True)
class Run:
    """One load on one program."""

    stand: str
    case: str
    connections: int
    ecgs: int
    a_second: float
    upload_p50_ms: float
    upload_p99_ms: float
    cpu_ms: dict[str, float]
    stored_bytes: float
    logged_bytes: float

    def as_json(self) -> dict[str, Any]:
        """For the file."""
        return asdict(self)


def quantile(took_s: Sequence[float], share: float) -> float:
    """In milliseconds."""
    ordered = sorted(took_s)
    return 1e3 * ordered[min(len(ordered) - 1, int(share * len(ordered)))]


async def rate(stand: Stand, case: Case, number: int, seconds: float) -> Run:
    """Upload for so long over so many connections, then ask for each until all are finished."""
    cpu_before, bytes_before, log_before = stand.cpu_s(), stand.stored_bytes(), stand.logged_bytes()
    began_s = time.perf_counter()
    tally, _ = await closed_loop(stand.port, number, seconds, lambda n: stand.upload(case, n))
    assert all(reply.status == 201 for reply in tally.replies), tally.replies[-1].body[:200]
    ids = [str(json.loads(reply.body)["id"]) for reply in tally.replies]

    async def until_finished(connection: Connection, ecg_id: str) -> None:
        while (reply := await connection.send(stand.poll(ecg_id))).status == 202:
            assert time.perf_counter() - began_s < SETTLED_WITHIN_S, "not settled"
            await asyncio.sleep(PAUSE_S)
        assert reply.status == 200, reply.body[:200]

    await each(stand.port, number, ids, until_finished)
    took_s = time.perf_counter() - began_s
    cpu_after = stand.cpu_s()
    took = [reply.took_s for reply in tally.replies]
    return Run(
        stand.name,
        case.name,
        number,
        len(ids),
        len(ids) / took_s,
        quantile(took, 0.5),
        quantile(took, 0.99),
        {name: 1e3 * (cpu_after[name] - cpu_before[name]) / len(ids) for name in cpu_after},
        (stand.stored_bytes() - bytes_before) / len(ids),
        (stand.logged_bytes() - log_before) / len(ids),
    )


async def idle(stand: Stand, case: Case, number: int, *, prefer: str = "") -> list[float]:
    """One upload after the other, each until its insights are there; the seconds each took.

    Without `Prefer` the program is asked every 2 ms.
    """
    took_s = []
    async with connections(stand.port, 1) as [connection]:
        for n in range(number):
            reply = await connection.send(stand.upload(case, n, prefer))
            began_s, document = reply.began_s, json.loads(reply.body)
            while not prefer:
                polled = await connection.send(stand.poll(document["id"]))
                if polled.status == 200:
                    break
                await asyncio.sleep(PAUSE_S)
            assert not prefer or document["status"] == "finished"
            took_s.append(time.perf_counter() - began_s)
            await asyncio.sleep(0.02)
    return took_s


async def right(stands: Sequence[Stand], case: Case) -> None:
    """All of them give the same numbers, or nothing here is worth comparing."""
    answers = []
    for stand in stands:
        async with connections(stand.port, 1) as [connection]:
            reply = await connection.send(stand.upload(case, 0))
            ecg_id = json.loads(reply.body)["id"]
            while (polled := await connection.send(stand.poll(ecg_id))).status == 202:
                await asyncio.sleep(PAUSE_S)
        answers.append(crossings_in(polled.body))
    assert all(answer == answers[0] for answer in answers), case.name


async def at_a_rate(
    stand: Stand, case: Case, a_second: float, seconds: float, *, most: int = 512
) -> dict[str, Any]:
    """Uploads at a fixed rate over so many connections at most, latency from the intended start;
    what was answered, and how fast."""
    tally = await open_loop(
        stand.port, a_second, seconds, lambda n: stand.upload(case, n), most=most
    )
    statuses: dict[str, int] = {}
    for reply in tally.replies:
        statuses[str(reply.status)] = statuses.get(str(reply.status), 0) + 1
    stored = [reply.took_s for reply in tally.replies if reply.status == 201] or [float("nan")]
    wrong = sum(not (reply.status == 201 or is_refusal(reply)) for reply in tally.replies)
    return {
        "stand": stand.name,
        "case": case.name,
        "asked_a_second": a_second,
        "begun_a_second": (len(tally.replies) + sum(tally.errors.values())) / tally.begun_within_s,
        # Until the last one was answered, after it was begun.
        "drained_s": time.perf_counter() - tally.last_begun_s,
        "statuses": {**statuses, **tally.errors},
        "neither_stored_nor_refused": wrong + sum(tally.errors.values()),
        "p50_ms": quantile(stored, 0.5),
        "p99_ms": quantile(stored, 0.99),
    }


def is_refusal(reply: Reply) -> bool:
    """Whether an upload was refused as the contract has it: for a while, and in words."""
    return (
        reply.status in REFUSALS
        and reply.header("retry-after").isdecimal()
        and reply.header("content-type") == "application/problem+json"
    )


async def forget(stand: Stand) -> None:
    """Have the peer in memory begin anew: it looks through all it has, and must not pay for that
    here, where others are not asked to (`bench.polls` does ask)."""
    if stand.name == "memory":
        headers = {"Content-Type": "application/json"}
        async with connections(stand.port, 1) as [connection]:
            await connection.send(request("POST", "/stored?number=0", headers, b'{"leads": []}'))


async def settle(stand: Stand, case: Case) -> None:
    """Wait until nothing waits any more."""
    if stand.is_isoline:
        asked = request("GET", "/ecgs?status=pending&limit=1", stand.headers)
        async with connections(stand.port, 1) as [connection]:
            while json.loads((await connection.send(asked)).body)["data"]:
                await asyncio.sleep(0.05)
    else:
        # It cannot say so, but works on one after the other: the last one is done last.
        await idle(stand, case, 1)


def median_of(runs: Sequence[Run]) -> Run:
    """The run in the middle by its rate; of an even number, the slower one of the two."""
    return sorted(runs, key=lambda run: run.a_second)[(len(runs) - 1) // 2]
