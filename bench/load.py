"""A small HTTP/1.1 load generator: kept-alive connections, requests as ready-made bytes.

It runs on the machine it measures, so it must not eat what it counts: about 20 µs a request.
Answers must say how long they are (Content-Length), as all of the programs measured here do.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

LONGEST_S = 60.0


@dataclass(frozen=True)
class Reply:
    """An answer, and when its request was begun and it was complete."""

    status: int
    head: bytes
    body: bytes
    began_s: float
    ended_s: float

    @property
    def took_s(self) -> float:
        """From the intended start to the last byte."""
        return self.ended_s - self.began_s

    def header(self, name: str) -> str:
        """The value of a header; empty when there is none."""
        for line in self.head.decode("latin-1").split("\r\n"):
            found, _, value = line.partition(":")
            if found.lower() == name:
                return value.strip()
        return ""


def request(
    method: str, path: str, headers: Mapping[str, str] | None = None, body: bytes = b""
) -> bytes:
    """Make the bytes of a request."""
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


class Connection(asyncio.Protocol):
    """One connection with at most one request on its way."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._transport: asyncio.Transport | None = None
        self._reply: asyncio.Future[tuple[bytes, bytes]] | None = None
        self._received = bytearray()

    async def send(self, raw: bytes, began_s: float | None = None) -> Reply:
        """Send a request and wait for its answer; raises `ConnectionError`, `TimeoutError`.

        Connects first where the other side has hung up, as gunicorn does after each answer.
        """
        began_s = time.perf_counter() if began_s is None else began_s
        loop = asyncio.get_running_loop()
        if self._transport is None or self._transport.is_closing():
            await loop.create_connection(lambda: self, "127.0.0.1", self._port)
        assert self._transport is not None
        self._reply = loop.create_future()
        self._transport.write(raw)
        head, body = await asyncio.wait_for(self._reply, LONGEST_S)
        if b"connection: close" in head.lower():
            self._transport.close()
        return Reply(int(head[9:12]), head, body, began_s, time.perf_counter())

    def close(self) -> None:
        """Hang up."""
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The loop's: it is open."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """The loop's: something came."""
        self._received += data
        end = self._received.find(b"\r\n\r\n")
        if end < 0 or self._reply is None or self._reply.done():
            return
        head = bytes(self._received[:end])
        lower = head.lower()
        at = lower.find(b"content-length:")
        length = int(lower[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
        if len(self._received) >= end + 4 + length:
            body = bytes(self._received[end + 4 : end + 4 + length])
            del self._received[: end + 4 + length]
            self._reply.set_result((head, body))

    def connection_lost(self, error: Exception | None) -> None:
        """The loop's: it is closed."""
        self._transport = None
        if self._reply is not None and not self._reply.done():
            self._reply.set_exception(ConnectionError("the connection was closed"))


@dataclass
class Tally:
    """What a load has met."""

    replies: list[Reply] = field(default_factory=list)
    errors: dict[str, int] = field(default_factory=dict)
    # When the last request of an open loop was begun, by `time.perf_counter`; and how long after
    # the first one was to begin.
    last_begun_s: float = 0.0
    begun_within_s: float = 0.0

    def count(self, error: BaseException) -> None:
        """Note what went wrong."""
        name = type(error).__name__
        self.errors[name] = self.errors.get(name, 0) + 1


@asynccontextmanager
async def connections(port: int, number: int) -> AsyncIterator[list[Connection]]:
    """Hold so many connections."""
    opened = [Connection(port) for _ in range(number)]
    try:
        yield opened
    finally:
        for connection in opened:
            connection.close()


async def closed_loop(
    port: int, number: int, seconds: float, make: Callable[[int], bytes]
) -> tuple[Tally, float]:
    """Each connection sends the next request when the last one is answered; seconds it took."""
    tally = Tally()
    numbers = iter(range(10**9))

    async def go_on(connection: Connection, until_s: float) -> None:
        while time.perf_counter() < until_s:
            tally.replies.append(await connection.send(make(next(numbers))))

    async with connections(port, number) as opened:
        began_s = time.perf_counter()
        await asyncio.gather(*(go_on(connection, began_s + seconds) for connection in opened))
        return tally, time.perf_counter() - began_s


async def open_loop(
    port: int, a_second: float, seconds: float, make: Callable[[int], bytes], *, most: int
) -> Tally:
    """Begin requests at a fixed rate, whatever the answers do; time counts from the intended start.

    Parameters
    ----------
    most : connections at most; who finds none waits for one, which counts as time it took.
    """
    tally = Tally()
    # The one used last comes first, as in a pool: what is never needed is not opened.
    free: asyncio.LifoQueue[Connection] = asyncio.LifoQueue()
    for _ in range(most):
        free.put_nowait(Connection(port))

    async def one(number: int, began_s: float) -> None:
        await asyncio.sleep(max(0.0, began_s - time.perf_counter()))
        connection = await free.get()
        tally.last_begun_s = time.perf_counter()
        tally.begun_within_s = tally.last_begun_s - start_s
        try:
            tally.replies.append(await connection.send(make(number), began_s))
        except (OSError, TimeoutError) as error:
            tally.count(error)
            connection.close()
            connection = Connection(port)
        finally:
            free.put_nowait(connection)

    start_s = time.perf_counter() + 0.1
    await asyncio.gather(
        *(one(number, start_s + number / a_second) for number in range(int(a_second * seconds)))
    )
    while not free.empty():
        free.get_nowait().close()
    return tally


async def each(
    port: int, number: int, items: list[str], act: Callable[..., Awaitable[None]]
) -> None:
    """Do something with each item, over so many connections."""
    waiting = iter(items)

    async def go_on(connection: Connection) -> None:
        for item in waiting:
            await act(connection, item)

    async with connections(port, min(number, max(1, len(items)))) as opened:
        await asyncio.gather(*map(go_on, opened))
