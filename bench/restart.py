"""Workers replaced one after the other while clients wait for insights: `python -m bench.restart`.

The new worker is heard before the old one is told to end, as an operator would do it. What counts
is the slowest job, from the first byte of its upload to its insights: the exit code is 1 when one
failed, or took longer than two seconds.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import httpx

from bench.tables import print_table
from standalone.synthetic import make_ecg
from tests.chaos.house import House

CLIENTS = 4
SLOW_S = 2.0
GOOD = "201 finished"


@dataclass
class Seen:
    """What the clients saw: how long each job took, and what became of it."""

    jobs: list[tuple[float, str]] = field(default_factory=list)

    def rows(self) -> list[dict[str, Any]]:
        """The figures, for a table."""
        took_s = [took_s for took_s, _ in self.jobs]
        rows = {
            "jobs, by what became of them": dict(Counter(outcome for _, outcome in self.jobs)),
            "upload to insights: median, p99, slowest": f"{1e3 * median(took_s):.0f}, "
            f"{1e3 * quantiles(took_s, n=100)[98]:.0f}, {1e3 * max(took_s):.0f} ms",
            "slower than two seconds": sum(one > SLOW_S for one in took_s),
        }
        return [{"what": what, "figure": figure} for what, figure in rows.items()]

    def faults(self) -> list[str]:
        """Those jobs that failed or were slow, a line each."""
        return [
            f"{outcome} after {took_s:.2f} s"
            for took_s, outcome in self.jobs
            if outcome != GOOD or took_s > SLOW_S
        ]


def replace_all(house: House, restarts: int) -> Seen:
    """Do it."""
    with house.client() as client:
        token = house.register(client, "bench")
    body = json.dumps(make_ecg())
    seen = Seen()
    is_over = threading.Event()

    def work_on() -> None:
        headers = {"x-user-token": token, "Prefer": "wait=20"}
        with httpx.Client(base_url=house.url, headers=headers, timeout=60) as client:
            while not is_over.is_set():
                began_s = time.perf_counter()
                outcome = _job(client, body)
                seen.jobs.append((time.perf_counter() - began_s, outcome))

    def are_online(number: int) -> bool:
        ready = httpx.get(f"{house.url}/health/ready").json()
        return bool(ready["workers_online"] == number)

    with ThreadPoolExecutor(CLIENTS) as callers:
        running = [callers.submit(work_on) for _ in range(CLIENTS)]
        try:
            time.sleep(2.0)
            for _ in range(restarts):
                house.replace("worker", lambda: are_online(2))
        finally:
            is_over.set()
        for future in running:
            future.result()
    return seen


def _job(client: httpx.Client, body: str) -> str:
    """What became of an upload whose insights are waited for."""
    try:
        answer = client.post("/ecgs", content=body, headers={"Content-Type": "application/json"})
    except httpx.TransportError as error:
        return type(error).__name__
    return f"{answer.status_code} {answer.json().get('status')}"


def main() -> int:
    """Measure, and print; the exit code says whether any job failed or was slow."""
    parser = argparse.ArgumentParser(prog="python -m bench.restart", description=__doc__)
    parser.add_argument("--restarts", type=int, default=5)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="isoline-bench-") as name:
        folder = Path(name)
        with House(folder, f"sqlite:///{folder / 'isoline.db'}") as house:
            seen = replace_all(house, asked.restarts)
    print_table(f"A rolling restart, {asked.restarts} times", seen.rows())
    faults = seen.faults()
    print(*faults, sep="\n")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
