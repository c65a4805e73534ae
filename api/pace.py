"""Shows out whoever holds a connection and sends next to nothing.

granian has a deadline for headers and none for bodies (its issue 728): it waits for a silent caller
as long as it takes, with a thread of ours, and nothing in WSGI can call that thread back. The
kernel knows how much has come on each connection. Closing one for reading ends the wait, and the
caller still gets an answer: 408.
"""

from __future__ import annotations

import fcntl
import os
import socket
import struct
import termios
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

from api.bodies import SLOWEST_BYTES_PER_S

# Longer than anything that a request may have to wait for: twenty seconds for news, and five for
# the database.
PATIENCE_S = 60.0
LOOK_EVERY_S = 5.0

# In Linux's struct tcp_info: tcpi_bytes_acked and tcpi_bytes_received.
_COUNTERS = struct.Struct("=120x2Q")


@dataclass
class Mark:
    """How far a connection was when it was last seen getting on."""

    seen_s: float
    sent: int
    received: int


def watch(port: int) -> None:
    """Look after the connections to this port of this process from now on, where Linux counts."""
    if hasattr(socket, "TCP_INFO"):
        threading.Thread(target=_watch, args=(port,), name="pace", daemon=True).start()


def _watch(port: int) -> None:
    marks: dict[str, Mark] = {}
    while True:
        time.sleep(LOOK_EVERY_S)
        marks = look(port, marks, time.monotonic())


def look(port: int, marks: dict[str, Mark], now_s: float) -> dict[str, Mark]:
    """Cut off every connection that has made no progress for too long; return the new marks."""
    seen = {}
    for connection in _sockets():
        # It may be gone at any moment.
        with suppress(OSError):
            if connection.getsockname()[1] != port:
                continue
            peer = str(connection.getpeername())
            info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _COUNTERS.size)
            sent, received = _COUNTERS.unpack(info.ljust(_COUNTERS.size, b"\0"))
            if not received:
                # Nothing has begun, which is granian's to end; or the kernel does not count.
                continue
            mark = marks.get(peer, Mark(now_s, sent, received))
            slowest = mark.received + (now_s - mark.seen_s) * SLOWEST_BYTES_PER_S
            if sent != mark.sent or received > slowest or _waits_for_us(connection):
                mark = Mark(now_s, sent, received)
            elif now_s - mark.seen_s > PATIENCE_S:
                connection.shutdown(socket.SHUT_RD)
            seen[peer] = mark
    return seen


def _sockets() -> Iterator[socket.socket]:
    """Every internet socket of this process, looked at where it is.

    Neither copied nor closed: closing a copy of SQLite's files would drop its locks on them.
    """
    for descriptor in os.listdir("/dev/fd"):
        try:
            connection = socket.socket(fileno=int(descriptor))
        except OSError:
            continue
        try:
            if connection.family in {socket.AF_INET, socket.AF_INET6}:
                yield connection
        finally:
            connection.detach()


def _waits_for_us(connection: socket.socket) -> bool:
    """Whether something has come that nobody has read yet."""
    unread = fcntl.ioctl(connection, termios.FIONREAD, bytes(4))
    return any(unread)
