"""What this machine can do at best: `python -m bench.limits`.

Each step of the hot path has a floor below which no program on this machine gets; what Isoline
spends is to be held against that.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import redis
import simdjson
from celery import Celery
from flask import Flask
from werkzeug.test import EnvironBuilder

from bench.cases import cpu_of, make_body, open_program
from bench.tables import print_table
from shared.database import connect
from shared.signals import decode, encode
from tests.brokers import open_valkey
from tests.parts import free_port, wait_until

MESSAGES = 1000
# The log is begun again, as the relay does it, after so many.
ROWS, ROWS_A_LOG = 320, 32


@dataclass(frozen=True)
class Cost:
    """Milliseconds on the clock, and of processor time."""

    ms: float
    cpu_ms: float

    def __sub__(self, other: Cost) -> Cost:
        return Cost(self.ms - other.ms, self.cpu_ms - other.cpu_ms)


def timed(act: Callable[[], object], times: int = 200) -> float:
    """The median of the milliseconds it takes."""
    took = []
    for _ in range(times):
        began_s = time.perf_counter()
        act()
        took.append(time.perf_counter() - began_s)
    return 1e3 * statistics.median(took)


def limits() -> list[dict[str, Any]]:
    """One row for each floor."""
    from api.uploads import parse
    from worker.analysis import analyse_ecg

    body = make_body(12, 5_000, 1)
    samples = np.random.default_rng(1).integers(-2000, 2000, 60_000, dtype=np.int16)
    recording = parse(body)
    blob = encode(recording.leads)
    leads = decode(blob)

    def analyse(sampling_rate_hz: float | None) -> None:
        analyse_ecg(
            recording.names, leads, sampling_rate_hz=sampling_rate_hz, baseline=recording.baseline
        )

    rows: list[tuple[str, float, str]] = [
        ("memcpy of P12's body", timed(lambda: bytearray(body)), f"{len(body):,} bytes"),
        ("np.max over P12's samples, int16", timed(samples.max), "60,000 samples"),
        ("JSON scan of P12's samples, simdjson", scan_ms(body), "to a buffer of int64"),
        ("  our parsing and checking", timed(lambda: parse(body)), "api.uploads.parse"),
        ("  our encoding", timed(lambda: encode(recording.leads)), "shared.signals.encode"),
        ("  our decoding", timed(lambda: decode(blob)), "shared.signals.decode"),
        ("  our insights", timed(lambda: analyse(None)), "worker.analysis.analyse_ecg"),
        ("  the same with a sampling rate", timed(lambda: analyse(500.0)), "all there are"),
        ("one fsync after 4 kB", fsync_ms(4096), "into a file of its own"),
        (
            "a durable row of 50 kB in SQLite",
            row_ms(50_000),
            "by the driver alone, its log written over",
        ),
        ("an empty Flask view, called in process", flask_ms(), "WSGI without a server"),
        (
            "a Celery message to a worker that does nothing",
            celery_messages().ms,
            f"{MESSAGES:,} of them, each",
        ),
    ]
    return [{"what": what, "ms": round(ms, 4), "how": how} for what, ms, how in rows]


def scan_ms(body: bytes) -> float:
    """To read the samples of a body of twelve leads out of their JSON, as fast as it goes."""
    signal = body.partition(b"[")[2].partition(b"[")[2].partition(b"]")[0]
    text = b"[" + b",".join([signal] * 12) + b"]"
    return timed(lambda: simdjson.Parser().parse(text).as_buffer(of_type="i"))  # type: ignore[union-attr]


def fsync_ms(size: int) -> float:
    """To write so many bytes at the end of a file, and have them on the disk."""
    with tempfile.TemporaryDirectory(prefix="isoline-bench-") as folder:
        descriptor = os.open(Path(folder) / "file", os.O_RDWR | os.O_CREAT)

        def write() -> None:
            os.write(descriptor, bytes(size))
            os.fsync(descriptor)

        took_ms = timed(write, 100)
        os.close(descriptor)
        return took_ms


def row_ms(size: int) -> float:
    """To commit a row with so many bytes to SQLite, with the settings of production."""
    with tempfile.TemporaryDirectory(prefix="isoline-bench-") as folder:
        engine = connect(f"sqlite:///{Path(folder) / 'rows.db'}", pool_size=1)
        with engine.connect() as pooled:
            driver = pooled.connection.cursor()
            driver.execute("CREATE TABLE rows (number INTEGER PRIMARY KEY, stored BLOB NOT NULL)")
            stored = os.urandom(size)
            took_ms = []
            for _ in range(ROWS // ROWS_A_LOG):
                driver.execute("PRAGMA wal_checkpoint(RESTART)")
                # Outside a transaction the driver commits each.
                insert = partial(driver.execute, "INSERT INTO rows (stored) VALUES (?)", [stored])
                took_ms.append(timed(insert, ROWS_A_LOG))
        engine.dispose()
        return statistics.median(took_ms)


def flask_ms() -> float:
    """An empty view, without a server."""
    app = Flask("empty")
    app.add_url_rule("/", "empty", lambda: "")
    environ = EnvironBuilder().get_environ()
    return timed(lambda: b"".join(app.wsgi_app(dict(environ), lambda *_: lambda _: None)), 1000)


def celery_messages() -> Cost:
    """Messages to a worker that does nothing, with Celery's own settings."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="isoline-bench-")))
        broker, url = open_valkey(folder, free_port())
        stack.callback(broker.wait)
        stack.callback(broker.kill)
        worker = stack.enter_context(open_program(["bench.peers.nothing"], {"PEER_REDIS": url}))
        app = Celery("nothing", broker=url, set_as_current=False)
        return measure_messages(
            url, worker, lambda: app.send_task("nothing"), queue="celery", taken="unacked"
        )


def measure_messages(
    redis_url: str, worker: int, send: Callable[[], object], *, queue: str, taken: str
) -> Cost:
    """What one of many messages costs until it is put away, and in the processes that take it.

    Parameters
    ----------
    worker : the process id of the one who takes them.
    queue, taken : the keys under which they wait, and lie while they are worked on.
    """
    with redis.Redis.from_url(redis_url) as client:

        def work_off(number: int) -> None:
            for _ in range(number):
                send()
            wait_until(lambda: not client.llen(queue) and not client.hlen(taken), 60)

        # The first one waits until the worker is there.
        work_off(1)
        began_s, cpu_began_s = time.perf_counter(), cpu_of(worker)
        work_off(MESSAGES)
        return Cost(
            1e3 * (time.perf_counter() - began_s) / MESSAGES,
            1e3 * (cpu_of(worker) - cpu_began_s) / MESSAGES,
        )


if __name__ == "__main__":
    print_table("The floor on this machine", limits())
