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
from pathlib import Path
from typing import Any

import numpy as np
import redis
import simdjson
from celery import Celery
from flask import Flask

from bench.cases import make_body, open_program
from bench.tables import print_table
from shared.signals import decode, encode
from tests.parts import free_port, open_valkey, wait_until


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
    signal = body.partition(b"[")[2].partition(b"[")[2].partition(b"]")[0]
    samples = np.random.default_rng(1).integers(-2000, 2000, 60_000, dtype=np.int16)
    recording = parse(body)
    blob = encode(recording.leads)
    leads = decode(blob)

    def analyse(sampling_rate_hz: float | None) -> None:
        analyse_ecg(
            recording.names, leads, sampling_rate_hz=sampling_rate_hz, baseline=recording.baseline
        )

    text = b"[" + b",".join([signal] * 12) + b"]"

    def scan() -> object:
        return simdjson.Parser().parse(text).as_buffer(of_type="i")  # type: ignore[union-attr]

    rows: list[tuple[str, float, str]] = [
        ("memcpy of P12's body", timed(lambda: bytearray(body)), f"{len(body):,} bytes"),
        ("np.max over P12's samples, int16", timed(samples.max), "60,000 samples"),
        ("JSON scan of P12's samples, simdjson", timed(scan), "to a buffer of int64"),
        ("  our parsing and checking", timed(lambda: parse(body)), "api.uploads.parse"),
        ("  our encoding", timed(lambda: encode(recording.leads)), "shared.signals.encode"),
        ("  our decoding", timed(lambda: decode(blob)), "shared.signals.decode"),
        ("  our insights", timed(lambda: analyse(None)), "worker.analysis.analyse_ecg"),
        ("  the same with a sampling rate", timed(lambda: analyse(500.0)), "all there are"),
        ("one fsync after 4 kB", _fsync(), "into a file of its own"),
        ("an empty Flask view, called in process", _flask(), "WSGI without a server"),
        ("a Celery message to a worker that does nothing", _celery(), "1,000 of them, each"),
    ]
    return [{"what": what, "ms": round(ms, 4), "how": how} for what, ms, how in rows]


def _fsync() -> float:
    with tempfile.TemporaryDirectory(prefix="isoline-bench-") as folder:
        descriptor = os.open(Path(folder) / "file", os.O_RDWR | os.O_CREAT)

        def write() -> None:
            os.write(descriptor, bytes(4096))
            os.fsync(descriptor)

        took_ms = timed(write, 100)
        os.close(descriptor)
        return took_ms


def _flask() -> float:
    app = Flask("empty")
    app.add_url_rule("/", "empty", lambda: "")
    environ = {
        "REQUEST_METHOD": "GET",
        "PATH_INFO": "/",
        "SERVER_NAME": "x",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "wsgi.url_scheme": "http",
    }
    return timed(lambda: b"".join(app.wsgi_app(dict(environ), lambda *_: lambda _: None)), 1000)


def _celery(messages: int = 1000) -> float:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="isoline-bench-")))
        broker, url = open_valkey(folder, free_port())
        stack.callback(broker.wait)
        stack.callback(broker.kill)
        stack.enter_context(open_program(["bench.peers.nothing"], {"PEER_REDIS": url}))
        app = Celery("nothing", broker=url, set_as_current=False)
        client = stack.enter_context(redis.Redis.from_url(url))

        def work_off(number: int) -> None:
            for _ in range(number):
                app.send_task("nothing")
            wait_until(lambda: not client.llen("celery") and not client.hlen("unacked"), 60)

        # The first one waits until the worker is there.
        work_off(1)
        began_s = time.perf_counter()
        work_off(messages)
        return 1e3 * (time.perf_counter() - began_s) / messages


if __name__ == "__main__":
    print_table("The floor on this machine", limits())
