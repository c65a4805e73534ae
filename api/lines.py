"""A stream of bytes → its lines, none of them longer than an upload may be."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from api.bodies import Share

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
# Twenty million of them are 19 KB of gzip, and no bound holds for them: they must cost nothing.
_EMPTY_LINES = re.compile(rb"\s*\n")
# What may stand around the text of a line, and is none of it.
_MOST_AROUND = len(BYTE_ORDER_MARK) + len(b"\r")


@dataclass(frozen=True)
class Line:
    """One line that is not empty: its number, from 1, and its text without the end of line."""

    number: int
    # None: it was too long, and thrown away.
    text: bytes | None
    # Whether its end has been seen; the last one may do without.
    is_whole: bool


def split(parts: Iterable[bytes], share: Share, *, most_bytes: int) -> Iterator[Line]:
    """Cut a stream into lines, LF or CRLF; empty ones are counted, and left out.

    Parameters
    ----------
    parts : the stream, in pieces of any size.
    share : the part of the budget that grows with the line that is being read.
    most_bytes : bound of a line's text, however the stream is cut.
    """
    number, begun = 1, _Beginning(share, most_bytes)
    for part in parts:
        at = 0
        while at < len(part):
            if begun.is_empty and (run := _EMPTY_LINES.match(part, at)):
                number += part.count(b"\n", at, run.end())
                at = run.end()
                continue
            end = part.find(b"\n", at)
            if end < 0:
                begun.add(part[at:])
                break
            begun.add(part[at:end])
            yield from begun.finish(number, is_whole=True)
            number += 1
            at = end + 1
    yield from begun.finish(number, is_whole=False)


class _Beginning:
    """What has come so far of the line that is being read."""

    def __init__(self, share: Share, most_bytes: int) -> None:
        self._share = share
        self._most_bytes = most_bytes
        self._pieces: list[bytes] = []
        self._size = 0
        self._is_blank = True

    @property
    def is_empty(self) -> bool:
        return self._size == 0

    def add(self, piece: bytes) -> None:
        self._size += len(piece)
        self._is_blank = self._is_blank and (not piece or piece.isspace())
        if self._size <= self._most_bytes + _MOST_AROUND:
            self._share.grow(len(piece))
            self._pieces.append(piece)
        elif self._pieces:
            self._share.shrink(self._size - len(piece))
            self._pieces.clear()

    def finish(self, number: int, *, is_whole: bool) -> Iterator[Line]:
        held = b"".join(self._pieces)
        self._pieces.clear()
        if not self._is_blank:
            text = held.removeprefix(BYTE_ORDER_MARK) if number == 1 else held
            text = text.rstrip(b"\r")
            is_too_long = len(held) < self._size or len(text) > self._most_bytes
            if is_too_long:
                yield Line(number, None, is_whole)
            elif text.strip():
                # A mark alone is no line either.
                yield Line(number, text, is_whole)
        self._share.shrink(len(held))
        self._size, self._is_blank = 0, True
