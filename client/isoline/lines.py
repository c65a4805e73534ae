"""The lines of a batch, as a stream that is never in memory as a whole."""

from __future__ import annotations

import itertools
import time
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import TypeAlias

from isoline.ecg import Ecg, encode
from isoline.errors import Interrupted, IsolineError, UnusableEcg

# What is sent in one go, and after how long it is, however little there is.
PIECE = 64 * 1024
LONGEST_S = 1.0
_GZIP = 31

Item: TypeAlias = Ecg | bytes | tuple[str | None, Ecg]
Items: TypeAlias = Iterable[Item] | Callable[[], Iterable[Item]]


def begun(items: Items, key: str) -> Iterator[Item]:
    """Begin with the first item; raises `Interrupted` where that is not possible."""
    try:
        return iter(items() if callable(items) else items)
    except Exception as error:
        raise _interrupted("The lines were not begun", error, key) from error


def made(coming: Iterator[Item], key: str) -> Iterator[bytes]:
    """Write items as lines; raises `Interrupted` at the first that cannot be made."""
    for number in itertools.count(1):
        try:
            item = next(coming)
        except StopIteration:
            return
        except Exception as error:
            raise _interrupted(f"Line {number} was not made", error, key) from error
        try:
            line = line_of(item)
        except Exception as error:
            name = f" ({item[0]!r})" if isinstance(item, tuple) and item and item[0] else ""
            raise _interrupted(f"Line {number}{name} cannot be sent", error, key) from error
        yield line


def _interrupted(what: str, error: Exception, key: str) -> Interrupted:
    why = str(error) if isinstance(error, IsolineError) else f"{type(error).__name__}: {error}"
    return Interrupted(
        f"{what}: {why.rstrip('.')}. With the same key, here {key}, the batch goes on.",
        idempotency_key=key,
    )


def packed(
    lines: Iterable[bytes], compression: int, on_sent: Callable[[int], None]
) -> Iterator[bytes]:
    """Put lines together as gzip'd NDJSON, piece by piece.

    Parameters
    ----------
    compression : 0 (only wrapped) to 9.
    on_sent : is told how many lines have been handed over.
    """
    packer = zlib.compressobj(compression, zlib.DEFLATED, _GZIP)
    waiting: list[bytes] = []
    size = 0
    sent_s = time.monotonic()
    for number, line in enumerate(lines, start=1):
        for piece in (packer.compress(line), packer.compress(b"\n")):
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
    """One line; raises `UnusableEcg` for bytes that are several, and what none can be made of."""
    if isinstance(item, bytes):
        if b"\n" in item.rstrip():
            raise UnusableEcg("A line that is ready must be one line.")
        return item.rstrip()
    if isinstance(item, Ecg):
        return encode(item)
    match item:
        case (custom_id, Ecg() as ecg):
            return encode(ecg, custom_id)
    raise UnusableEcg(
        f"A line is an Ecg, a pair of a name and an Ecg, or bytes, not {type(item).__name__}."
    )
