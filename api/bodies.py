"""Request bodies, read within bounds of size, time and memory.

All bodies that are being read share one budget: however many callers send however much, the
process never holds more than that.
"""

from __future__ import annotations

import io
import math
import threading
import time
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Protocol

from shared.errors import MalformedRequest, Overloaded, TooLarge, TooSlow, UnsupportedMedia

CHUNK = 256 * 1024
# granian gives a piece only once it is whole, and nobody can ask how much has come. So what comes
# slowly, of which the next bytes may be long in coming, is taken byte by byte up to the end of a
# line: a microsecond each. Of what comes faster a piece is what comes within this time.
SLOW_BYTES_PER_S = 16 * 1024
PIECE_S = 0.25
LARGEST_PIECE = 64 * 1024
LONGEST_SLOW_PIECE = 4 * 1024
# What an inflater does not use at once it copies, each time: so it gets little at a time.
MORSEL = 16 * 1024
# A body that has not ended after the grace must have kept at least this pace.
GRACE_S = 30.0
SLOWEST_BYTES_PER_S = 16 * 1024
# Of what is too large, what comes within this time is still read and thrown away: most clients
# only listen for the answer once they have sent what they wanted to send.
DISCARDING_S = 30.0
# And of what comes while there is no place for it: others want this thread.
TURNING_AWAY_S = 0.5
# For how long it is remembered that somebody was turned away.
REMEMBERED_S = 60.0
ENCODINGS = ("gzip", "identity")


class Stream(Protocol):
    """What a WSGI server hands over as `wsgi.input`."""

    def read(self, size: int, /) -> bytes:
        """Wait until there are `size` bytes, or no more to come, and return them."""
        ...


class Budget:
    """How many bodies, and how many bytes of them, may be in memory at the same time."""

    def __init__(self, *, readers: int, refused: int, most_bytes: int) -> None:
        self._lock = threading.Lock()
        self._refused = threading.Semaphore(refused)
        self._turned_away_at_s = -math.inf
        self._readers = readers
        self._bytes = most_bytes

    @contextmanager
    def reader(self) -> Iterator[Share]:
        """Take a place among the readers; raises `Overloaded` when there is none."""
        self._take(readers=1)
        share = Share(self)
        try:
            yield share
        finally:
            share.give_back()
            self._take(readers=-1)

    @property
    def turned_away_s_ago(self) -> float | None:
        """When the last one was; None when that is longer ago than a minute."""
        ago_s = time.monotonic() - self._turned_away_at_s
        return ago_s if ago_s < REMEMBERED_S else None

    def turn_away(self, stream: Stream, length: int | None) -> None:
        """Take what a sender has on its way already, so that the answer is listened to.

        Whoever sends nothing keeps a thread until `api.pace` shows him out: that is done for a few
        at a time. The others are answered at once, which some hear only as the end.
        """
        self._turned_away_at_s = time.monotonic()
        if self._refused.acquire(blocking=False):
            try:
                Arrival(stream, length).discard(TURNING_AWAY_S)
            finally:
                self._refused.release()

    def _take(self, *, readers: int = 0, size: int = 0) -> None:
        with self._lock:
            if min(self._readers - readers, self._bytes - size) < 0:
                raise Overloaded("Too many uploads are arriving at once; try again in a moment.")
            self._readers -= readers
            self._bytes -= size


