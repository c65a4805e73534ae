"""A batch beside single uploads, in one run: `python -m bench.batches`.

How fast each comes to its end, what single uploads feel of the batch, and how much memory it takes.
API, workers, relay and Valkey are those of production, on SQLite; the clients run in this process.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import ExitStack
from multiprocessing import get_context
from pathlib import Path

import httpx
import psutil
import uuid_utils
from sqlalchemy import func, insert, select

from bench.cases import make_body
from shared import database
from shared.database import now_s, transaction
from shared.models import FAILED, FINISHED, PENDING, Batch, Ecg, Insights, User
from tests.chaos.house import House
from tests.parts import another_database, open_postgresql

LEADS, SAMPLES = 12, 5_000
DIFFERENT = 32
CONNECTIONS = 8
IDLE_UPLOADS = 200
# One single upload after the other while the batch runs, at the pace of somebody who clicks.
PAUSE_S = 0.05
ROWS_AT_ONCE = 10_000
FAILED_LINES = 3
DOCUMENT = (
    b'{"ecg_id":"%s","status":"finished","leads":[{"name":"I","number_of_zero_crossings":2,'
    b'"insights":{"zero_crossings":{"version":1,"count":2,"touches":1}}}]}'
)
NDJSON = {"Content-Type": "application/x-ndjson"}


class Clients:
    """Those who upload, and what they have seen."""

    def __init__(self, house: House, small: int, all_insights: bool) -> None:
        self._house = house
        self.http = httpx.Client(base_url=house.url, timeout=120)
        token = house.register(self.http, "bench")
        self.user = {"x-user-token": token}
        leads, samples = (1, small) if small else (LEADS, SAMPLES)
        self.bodies = [
            make_body(leads, samples, number, all_insights=all_insights)
            for number in range(DIFFERENT)
        ]

    def upload(self, number: int, prefer: str = "") -> float:
        """Upload one; return the seconds it took."""
        began_s = time.perf_counter()
        headers = {**self.user, "Content-Type": "application/json", "Prefer": prefer}
        body = self.bodies[number % DIFFERENT]
        answer = self.http.post("/ecgs", content=body, headers=headers)
        assert answer.status_code == 201, answer.text
        assert not prefer or answer.json()["status"] == "finished"
        return time.perf_counter() - began_s

    def idle(self) -> list[float]:
        """One upload after the other, each until its insights are there."""
        return [self.upload(number, "wait=20") for number in range(IDLE_UPLOADS)]

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


def submit(url: str, user: dict[str, str], bodies: list[bytes], lines: int) -> tuple[float, float]:
    """Submit a batch; return lines a second until all are taken in, and until all ended.

    For a process of its own: what is measured beside it must not wait for its threads.
    """

    def made() -> Iterator[bytes]:
        for number in range(lines):
            yield b'{"custom_id":"%d",' % number + bodies[number % len(bodies)][1:] + b"\n"

    with httpx.Client(base_url=url, headers=user, timeout=120) as http:
        began_s = time.perf_counter()
        answer = http.post("/batches", content=made(), headers=NDJSON)
        assert answer.status_code == 202, answer.text
        taken_in_s = time.perf_counter() - began_s
        batch = answer.json()
        while batch["status"] != "finished":
            batch = http.get(f"/batches/{batch['id']}", headers={"Prefer": "wait=20"}).json()
        counts = batch["counts"]
        assert counts["finished"] == counts["total"] == lines, counts
        return lines / taken_in_s, lines / (time.perf_counter() - began_s)


class Watch:
    """How large processes get, and how long single uploads take, until it is ended."""

    def __init__(self, house: House, clients: Clients) -> None:
        self._families = {name: psutil.Process(house.process(name).pid) for name in house.MODULES}
        self._clients = clients
        self._end = threading.Event()
        self.peak_mb = dict.fromkeys(self._families, 0.0)
        self.curve_mb: list[float] = []
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
        while not self._end.wait(0.1):
            for name, parent in self._families.items():
                largest = max(
                    process.memory_info().rss / 1e6
                    for process in [parent, *parent.children(recursive=True)]
                    if process.is_running()
                )
                self.peak_mb[name] = max(self.peak_mb[name], largest)
                if name == "api":
                    self.curve_mb.append(largest)

    def _upload(self) -> None:
        number = 0
        while not self._end.wait(PAUSE_S):
            self.took_s.append(self._clients.upload(number, "wait=20"))
            number += 1


def store(database_url: str, user: dict[str, str], number: int) -> str:
    """Write a batch of so many lines straight into the database.

    A few have failed, and one in a hundred still waits.
    """
    engine = database.connect(database_url, patience_s=60.0)
    batch_id = str(uuid_utils.uuid7())
    with transaction(engine) as connection:
        user_id = connection.scalar(select(func.max(User.id)))
        now = connection.scalar(select(now_s()))
        connection.execute(
            insert(Batch).values(
                id=batch_id,
                user_id=user_id,
                reception=1,
                last_line=number,
                total=number,
                rejected=0,
                finished=number - number // 100 - FAILED_LINES,
                failed=FAILED_LINES,
                created_at_s=now,
                received_at_s=now,
                # Nobody is to work on them meanwhile.
                cancelled_at_s=None,
            )
        )
    row = {
        "user_id": user_id,
        "batch_id": batch_id,
        "created_at_s": now,
        "recorded_at_s": now,
        "baseline": 0.0,
        "leads": '[{"name":"I","number_of_samples":8}]',
        "number_of_leads": 1,
        "request_id": "bench",
        "attempts": 1,
        # Not due for as long as anybody looks.
        "due_at_s": (now or 0.0) + 1e6,
        "rung_at_s": now,
    }
    for start in range(0, number, ROWS_AT_ONCE):
        lines = range(start + 1, min(start + ROWS_AT_ONCE, number) + 1)
        rows = [
            {
                **row,
                "id": str(uuid_utils.uuid7()),
                "line": line,
                "custom_id": f"line {line}",
                "status": _status(line, number),
                "failure": "bench" if line <= FAILED_LINES else None,
            }
            for line in lines
        ]
        documents = [
            {"ecg_id": one["id"], "document": DOCUMENT % str(one["id"]).encode()}
            for one in rows
            if one["status"] == FINISHED
        ]
        with transaction(engine) as connection:
            connection.execute(insert(Ecg), rows)
            if documents:
                connection.execute(insert(Insights), documents)
    engine.dispose()
    return batch_id


def _status(line: int, number: int) -> str:
    if line <= FAILED_LINES:
        return FAILED
    return FINISHED if line <= number - number // 100 else PENDING


def look_at(clients: Clients, batch_id: str, number: int) -> Iterator[str]:
    """How long it takes to ask a batch that is stored how far it is, and for some results."""
    path = f"/batches/{batch_id}"
    nearly_all = max(0, number - number // 100 - 1_000)
    asked = {
        "a poll": path,
        "the list of batches": "/batches",
        "the first results": f"{path}/insights",
        "the first errors": f"{path}/errors",
        "the last 1,000 results": f"{path}/insights?after={nearly_all}",
        "a CSV of the same": f"{path}/insights?format=csv&after={nearly_all}",
        "the page of all ECGs": "/ecgs",
    }
    for what, where in asked.items():
        took_s: list[float] = []
        while len(took_s) < 50:
            began_s = time.perf_counter()
            with clients.http.stream("GET", where, headers=clients.user) as answer:
                # Of what is long, its beginning.
                next(answer.iter_bytes(), b"")
            if answer.status_code == 503:
                # Those that were not heard to their end are still on their way out.
                time.sleep(PAUSE_S)
                continue
            assert answer.status_code == 200, where
            took_s.append(time.perf_counter() - began_s)
        yield f"| {number:,} lines stored: {what}, p50 / p99 | {quantiles(took_s)} |"


def quantiles(took_s: list[float]) -> str:
    """The median and the 99th percentile in milliseconds."""
    ordered = sorted(took_s)
    p99 = ordered[min(len(ordered) - 1, int(0.99 * len(ordered)))]
    return f"{1e3 * statistics.median(ordered):.1f} / {1e3 * p99:.1f} ms"


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(prog="python -m bench.batches", description=__doc__)
    parser.add_argument("--lines", type=int, default=10_000)
    parser.add_argument("--singles", type=int, default=2_000)
    parser.add_argument("--small", type=int, default=0, help="one lead of so many samples a line")
    parser.add_argument("--all-insights", action="store_true", help="with the sampling rate")
    parser.add_argument("--stored", type=int, default=0, help="so many lines in the tables before")
    parser.add_argument("--only-stored", action="store_true", help="ask for those, and no more")
    parser.add_argument("--postgresql", action="store_true", help="instead of SQLite")
    asked = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="isoline-bench-")))
        url = f"sqlite:///{folder / 'isoline.db'}"
        if asked.postgresql:
            url = another_database(stack.enter_context(open_postgresql()), "bench")
        with House(folder, url) as house:
            clients = Clients(house, asked.small, asked.all_insights)
            stored = []
            if asked.stored:
                batch_id = store(url, clients.user, asked.stored)
                stored = list(look_at(clients, batch_id, asked.stored))
            if asked.only_stored:
                print(*stored, sep="\n")
                return
            clients.idle()
            idle = clients.idle()
            singles = clients.singles(asked.singles)
            alone = Watch(house, clients)
            with alone, ProcessPoolExecutor(1, get_context("spawn")) as pool:
                work = house.url, clients.user, clients.bodies, asked.lines
                taken_in, finished = pool.submit(submit, *work).result()
            clients.http.close()
    print(f"| what | {asked.lines:,} lines |\n|---|---|")
    print(f"| single uploads, {CONNECTIONS} connections: to finished | {singles:.0f}/s |")
    print(f"| batch: taken in | {taken_in:.0f}/s |")
    print(f"| batch: to finished | {finished:.0f}/s, {finished / singles:.1f} times single |")
    print(f"| one single upload to its insights, idle: p50 / p99 | {quantiles(idle)} |")
    print(f"| the same while the batch runs ({len(alone.took_s)}) | {quantiles(alone.took_s)} |")
    print(*stored, sep="\n", end="\n" if stored else "")
    for process, peak_mb in alone.peak_mb.items():
        print(f"| {process}: largest process, peak | {peak_mb:.0f} MB |")
    curve = alone.curve_mb[:: max(1, len(alone.curve_mb) // 10)]
    print(f"| API over time | {', '.join(f'{mb:.0f}' for mb in curve)} MB |")


if __name__ == "__main__":
    main()
