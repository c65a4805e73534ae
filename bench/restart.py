"""Workers replaced one after the other while clients wait for insights: `python -m bench.restart`.

The new worker is heard before the old one is told to end, as an operator would do it. What counts
is the slowest job, from the first byte of its upload to its insights.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import httpx

from bench.tables import print_table
from standalone.synthetic import make_ecg
from tests.chaos.house import House

CLIENTS = 4


def replace_all(house: House, restarts: int) -> list[dict[str, Any]]:
    """Do it; rows of what the clients saw."""
    with house.client() as client:
        token = house.register(client, "bench")
    body = json.dumps(make_ecg())
    took_s: list[float] = []
    outcomes: dict[str, int] = {}
    is_over = threading.Event()

    def work_on() -> None:
        headers = {"x-user-token": token, "Prefer": "wait=20"}
        with httpx.Client(base_url=house.url, headers=headers, timeout=60) as client:
            while not is_over.is_set():
                began_s = time.perf_counter()
                answer = client.post(
                    "/ecgs", content=body, headers={"Content-Type": "application/json"}
                )
                took_s.append(time.perf_counter() - began_s)
                outcome = f"{answer.status_code} {answer.json().get('status')}"
                outcomes[outcome] = outcomes.get(outcome, 0) + 1

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
    cuts = quantiles(took_s, n=100)
    rows = {
        "workers replaced": restarts,
        "jobs, by what became of them": outcomes,
        "upload to insights: median, p99, slowest": f"{1e3 * median(took_s):.0f}, "
        f"{1e3 * cuts[98]:.0f}, {1e3 * max(took_s):.0f} ms",
        "slower than two seconds": sum(one > 2.0 for one in took_s),
    }
    return [{"what": what, "figure": figure} for what, figure in rows.items()]


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.restart", description=__doc__)
    parser.add_argument("--restarts", type=int, default=5)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="isoline-bench-") as name:
        folder = Path(name)
        with House(folder, f"sqlite:///{folder / 'isoline.db'}") as house:
            rows = replace_all(house, asked.restarts)
    print_table("A rolling restart", rows)


if __name__ == "__main__":
    main()