class Share:
    """What one reader holds of the budget."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._size = 0

    def grow(self, size: int) -> None:
        """Hold so many bytes more; raises `Overloaded` when the budget is spent."""
        self._budget._take(size=size)
        self._size += size

    def shrink(self, size: int) -> None:
        """Hold so many bytes less."""
        self._budget._take(size=-size)
        self._size -= size

    def give_back(self) -> None:
        """Hold no bytes any more."""
        self.shrink(self._size)


class Arrival:
    """The chunks of one body in order, at no less than the slowest pace; counts what has come."""

    def __init__(self, stream: Stream, length: int | None) -> None:
        self._stream = stream
        self._length = length
        # What we do with it meanwhile is not the sender's time.
        self._waited_s = 0.0
        self.received = 0

    def __iter__(self) -> Iterator[bytes]:
        """Go on where the last one stopped."""
        while chunk := self._read(CHUNK):
            yield chunk

    def as_it_comes(self) -> Iterator[bytes]:
        """The same in pieces that do not wait for long for what follows."""
        lately, before_s = 0.0, time.monotonic()
        while chunk := self._read_some(lately):
            now_s = time.monotonic()
            took_s, before_s = max(now_s - before_s, 1e-6), now_s
            # Bytes a second, as a mean that forgets within about a second.
            lately += (len(chunk) / took_s - lately) * -math.expm1(-took_s)
            lately = min(lately, LARGEST_PIECE / PIECE_S)
            yield chunk

    def _read_some(self, lately: float) -> bytes:
        if lately >= SLOW_BYTES_PER_S:
            return self._read(min(int(lately * PIECE_S), LARGEST_PIECE))
        gathered = bytearray()
        while byte := self._read(1):
            gathered += byte
            if byte.endswith(b"\n") or len(gathered) >= LONGEST_SLOW_PIECE:
                break
        return bytes(gathered)

    def _read(self, size: int) -> bytes:
        if self._length is not None and self.received >= self._length:
            return b""
        # A caller who falls silent is cut off by `api.pace`, and looks like the end here.
        began_s = time.monotonic()
        chunk = self._stream.read(size)
        self._waited_s += time.monotonic() - began_s
        self.received += len(chunk)
        if self._waited_s > GRACE_S + self.received / SLOWEST_BYTES_PER_S:
            raise TooSlow("The body arrived too slowly.")
        return chunk

    def discard(self, longest_s: float = DISCARDING_S) -> None:
        """Throw away what still comes, for a while."""
        until_s = time.monotonic() + longest_s
        with suppress(TooSlow):
            for _ in self:
                if time.monotonic() > until_s:
                    return


def read_body(
    stream: Stream,
    share: Share,
    *,
    most_bytes: int,
    length: int | None = None,
    encoding: str = "identity",
) -> bytes:
    """Read a whole body and expand it.

    Parameters
    ----------
    stream : where the bytes come from.
    share : the part of the budget that grows with what is read.
    most_bytes : bound of the body's size, as it travels and once expanded.
    length : what Content-Length promised, if anything.
    encoding : "identity" or "gzip" (one member or several).

    Raises
    ------
    TooLarge, TooSlow, MalformedRequest (cut short or broken gzip), UnsupportedMedia, Overloaded.
    """
    _check_encoding(encoding)
    arrival = Arrival(stream, length)
    # It grows in place, and gives away what it holds without copying it.
    whole = io.BytesIO()
    try:
        _check_size(length or 0, most_bytes)
        parts = _bounded(arrival, most_bytes)
        if encoding == "gzip":
            parts = _bounded(_inflate(parts), most_bytes)
        for part in parts:
            share.grow(len(part))
            whole.write(part)
    except TooLarge:
        whole.close()
        share.give_back()
        arrival.discard()
        raise
    except Overloaded:
        # Others take its part of the budget while the rest is listened to: it must be free.
        whole.close()
        raise
    _check_end(arrival, length)
    return whole.getvalue()


def stream_body(
    stream: Stream, *, length: int | None = None, encoding: str = "identity"
) -> Iterator[bytes]:
    """Read a body of any size piece by piece, and expand it; raises what `read_body` raises.

    A body without a length that is not compressed may be cut without anybody noticing.
    """
    _check_encoding(encoding)
    arrival = Arrival(stream, length)
    pieces = arrival.as_it_comes()
    yield from _inflate(pieces) if encoding == "gzip" else pieces
    _check_end(arrival, length)


def _check_encoding(encoding: str) -> None:
    if encoding not in ENCODINGS:
        raise UnsupportedMedia("Content-Encoding must be gzip or absent.")


def _check_end(arrival: Arrival, length: int | None) -> None:
    if length is not None and arrival.received < length:
        raise MalformedRequest(f"The body ended after {arrival.received} of {length} bytes.")


def _check_size(size: int, most_bytes: int) -> None:
    if size > most_bytes:
        raise TooLarge(f"The body is larger than {most_bytes} bytes, as sent or once expanded.")


def _bounded(parts: Iterable[bytes], most_bytes: int) -> Iterator[bytes]:
    size = 0
    for part in parts:
        size += len(part)
        _check_size(size, most_bytes)
        yield part


def _inflate(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Expand gzip piece by piece, so that a bomb is noticed after one piece too many."""
    inflater = zlib.decompressobj(wbits=31)
    for chunk in chunks:
        for start in range(0, len(chunk), MORSEL):
            rest = chunk[start : start + MORSEL]
            while rest:
                if inflater.eof:
                    # The next member of a concatenated file.
                    inflater = zlib.decompressobj(wbits=31)
                try:
                    piece = inflater.decompress(rest, CHUNK)
                except zlib.error as error:
                    raise MalformedRequest("The body is not valid gzip.") from error
                if piece:
                    yield piece
                rest = inflater.unconsumed_tail or inflater.unused_data
    if not inflater.eof:
        raise MalformedRequest("The gzip body is cut short.")
