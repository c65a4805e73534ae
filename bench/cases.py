"""What is uploaded, and the three programs it is uploaded to."""

from __future__ import annotations

import gzip
import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import msgspec
import numpy as np
import psutil

from bench import postgresql
from bench.load import request
from standalone.synthetic import BASELINE, SAMPLING_RATE_HZ, make_ecg
from tests.brokers import open_valkey
from tests.chaos.house import House
from tests.parts import HOUSE, free_port, wait_until

DIFFERENT = 16


@dataclass(frozen=True)
class Case:
    """A kind of upload; `bodies` are different ones of it, one after the other."""

    name: str
    what: str
    bodies: list[bytes]
    is_gzip: bool = False

    def body(self, number: int) -> bytes:
        """One of them."""
        return self.bodies[number % len(self.bodies)]


def make_body(
    leads: int, samples: int, seed: int, *, decimals: bool = False, all_insights: bool = False
) -> bytes:
    """An ECG of up to twelve leads, of so many samples each, in ADC counts or mV.

    Ten seconds, over and over. Only with its sampling rate can every insight be said of it;
    without, a worker counts crossings and measures amplitudes, and the peers do as much.
    """
    ten_seconds = make_ecg(seed=seed)["leads"][:leads]
    # As large as the counts of a fine converter, and as many digits to read.
    noise = np.random.default_rng(seed)
    signals = [
        10 * (np.resize(lead["signal"], samples) - BASELINE) + noise.integers(0, 10, samples)
        for lead in ten_seconds
    ]
    return msgspec.json.encode(
        {
            **({"sampling_rate": SAMPLING_RATE_HZ} if all_insights else {}),
            "leads": [
                {
                    "name": str(lead),
                    "signal": [one / 1000 for one in signal.tolist()]
                    if decimals
                    else signal.tolist(),
                }
                for lead, signal in enumerate(signals)
            ],
        }
    )


def cases() -> dict[str, Case]:
    """All there are, by name."""
    twelve = [make_body(12, 5_000, seed) for seed in range(DIFFERENT)]
    decimals = [make_body(12, 5_000, seed, decimals=True) for seed in range(DIFFERENT)]
    whole = [make_body(12, 5_000, seed, all_insights=True) for seed in range(DIFFERENT)]
    packed = [gzip.compress(body, 6) for body in twelve]
    small = [make_body(1, 8, seed) for seed in range(DIFFERENT)]
    holter = [make_body(2, 650_000, seed) for seed in range(2)]
    whole_holter = [make_body(2, 650_000, seed, all_insights=True) for seed in range(2)]
    return {
        case.name: case
        for case in (
            Case("S", "1 × 8 integers", small),
            Case("P12", "12 × 5,000 integers", twelve),
            Case("F12", "12 × 5,000 decimals", decimals),
            Case("P12gz", "P12 in gzip", packed, is_gzip=True),
            Case("H2", "2 × 650,000 integers", holter),
            Case("P12all", "P12 with its sampling rate: every insight", whole),
            Case("H2all", "H2 with its sampling rate: every insight", whole_holter),
        )
    }


@dataclass
class Stand:
    """A program under measurement: where it listens, who works for it, what it wants in headers."""

    name: str
    port: int
    parts: Callable[[], dict[str, int]]
    """Process ids of its parts, by name; a part's children count with it."""
    stored_bytes: Callable[[], int]
    """How large its database is; 0 where it has none."""
    headers: dict[str, str] = field(default_factory=dict)
    logged_bytes: Callable[[], int] = lambda: 0
    """How much PostgreSQL has written into its log."""
    is_isoline: bool = False
    """Whether it reads gzip, takes batches, and says what still waits."""

    def upload(self, case: Case, number: int, prefer: str = "") -> bytes:
        """The request that uploads."""
        headers = {**self.headers, "Content-Type": "application/json"}
        if case.is_gzip:
            headers["Content-Encoding"] = "gzip"
        if prefer:
            headers["Prefer"] = prefer
        return request("POST", "/ecgs", headers, case.body(number))

    def poll(self, ecg_id: str, etag: str = "") -> bytes:
        """The request that asks for insights."""
        headers = {**self.headers, "If-None-Match": etag} if etag else self.headers
        return request("GET", f"/ecgs/{ecg_id}/insights", headers)

    def cpu_s(self) -> dict[str, float]:
        """Processor seconds that each part has used, with its children."""
        return {name: cpu_of(pid) for name, pid in self.parts().items()}


