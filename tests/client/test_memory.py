"""However many ECGs an iterator makes, the client holds a handful of them."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import zlib
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import msgspec
import pytest

from tests.parts import HOUSE

NUMBER = 100_000
BATCH = {
    "id": "b",
    "status": "running",
    "counts": {"total": NUMBER, "pending": NUMBER, "finished": 0, "failed": 0, "rejected": 0},
    "progress": 0,
    "created_at": "2026-11-26T00:00:00Z",
}


class Swallowing(BaseHTTPRequestHandler):
    """Takes a batch, of which it keeps nothing but how long it was, and how many lines."""

    protocol_version = "HTTP/1.1"
    seen: ClassVar[dict[str, int]] = {}

    def do_POST(self) -> None:
        unpacker = zlib.decompressobj(31)
        self.seen.update(lines=0, size=0)
        while size := int(self.rfile.readline(), 16):
            text = unpacker.decompress(self.rfile.read(size))
            self.rfile.readline()
            self.seen["size"] += len(text)
            self.seen["lines"] += text.count(b"\n")
        self.rfile.readline()
        body = msgspec.json.encode(BATCH)
        self.send_response(202)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def url() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Swallowing)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


PROGRAM = """
import re, sys
from pathlib import Path
from isoline import Client, Ecg, Lead

def submit(number):
    client.submit_batch((f"ecg {n}", Ecg([Lead("I", signal)])) for n in range(number))
    # The most that there was; `ru_maxrss` would count what the parent had as well.
    return int(re.search(r"VmHWM:\\s*(\\d+) kB", Path("/proc/self/status").read_text())[1])

signal = list(range(100))
with Client(sys.argv[1], "token") as client:
    # What it takes anyhow it has taken after a few.
    before = submit(2000)
    print(submit(int(sys.argv[2])) - before)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux tells")
def test_a_generator_of_many_ecgs_is_sent_in_constant_memory(url: str) -> None:
    command = [sys.executable, "-c", PROGRAM, url, str(NUMBER)]
    environ = {**os.environ, "PYTHONPATH": str(HOUSE / "client")}
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=True)
    assert Swallowing.seen["lines"] == NUMBER
    # Of some 35 MB that went out.
    assert Swallowing.seen["size"] > 30_000_000
    assert int(done.stdout) < 4_000
