"""Batches beside single uploads, in one run: `python -m bench.batches`.

How fast each comes to its end, what single uploads feel of the batches, and how much memory that
takes. API, workers, relay and Valkey are those of production; whoever uploads single ECGs runs in
this process, and each batch comes from a process, and a user, of its own.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import threading
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import ExitStack
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import httpx
import psutil

from bench.bulk import submit
from bench.cases import make_body
from bench.singles import quantile
from tests.chaos.house import House
from tests.databases import another_database, open_postgresql

LEADS, SAMPLES = 12, 5_000
DIFFERENT = 32
CONNECTIONS = 8
IDLE_UPLOADS = 400
# One single upload after the other while the batch runs, at the pace of somebody who clicks.
PAUSE_S = 0.05


class Clients:
    """Those who upload, and what they have seen."""

    def __init__(self, house: House, small: int, all_insights: bool) -> None:
        self._house = house
        self.http = httpx.Client(base_url=house.url, timeout=120)
        self.user = self.join("bench")
        # Of those who wait beside a batch, whatever its lines are.
        self.awaited = [
            make_body(LEADS, SAMPLES, number, all_insights=all_insights)
            for number in range(DIFFERENT)
        ]
        # Of the batch, and of the single uploads that its rate is set beside.
        self.bodies = self.awaited
        if small:
            self.bodies = [make_body(1, small, number) for number in range(DIFFERENT)]

    def join(self, username: str) -> dict[str, str]:
        """Register somebody; the headers that say who they are."""
        return {"x-user-token": self._house.register(self.http, username)}

    def upload(self, number: int) -> None:
        """Upload one of those that a batch's rate is set beside."""
        self._post(self.bodies[number % DIFFERENT])

    def wait(self, number: int) -> float:
        """Upload one, and wait for its insights; return the seconds that took."""
        began_s = time.perf_counter()
        assert self._post(self.awaited[number % DIFFERENT], "wait=20")["status"] == "finished"
        return time.perf_counter() - began_s

    def _post(self, body: bytes, prefer: str = "") -> dict[str, Any]:
        headers = {**self.user, "Content-Type": "application/json", "Prefer": prefer}
        answer = self.http.post("/ecgs", content=body, headers=headers)
        assert answer.status_code == 201, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def idle(self) -> list[float]:
        """One upload after the other, each until its insights are there."""
        return [self.wait(number) for number in range(IDLE_UPLOADS)]

    def singles(self, number: int) -> float:
        """Upload over several connections at once; return ECGs a second until all are finished."""
        began_s = time.perf_counter()
        with ThreadPoolExecutor(CONNECTIONS) as pool:
            list(pool.map(self.upload, range(number)))
        while self.http.get(
            "/ecgs", params={"status": "pending", "limit": 1}, headers=self.user
        ).json()["data"]:
            time.sleep(0.02)
        return number / (time.perf_counter() - began_s)


class Watch:
    """How large processes get, and how long single uploads take, until it is ended."""

    def __init__(self, house: House, clients: Clients) -> None:
        # Found once: to look for them again and again takes the uploads beside it milliseconds.
        self._families = {name: _family(house, name) for name in house.MODULES}
        self._clients = clients
        self._end = threading.Event()
        self.peak_mb = dict.fromkeys(self._families, 0.0)
        # Of the API, with the seconds since the beginning.
        self.curve_mb: list[tuple[float, float]] = []
        self.took_s: list[float] = []
        self._threads = [
            threading.Thread(target=self._weigh),
            threading.Thread(target=self._upload),
        ]

    def __enter__(self) -> Watch:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        for thread in self._threads:
            thread.join()

    def _weigh(self) -> None:
        began_s = time.perf_counter()
        while not self._end.wait(0.1):
            for name, family in self._families.items():
                largest = max(one.memory_info().rss / 1e6 for one in family if one.is_running())
                self.peak_mb[name] = max(self.peak_mb[name], largest)
                if name == "api":
                    self.curve_mb.append((time.perf_counter() - began_s, largest))

    def _upload(self) -> None:
        number = 0
        while not self._end.wait(PAUSE_S):
            self.took_s.append(self._clients.wait(number))
            number += 1


