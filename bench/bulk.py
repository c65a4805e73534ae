"""A batch, from the first byte to the last insight."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import httpx

from bench.cases import Case, Stand
from bench.singles import Run

NDJSON = {"Content-Type": "application/x-ndjson"}


def rate(stand: Stand, case: Case, lines: int) -> Run:
    """Send so many lines, until all insights have been read; its upload is that of the whole."""
    url = f"http://127.0.0.1:{stand.port}"
    cpu_before, bytes_before, log_before = stand.cpu_s(), stand.stored_bytes(), stand.logged_bytes()
    batch = submit(url, stand.headers, case.bodies, lines)
    began_s = time.perf_counter()
    read_all(url, stand.headers, batch.id, lines)
    took_s = batch.finished_s + time.perf_counter() - began_s
    cpu_after = stand.cpu_s()
    return Run(
        stand.name,
        case.name,
        1,
        lines,
        lines / took_s,
        1e3 * batch.taken_in_s,
        1e3 * batch.taken_in_s,
        {name: 1e3 * (cpu_after[name] - cpu_before[name]) / lines for name in cpu_after},
        (stand.stored_bytes() - bytes_before) / lines,
        (stand.logged_bytes() - log_before) / lines,
    )


class Submitted(NamedTuple):
    """A batch, and the seconds until all its lines were taken in, and until all had ended."""

    id: str
    taken_in_s: float
    finished_s: float


def submit(url: str, user: Mapping[str, str], bodies: Sequence[bytes], lines: int) -> Submitted:
    """Submit a batch, and wait for its end.

    Where something is measured beside it, it is for a process of its own.
    """

    def made() -> Iterator[bytes]:
        for number in range(lines):
            yield b'{"custom_id":"%d",' % number + bodies[number % len(bodies)][1:] + b"\n"

    with httpx.Client(base_url=url, headers=dict(user), timeout=120) as http:
        began_s = time.perf_counter()
        answer = http.post("/batches", content=made(), headers=NDJSON)
        assert answer.status_code == 202, answer.text
        taken_in_s = time.perf_counter() - began_s
        batch = answer.json()
        while batch["status"] != "finished":
            batch = http.get(f"/batches/{batch['id']}", headers={"Prefer": "wait=20"}).json()
        counts = batch["counts"]
        assert counts["finished"] == counts["total"] == lines, counts
        return Submitted(batch["id"], taken_in_s, time.perf_counter() - began_s)


def read_all(url: str, user: Mapping[str, str], batch_id: str, lines: int) -> None:
    """Read the insights of every line, as whoever uploads one by one polls for each."""
    with httpx.Client(base_url=url, headers=dict(user), timeout=120) as http:
        results = http.get(f"/batches/{batch_id}/insights")
        assert results.status_code == 200, results.text
        assert results.content.count(b"\n") == lines
