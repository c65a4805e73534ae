"""What is sent again by itself is what was sent before, whatever it was made from."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

import msgspec
import numpy as np
import pytest

from isoline import Client, Ecg, Interrupted, Lead

# Of an ECG, and of a batch.
FINE = {
    "id": "x",
    "status": "finished",
    "created_at": "2026-11-26T00:00:00Z",
    "date": "2026-11-26T00:00:00Z",
    "number_of_leads": 1,
    "counts": {"total": 1, "pending": 0, "finished": 1, "failed": 0, "rejected": 0},
    "progress": 1,
}


class Away(BaseHTTPRequestHandler):
    """Takes whole bodies, and is away for the first of them."""

    protocol_version = "HTTP/1.1"
    bodies: ClassVar[list[bytes]] = []

    def do_POST(self) -> None:
        is_away = not self.bodies
        self.bodies.append(self._body())
        content = msgspec.json.encode({"detail": "away"} if is_away else FINE)
        self.send_response(503 if is_away else 202)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _body(self) -> bytes:
        if length := self.headers.get("Content-Length"):
            return self.rfile.read(int(length))
        pieces = []
        while size := int(self.rfile.readline(), 16):
            pieces.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return gzip.decompress(b"".join(pieces))

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def isoline(monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    monkeypatch.setattr("isoline.retries.sleep", lambda _: None)
    Away.bodies.clear()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Away)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    with Client(f"http://127.0.0.1:{server.server_port}", "my-token") as client:
        yield client
    server.shutdown()
    server.server_close()
    thread.join()


class Once:
    """Can be iterated once, although it is no iterator itself."""

    def __init__(self, *values: Any) -> None:
        self._values = iter(values)

    def __iter__(self) -> Iterator[Any]:
        return self._values


# Each can be read once; what it holds comes as one lead of three samples.
SPENT: dict[str, Callable[[], Ecg]] = {
    "leads": lambda: Ecg(Lead("I", signal) for signal in [[5, 6, 7]]),  # type: ignore[arg-type]
    "mapped leads": lambda: Ecg(map(Lead, ["I"], [(5, 6, 7)])),  # type: ignore[arg-type]
    "wrapped leads": lambda: Ecg(Once(Lead("I", [5, 6, 7]))),  # type: ignore[arg-type]
    "signal": lambda: Ecg([Lead("I", (5 + more for more in range(3)))]),  # type: ignore[arg-type]
    "wrapped signal": lambda: Ecg([Lead("I", Once(5, 6, 7))]),  # type: ignore[arg-type]
    # It knows its length, and can be asked for a sample.
    "flat signal": lambda: Ecg([Lead("I", np.array([[5, 6, 7]]).flat)]),  # type: ignore[arg-type]
    "both": lambda: Ecg(Lead("I", iter((5, 6, 7))) for _ in range(1)),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("made", SPENT.values(), ids=SPENT)
def test_leads_and_signals_that_can_be_read_once_are_sent_again_whole(
    isoline: Client, made: Callable[[], Ecg]
) -> None:
    whole = b'{"leads":[{"name":"I","signal":[5,6,7]}]}'
    ecg = made()
    isoline.submit_batch([ecg])
    assert Away.bodies == [whole + b"\n"] * 2
    Away.bodies.clear()
    isoline.upload(ecg)
    assert Away.bodies == [whole] * 2


def test_a_function_that_makes_the_lines_anew_has_them_sent_again(isoline: Client) -> None:
    ecgs = [Ecg([Lead("I", [number])]) for number in range(3)]
    for lines in (lambda: ecgs, lambda: iter(ecgs), lambda: (ecg for ecg in ecgs)):
        Away.bodies.clear()
        isoline.submit_batch(lines)
        first, again = Away.bodies
        assert first == again
        assert first.count(b"\n") == 3


def test_a_function_that_gives_the_same_iterator_again_is_told_so(isoline: Client) -> None:
    ecgs = (Ecg([Lead("I", [number])]) for number in range(3))
    for once in (ecgs, Once(Ecg([]))):
        Away.bodies.clear()
        with pytest.raises(Interrupted, match=r"away.* must make a new one each time") as refused:
            isoline.submit_batch(lambda once=once: once, idempotency_key="monday")  # type: ignore[misc]
        assert refused.value.idempotency_key == "monday"
        # The rest alone would have ended the batch.
        assert len(Away.bodies) == 1