def _family(house: House, name: str) -> list[psutil.Process]:
    parent = psutil.Process(house.process(name).pid)
    return [parent, *parent.children(recursive=True)]


def quantiles(took_s: list[float]) -> str:
    """The median and the 99th percentile in milliseconds."""
    return f"{quantile(took_s, 0.5):.1f} / {quantile(took_s, 0.99):.1f} ms"


def _beside(a_second: float, singles: float) -> str:
    return f"{a_second:.0f}/s, {a_second / singles:.1f} times single"


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(prog="python -m bench.batches", description=__doc__)
    parser.add_argument("--lines", type=int, default=10_000)
    parser.add_argument("--users", type=int, default=1, help="so many batches at once")
    parser.add_argument("--singles", type=int, default=2_000)
    parser.add_argument("--small", type=int, default=0, help="one lead of so many samples a line")
    parser.add_argument("--all-insights", action="store_true", help="with the sampling rate")
    parser.add_argument("--postgresql", action="store_true", help="instead of SQLite")
    asked = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="isoline-bench-")))
        url = f"sqlite:///{folder / 'isoline.db'}"
        if asked.postgresql:
            url = another_database(stack.enter_context(open_postgresql()), "bench")
        with House(folder, url) as house:
            clients = Clients(house, asked.small, asked.all_insights)
            clients.idle()
            idle = clients.idle()
            singles = clients.singles(asked.singles)
            users = [clients.join(f"bench-{number}") for number in range(asked.users)]
            lines = asked.lines // asked.users
            beside = Watch(house, clients)
            with ProcessPoolExecutor(asked.users, get_context("spawn")) as pool:
                # They are there before anybody looks.
                list(pool.map(os.sched_getaffinity, [0] * 4 * asked.users))

                def submit_all() -> tuple[float, float]:
                    """Seconds until all lines are taken in, and until all have ended."""
                    sent = [
                        pool.submit(submit, house.url, user, clients.bodies, lines)
                        for user in users
                    ]
                    batches = [one.result() for one in sent]
                    taken_in_s = max(batch.taken_in_s for batch in batches)
                    return taken_in_s, max(batch.finished_s for batch in batches)

                # First, since it is weighed: whoever has received a batch is as large as it gets.
                with beside:
                    taken_in_s, finished_s = submit_all()
                _, alone_s = submit_all()
            alone, taken_in, finished = (
                lines * asked.users / took_s for took_s in (alone_s, taken_in_s, finished_s)
            )
            clients.http.close()
    print(f"| what | {asked.users} × {lines:,} lines |\n|---|---|")
    print(f"| single uploads, {CONNECTIONS} connections: to finished | {singles:.0f}/s |")
    print(f"| batch, nothing beside it: to finished | {_beside(alone, singles)} |")
    print(f"| batch, single uploads beside it: taken in | {taken_in:.0f}/s |")
    print(f"| batch, single uploads beside it: to finished | {_beside(finished, singles)} |")
    print(f"| one single upload to its insights, idle: p50 / p99 | {quantiles(idle)} |")
    print(f"| the same while the batch runs ({len(beside.took_s)}) | {quantiles(beside.took_s)} |")
    for process, peak_mb in beside.peak_mb.items():
        print(f"| {process}: largest process, peak | {peak_mb:.0f} MB |")
    # Lines come at an even pace: a quarter of the time is a quarter of the lines.
    last = f"{beside.curve_mb[-1][1]:.0f}"
    weights = [
        next((f"{mb:.0f}" for at_s, mb in beside.curve_mb if at_s >= part * taken_in_s), last)
        for part in (0, 0.25, 0.5, 0.75, 1)
    ]
    print(f"| API, 0, 25, 50, 75, 100 % of the lines taken in | {', '.join(weights)} MB |")


if __name__ == "__main__":
    main()
