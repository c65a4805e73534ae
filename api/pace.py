"""Shows out whoever holds a connection and sends next to nothing.

granian has a deadline for headers and none for bodies (its issue 728): it waits for a silent caller
as long as it takes, with a thread of ours, and nothing in WSGI can call that thread back. The
kernel knows how much has come on each connection. Closing one for reading ends the wait, and the
caller still gets an answer: 408. To granian it would also be the end of whoever waits for us: their
request would be done, and answered to nobody. So those are spared.
"""

from __future__ import annotations

import fcntl
import math
import os
import socket
import struct
import termios
import threading
import time
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from api.bodies import SLOWEST_BYTES_PER_S, Stream

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

# Half of it is longer than anything that a request may have to wait for: twenty seconds for news,
# and five for the database.
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


@dataclass(eq=False)
class Request:
    """One that is being worked on, and its body, for which we wait at times."""

    address: str
    body: Stream
    # Since when its caller has been waiting for us.
    since_s: float = field(default_factory=time.monotonic)

    def read(self, size: int, /) -> bytes:
        """Wait for some of the body."""
        self.since_s = math.inf
        try:
            return self.body.read(size)
        finally:
            self.since_s = time.monotonic()


class Work:
    """The requests that are being worked on, from their headers until there is an answer."""

    def __init__(self) -> None:
        self._requests: set[Request] = set()

    def seen_in(self, application: WSGIApplication) -> WSGIApplication:
        """Have this application's requests counted among them."""

        def counted(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
            request = Request(environ["REMOTE_ADDR"], environ["wsgi.input"])
            environ["wsgi.input"] = request
            self._requests.add(request)
            try:
                return application(environ, start_response)
            finally:
                self._requests.discard(request)

        return counted

    def waiting(self, now_s: float) -> set[str]:
        """The addresses of those who have waited for us for half of our own patience."""
        # As a list at one stroke: others come and go meanwhile.
        return {
            request.address
            for request in list(self._requests)
            if now_s - request.since_s > PATIENCE_S / 2
        }


def watch(port: int, application: WSGIApplication) -> WSGIApplication:
    """Look after the connections to this port of this process from now on, where Linux counts.

    Returns
    -------
    WSGIApplication : what to serve there; it spares the connections of those who wait for it.
    """
    if not hasattr(socket, "TCP_INFO"):
        return application
    work = Work()
    threading.Thread(target=_watch, args=(port, work), name="pace", daemon=True).start()
    return work.seen_in(application)


def _watch(port: int, work: Work) -> None:
    marks: dict[str, Mark] = {}
    while True:
        time.sleep(LOOK_EVERY_S)
        now_s = time.monotonic()
        # Without a descriptor to spare nobody can look; that passes, and this thread must not.
        with suppress(OSError):
            marks = look(port, marks, now_s, work.waiting(now_s))


def look(
    port: int, marks: dict[str, Mark], now_s: float, waiting: Collection[str] = ()
) -> dict[str, Mark]:
    """Cut off every connection that has made no progress for too long.

    Parameters
    ----------
    waiting : addresses from which somebody waits for us. granian does not say on which of their
        connections, so all of them are given time.

    Returns
    -------
    dict of str to Mark : the new marks.
    """
    seen = {}
    for connection in _sockets():
        # It may be gone at any moment.
        with suppress(OSError):
            if connection.getsockname()[1] != port:
                continue
            peer = connection.getpeername()
            info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _COUNTERS.size)
            sent, received = _COUNTERS.unpack(info.ljust(_COUNTERS.size, b"\0"))
            if not received:
                # Nothing has begun, which is granian's to end; or the kernel does not count.
                continue
            mark = marks.get(str(peer), Mark(now_s, sent, received))
            slowest = mark.received + (now_s - mark.seen_s) * SLOWEST_BYTES_PER_S
            is_getting_on = sent != mark.sent or received > slowest
            if is_getting_on or peer[0] in waiting or _waits_for_us(connection):
                mark = Mark(now_s, sent, received)
            elif now_s - mark.seen_s > PATIENCE_S:
                connection.shutdown(socket.SHUT_RD)
            seen[str(peer)] = mark
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
