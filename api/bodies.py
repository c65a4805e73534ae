"""Request bodies, read within bounds of size, time and memory.

All bodies that are being read share one budget: however many callers send however much, the
process never holds more than that.
"""

from __future__ import annotations

import threading
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from shared.errors import MalformedRequest, Overloaded, TooLarge, TooSlow, UnsupportedMedia

CHUNK = 64 * 1024
# A body that has not ended after the grace must have kept at least this pace.
GRACE_S = 30.0
SLOWEST_BYTES_PER_S = 16 * 1024
# Of what is too large, so much is still read and thrown away: most clients only listen for the
# answer once they have sent what they wanted to send.
DISCARDED_BYTES = 2**31


class Stream(Protocol):
    """What a WSGI server hands over as `wsgi.input`."""

    def read(self, size: int, /) -> bytes:
        """Return up to `size` bytes, and none at the end."""
        ...


class Budget:
    """How many bodies, and how many bytes of them, may be in memory at the same time."""

    def __init__(self, *, readers: int, most_bytes: int) -> None:
        self._lock = threading.Lock()
        self._readers = readers
        self._bytes = most_bytes

    @contextmanager
    def reader(self) -> Iterator[Share]:
        """Take a place among the readers; raises `Overloaded` when there is none."""
        self._take(readers=1, size=0)
        share = Share(self)
        try:
            yield share
        finally:
            self._take(readers=-1, size=-share.size)

    def _take(self, *, readers: int, size: int) -> None:
        with self._lock:
            if min(self._readers - readers, self._bytes - size) < 0:
                raise Overloaded("Too many uploads are arriving at once; try again in a moment.")
            self._readers -= readers
            self._bytes -= size


class Share:
    """What one reader holds of the budget."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self.size = 0

    def grow(self, size: int) -> None:
        """Hold so many bytes more; raises `Overloaded` when the budget is spent."""
        self._budget._take(readers=0, size=size)
        self.size += size


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
    most_bytes : bound of the *expanded* size.
    length : what Content-Length promised, if anything.
    encoding : "identity" or "gzip" (one member or several).

    Raises
    ------
    TooLarge, TooSlow, MalformedRequest (cut short or broken gzip), UnsupportedMedia, Overloaded.
    """
    too_large = f"The body is larger than {most_bytes} bytes once expanded."
    if encoding not in {"identity", "gzip"}:
        raise UnsupportedMedia("Content-Encoding must be gzip or absent.")
    arriving = _paced(stream)
    if encoding == "identity" and length is not None and length > most_bytes:
        _discard(arriving)
        raise TooLarge(too_large)

    received = 0

    def counted() -> Iterator[bytes]:
        nonlocal received
        for chunk in arriving:
            received += len(chunk)
            yield chunk

    parts = []
    for part in _inflate(counted(), most_bytes) if encoding == "gzip" else counted():
        share.grow(len(part))
        parts.append(part)
        if share.size > most_bytes:
            parts.clear()
            _discard(arriving)
            raise TooLarge(too_large)
    if length is not None and received < length:
        raise MalformedRequest(f"The body ended after {received} of {length} bytes.")
    return b"".join(parts)


def _paced(stream: Stream) -> Iterator[bytes]:
    began_s = time.monotonic()
    received = 0
    while chunk := stream.read(CHUNK):
        received += len(chunk)
        if time.monotonic() - began_s > GRACE_S + received / SLOWEST_BYTES_PER_S:
            raise TooSlow("The body arrived too slowly.")
        yield chunk


def _discard(arriving: Iterator[bytes]) -> None:
    discarded = 0
    for chunk in arriving:
        discarded += len(chunk)
        if discarded > DISCARDED_BYTES:
            return


def _inflate(chunks: Iterator[bytes], most_bytes: int) -> Iterator[bytes]:
    """Expand gzip piece by piece, so that a bomb is noticed after one piece too many."""
    inflater = zlib.decompressobj(wbits=31)
    for chunk in chunks:
        while chunk:
            if inflater.eof:
                # The next member of a concatenated file.
                inflater = zlib.decompressobj(wbits=31)
            try:
                piece = inflater.decompress(chunk, CHUNK)
            except zlib.error as error:
                raise MalformedRequest("The body is not valid gzip.") from error
            if piece:
                yield piece
            chunk = inflater.unconsumed_tail or inflater.unused_data
    if not inflater.eof:
        raise MalformedRequest("The gzip body is cut short.")
