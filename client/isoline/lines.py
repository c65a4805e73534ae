"""The lines of a batch, as a stream that is never in memory as a whole."""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import TypeAlias

from isoline.ecg import Ecg, encode

# What is sent in one go, and after how long it is, however little there is.
PIECE = 64 * 1024
LONGEST_S = 1.0
_GZIP = 31

Item: TypeAlias = Ecg | bytes | tuple[str | None, Ecg]
Items: TypeAlias = Iterable[Item] | Callable[[], Iterable[Item]]


def packed(
    items: Iterable[Item], compression: int, on_sent: Callable[[int], None]
) -> Iterator[bytes]:
    """Write items as gzip'd NDJSON, piece by piece.

    Parameters
    ----------
    compression : 0 (only wrapped) to 9.
    on_sent : is told how many lines have been handed over.
    """
    packer = zlib.compressobj(compression, zlib.DEFLATED, _GZIP)
    waiting: list[bytes] = []
    size = 0
    sent_s = time.monotonic()
    for number, item in enumerate(items, start=1):
        for piece in (packer.compress(line_of(item)), packer.compress(b"\n")):
            waiting.append(piece)
            size += len(piece)
        is_slow = time.monotonic() - sent_s > LONGEST_S
        if is_slow:
            # Of lines that come slowly the server gets each, and not what fills a block.
            waiting.append(packer.flush(zlib.Z_SYNC_FLUSH))
        if is_slow or size >= PIECE:
            yield b"".join(waiting)
            waiting, size = [], 0
            sent_s = time.monotonic()
        on_sent(number)
    yield b"".join([*waiting, packer.flush()])


def line_of(item: Item) -> bytes:
    """One line; raises `ValueError` for bytes that are several."""
    if isinstance(item, bytes):
        if b"\n" in item.rstrip():
            raise ValueError("A line that is ready must be one line.")
        return item.rstrip()
    if isinstance(item, Ecg):
        return encode(item)
    custom_id, ecg = item
    return encode(ecg, custom_id)