def cpu_of(pid: int) -> float:
    """Processor seconds that a process has used, with those it has started."""
    parent = psutil.Process(pid)
    family = [parent, *parent.children(recursive=True)]
    return sum(sum(process.cpu_times()[:4]) for process in family)


def _size_of(file: Path) -> Callable[[], int]:
    """The used pages of a SQLite database, whether in its file by now or still in its log."""

    def count() -> int:
        with closing(sqlite3.connect(file, timeout=60)) as connection:
            statement = (
                "SELECT (page_count - freelist_count) * page_size "
                "FROM pragma_page_count, pragma_freelist_count, pragma_page_size"
            )
            return int(connection.execute(statement).fetchone()[0])

    return count


@contextmanager
def open_isoline(
    folder: Path, postgresql_url: str = "", *, kind: Callable[[Path, str], House] = House
) -> Iterator[Stand]:
    """Isoline as in production: API, workers, relay, Valkey; on SQLite, or PostgreSQL, which is
    then one of its parts."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "isoline.db"
    server = {"postgresql": postgresql.server_of(postgresql_url)} if postgresql_url else {}
    with kind(folder, postgresql_url or f"sqlite:///{file}") as house:
        with httpx.Client(base_url=house.url, timeout=60) as http:
            token = house.register(http, "bench")

        def pids() -> dict[str, int]:
            found = {name: house.process(name).pid for name in house.MODULES}
            return {**found, "broker": house.broker.pid, **server}

        yield Stand(
            "isoline, PostgreSQL" if postgresql_url else "isoline",
            int(house.url.rpartition(":")[2]),
            pids,
            postgresql.size_of(postgresql_url) if postgresql_url else _size_of(file),
            {"x-user-token": token},
            postgresql.log_of(postgresql_url) if postgresql_url else lambda: 0,
            is_isoline=True,
        )


@contextmanager
def open_program(arguments: list[str], environ: dict[str, str]) -> Iterator[int]:
    """Run a module with variables of its own; its process id."""
    process = subprocess.Popen(
        [sys.executable, "-m", *arguments],
        env={**os.environ, **environ},
        cwd=HOUSE,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield process.pid
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _answers(port: int) -> Callable[[], bool]:
    def ask() -> bool:
        try:
            return httpx.get(f"http://127.0.0.1:{port}/ecgs/none/insights").status_code == 404
        except httpx.TransportError:
            return False

    return ask


@contextmanager
def open_memory() -> Iterator[Stand]:
    """The peer that keeps everything in memory."""
    port = free_port()
    with open_program(["bench.peers.memory"], {"PEER_PORT": str(port)}) as pid:
        wait_until(_answers(port), what="for the peer in memory")
        yield Stand("memory", port, lambda: {"api": pid}, lambda: 0)


@contextmanager
def open_empty() -> Iterator[Stand]:
    """An empty view, which shows what server and Flask cost."""
    port = free_port()
    with open_program(["bench.peers.empty"], {"PEER_PORT": str(port)}) as pid:
        wait_until(_answers(port), what="for the empty view")
        yield Stand("empty", port, lambda: {"api": pid}, lambda: 0)


@contextmanager
def open_tutorial(folder: Path) -> Iterator[Stand]:
    """The peer out of tutorials."""
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    with ExitStack() as stack:
        broker, url = open_valkey(folder, free_port())
        stack.callback(broker.wait)
        stack.callback(broker.kill)
        environ = {
            "PEER_REDIS": url,
            "PEER_DATABASE": f"sqlite:///{folder / 'tutorial.db'}",
        }
        serve = ["gunicorn", "--workers=2", f"--bind=127.0.0.1:{port}", "bench.peers.tutorial:app"]
        api = stack.enter_context(open_program([*serve, "--log-level=error"], environ))
        wait_until(_answers(port), what="for the tutorial's API")
        worker = stack.enter_context(open_program(["bench.peers.tutorial"], environ))
        yield Stand(
            "tutorial",
            port,
            lambda: {"api": api, "worker": worker, "broker": broker.pid},
            _size_of(folder / "tutorial.db"),
        )


def crossings_in(body: bytes) -> list[int]:
    """What a finished document says of each lead."""
    return [lead["number_of_zero_crossings"] for lead in json.loads(body)["leads"]]
