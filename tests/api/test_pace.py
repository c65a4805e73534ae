"""Connections on which next to nothing moves are cut off; all others are left alone."""

from __future__ import annotations

import resource
import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest

from api import pace
from api.bodies import SLOWEST_BYTES_PER_S
from tests.parts import wait_until

pytestmark = pytest.mark.skipif(not hasattr(socket, "TCP_INFO"), reason="Linux counts, others not")

PATIENCE_S = int(pace.PATIENCE_S)


class Pair:
    """Both ends of a connection on which a request has begun."""

    def __init__(self, listener: socket.socket) -> None:
        self.client = socket.create_connection(listener.getsockname(), timeout=5)
        self.server, _ = listener.accept()
        self.server.settimeout(5)
        self.deliver(9)

    def deliver(self, size: int) -> None:
        """Bring so many bytes from one end to the other."""
        self.client.sendall(bytes(size))
        while size:
            size -= len(self.server.recv(size))

    def is_cut(self) -> bool:
        """Whether the server would find that nothing more comes."""
        self.server.setblocking(False)
        try:
            return self.server.recv(1, socket.MSG_PEEK) == b""
        except BlockingIOError:
            return False
        finally:
            self.server.settimeout(5)

    def close(self) -> None:
        """Close both ends."""
        self.client.close()
        self.server.close()


class Watched:
    """A port, its connections, and a watch whose time the test tells."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.pairs: list[Pair] = []
        self.marks: dict[str, pace.Mark] = {}

    def connect(self) -> Pair:
        """A new connection."""
        self.pairs.append(Pair(self.listener))
        return self.pairs[-1]

    def look(self, now_s: float, *waiting: str) -> None:
        """Look once, while they wait for us at these addresses."""
        self.marks = pace.look(self.port, self.marks, now_s, waiting)


@pytest.fixture
def watched() -> Iterator[Watched]:
    watched = Watched()
    yield watched
    for pair in watched.pairs:
        pair.close()
    watched.listener.close()


def test_whoever_falls_silent_is_cut_off_and_can_still_be_answered(watched: Watched) -> None:
    silent = watched.connect()
    for now_s in (0, PATIENCE_S - 1, PATIENCE_S):
        watched.look(now_s)
        assert not silent.is_cut()
    watched.look(PATIENCE_S + 1)
    assert silent.is_cut()
    silent.server.sendall(b"408")
    assert silent.client.recv(3) == b"408"


def test_patience_begins_when_a_connection_is_first_seen(watched: Watched) -> None:
    watched.look(0)
    late = watched.connect()
    watched.look(PATIENCE_S + 1)
    assert not late.is_cut()


def test_a_trickle_is_cut_off_too(watched: Watched) -> None:
    trickle = watched.connect()
    for now_s in range(0, PATIENCE_S + 6, 5):
        assert not trickle.is_cut()
        trickle.deliver(1000)
        watched.look(now_s)
    assert trickle.is_cut()


def test_whoever_keeps_the_pace_is_left_alone(watched: Watched) -> None:
    steady = watched.connect()
    for now_s in range(0, 3 * PATIENCE_S, 20):
        steady.deliver(20 * SLOWEST_BYTES_PER_S + 1)
        watched.look(now_s)
        assert not steady.is_cut()


def test_whoever_is_being_answered_is_left_alone(watched: Watched) -> None:
    reader = watched.connect()
    for now_s in range(0, 3 * PATIENCE_S, PATIENCE_S // 2):
        reader.server.sendall(b"more")
        assert reader.client.recv(4) == b"more"
        watched.look(now_s)
        assert not reader.is_cut()


def test_whoever_waits_for_us_is_left_alone(watched: Watched) -> None:
    patient = watched.connect()
    patient.client.sendall(b"not read yet")
    wait_until(lambda: pace._waits_for_us(patient.server))
    watched.look(0)
    watched.look(2 * PATIENCE_S)
    assert patient.server.recv(100) == b"not read yet"
    assert not patient.is_cut()


def test_while_an_address_waits_for_us_its_connections_are_left_alone(watched: Watched) -> None:
    patient = watched.connect()
    for now_s in range(0, 3 * PATIENCE_S, 5):
        watched.look(now_s, "127.0.0.1")
        assert not patient.is_cut()
    # As much time again as everybody has, once it has its answer.
    for now_s in range(3 * PATIENCE_S, 4 * PATIENCE_S, 5):
        watched.look(now_s, "127.0.0.2")
        assert not patient.is_cut()
    watched.look(4 * PATIENCE_S, "127.0.0.2")
    assert patient.is_cut()


def test_who_waits_for_us_is_who_sends_nothing_that_we_wait_for() -> None:
    work, now_s = pace.Work(), time.monotonic()
    seen: list[set[str]] = []

    class Body:
        def read(self, size: int, /) -> bytes:
            seen.append(work.waiting(now_s + 2 * PATIENCE_S))
            return b"a piece"

    def act(environ: dict[str, Any], _: object) -> list[bytes]:
        seen.append(work.waiting(now_s + PATIENCE_S))
        pieces = [environ["wsgi.input"].read(7)]
        seen.append(work.waiting(time.monotonic() + PATIENCE_S / 2 - 1))
        seen.append(work.waiting(time.monotonic() + PATIENCE_S / 2 + 1))
        return pieces

    environ = {"REMOTE_ADDR": "::1", "wsgi.input": Body()}
    assert work.seen_in(act)(environ, lambda *_: lambda _: None) == [b"a piece"]
    assert seen == [{"::1"}, set(), set(), {"::1"}]
    assert work.waiting(now_s + 2 * PATIENCE_S) == set()


def test_a_connection_on_which_nothing_has_begun_is_left_to_the_server(watched: Watched) -> None:
    silent = socket.create_connection(watched.listener.getsockname(), timeout=5)
    accepted, _ = watched.listener.accept()
    accepted.setblocking(False)
    with silent, accepted:
        watched.look(0)
        watched.look(2 * PATIENCE_S)
        with pytest.raises(BlockingIOError):
            accepted.recv(1)


def test_connections_to_other_ports_are_none_of_our_business(watched: Watched) -> None:
    other = watched.connect()
    marks: dict[str, pace.Mark] = {}
    for now_s in (0, 2 * PATIENCE_S):
        marks = pace.look(watched.port + 1, marks, now_s)
    assert not other.is_cut()


def test_looking_leaves_every_file_and_socket_open(watched: Watched) -> None:
    pair = watched.connect()
    watched.look(0)
    assert watched.listener.fileno() > 0
    pair.deliver(3)


def test_the_watch_outlives_a_lack_of_descriptors(monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[float] = []
    look = pace.look

    def counted(*asked: Any) -> dict[str, pace.Mark]:
        looks.append(time.monotonic())
        return look(*asked)

    monkeypatch.setattr(pace, "look", counted)
    monkeypatch.setattr(pace, "LOOK_EVERY_S", 0.05)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    # No more may be opened, not even the list of those that are.
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    try:
        pace.watch(0, lambda environ, start_response: [])
        wait_until(lambda: len(looks) > 2, what="for looks in vain, and another one")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
