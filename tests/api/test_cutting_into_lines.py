"""Lines: numbered as an editor numbers them, however the stream is cut; empty ones cost nothing."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterable
from typing import Any

import pytest

from api.bodies import Budget
from api.lines import BYTE_ORDER_MARK, Line, split


def lines(parts: Iterable[bytes], most_bytes: int = 1000) -> list[Line]:
    budget = Budget(readers=1, refused=1, most_bytes=most_bytes + 100)
    with budget.reader() as share:
        return list(split(parts, share, most_bytes=most_bytes))


def test_however_it_is_cut_the_lines_are_the_same() -> None:
    chance = random.Random(7)
    for _ in range(300):
        choice = [b"\n", b"\r\n", b" \n", b"\t\r\n", b" ", b"\r", b"a", b" b ", b"c\r\n", b"\xef"]
        body = b"".join(chance.choices(choice, k=40))
        *whole, rest = body.split(b"\n")
        expected = [
            Line(number, text.rstrip(b"\r"), number <= len(whole))
            for number, text in enumerate([*whole, rest], start=1)
            if text.strip()
        ]
        cuts = sorted(chance.choices(range(len(body) + 1), k=5))
        parts = [body[a:b] for a, b in zip([0, *cuts], [*cuts, len(body)], strict=True)]
        assert lines(parts) == expected, (body, cuts)


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n"])
@pytest.mark.parametrize("before", [b"", BYTE_ORDER_MARK, b"\n"])
@pytest.mark.parametrize("over", [-1, 0, 1])
def test_the_bound_of_a_line_is_exact_however_it_is_cut(
    before: bytes, end: bytes, over: int
) -> None:
    most = 30
    text = b"x" * (most + over)
    first = Line(1 + before.count(b"\n"), text if over <= 0 else None, is_whole=bool(end))
    body, expected = before + text + end, [first]
    if end:
        body += b"next"
        expected.append(Line(first.number + 1, b"next", is_whole=False))
    for size in range(1, len(body) + 1):
        parts = [body[at : at + size] for at in range(0, len(body), size)]
        assert lines(parts, most) == expected, size


@pytest.mark.parametrize("over", [-1, 0, 1])
def test_an_empty_line_is_none_however_long_it_is(over: int) -> None:
    most = 30
    body = b" " * (most + over) + b"\r\nnext\n" + b" " * (most + over)
    for size in range(1, len(body) + 1):
        parts = [body[at : at + size] for at in range(0, len(body), size)]
        assert lines(parts, most) == [Line(2, b"next", True)], size


@pytest.mark.parametrize("empty", [b"\n", b"\r\n", b" \n", b"\t \r\n"])
def test_a_run_of_empty_lines_is_one_step(empty: bytes) -> None:
    calls = 0

    def count(frame: Any, event: str, _: Any) -> None:
        nonlocal calls
        calls += event == "call"

    parts = [empty * 100_000] * 3 + [b"x\n"]
    sys.setprofile(count)
    try:
        [line] = lines(parts)
    finally:
        sys.setprofile(None)
    assert line == Line(300_001, b"x", True)
    assert calls < 100
