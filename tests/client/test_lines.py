"""How the lines of a batch travel: in large pieces, and none waits for others."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

import pytest

from isoline import lines
from isoline.lines import LONGEST_S, PIECE, packed


class Clock:
    """A clock that is set by hand."""

    now_s = 0.0

    def monotonic(self) -> float:
        return self.now_s


def test_what_is_made_slowly_is_sent_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr(lines, "time", clock)

    def made() -> list[bytes]:
        return [b'{"leads": []}'] * 10

    def slowly() -> Iterator[bytes]:
        for line in made():
            clock.now_s += 0.4 * LONGEST_S
            yield line

    unpacker = zlib.decompressobj(wbits=31)
    arrived = [
        unpacker.decompress(piece).count(b"\n") for piece in packed(slowly(), 0, lambda _: None)
    ]
    assert arrived == [3, 3, 3, 1]
    assert unpacker.eof
    assert len(list(packed(made(), 0, lambda _: None))) == 1


def test_what_is_made_fast_is_sent_in_large_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "time", Clock())
    pieces = list(packed([b"x" * 1000] * 1000, 0, lambda _: None))
    assert min(map(len, pieces[:-1])) >= PIECE
