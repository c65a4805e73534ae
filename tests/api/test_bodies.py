"""Bodies are read within bounds of size, time and memory, and what was held is given back."""

from __future__ import annotations

import contextlib
import gzip
import io
import itertools
import random
import tracemalloc
import zlib
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api import bodies
from api.app import READERS
from api.bodies import (
    CHUNK,
    GRACE_S,
    LARGEST_PIECE,
    MORSEL,
    PIECE_S,
    SLOWEST_BYTES_PER_S,
    Arrival,
    Budget,
    Stream,
    read_body,
)
from api.routes.desk import desk_of
from shared.errors import MalformedRequest, Overloaded, TooLarge, TooSlow, UnsupportedMedia
from tests.door import Door

BOUND = 100_000


def read(
    body: bytes | Stream,
    *,
    most_bytes: int = BOUND,
    length: int | None = None,
    encoding: str = "identity",
    budget: Budget | None = None,
) -> bytes:
    """Read as a view does, and see to it that the budget is whole again afterwards."""
    budget = budget or Budget(readers=1, refused=1, most_bytes=2 * most_bytes)
    before = vars(budget).copy()
    stream = io.BytesIO(body) if isinstance(body, bytes) else body
    try:
        with budget.reader() as share:
            return read_body(stream, share, most_bytes=most_bytes, length=length, encoding=encoding)
    finally:
        assert vars(budget) == before


class Chunks:
    """A stream that hands out what it is given, chunk by chunk, and counts."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self.handed_out = 0

    def read(self, size: int, /) -> bytes:
        chunk = next(self._chunks, b"")
        assert len(chunk) <= size
        self.handed_out += len(chunk)
        return chunk


class Clock:
    """A clock that goes on by itself a little whenever somebody looks."""

    def __init__(self, step_s: float) -> None:
        self._times = itertools.count(0.0, step_s)

    def monotonic(self) -> float:
        return next(self._times)


def noise(size: int) -> bytes:
    return random.Random(size).randbytes(size)


def bomb(expanded_mib: int) -> bytes:
    deflater = zlib.compressobj(9, wbits=31)
    mebibyte = bytes(2**20)
    pieces = [deflater.compress(mebibyte) for _ in range(expanded_mib)]
    return b"".join(pieces) + deflater.flush()


@pytest.mark.parametrize("size", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK])
@pytest.mark.parametrize("encoding", ["identity", "gzip"])
def test_a_body_comes_out_as_it_went_in(size: int, encoding: str) -> None:
    body = noise(size)
    sent = gzip.compress(body) if encoding == "gzip" else body
    for length in (None, len(sent)):
        got = read(sent, most_bytes=4 * CHUNK, length=length, encoding=encoding)
        assert got == body


@given(st.binary(max_size=200), st.integers(1, 9))
def test_gzip_may_arrive_in_any_pieces(body: bytes, step: int) -> None:
    sent = gzip.compress(body)
    pieces = (sent[at : at + step] for at in range(0, len(sent), step))
    assert read(Chunks(pieces), encoding="gzip") == body


@pytest.mark.parametrize("said", [True, False])
@pytest.mark.parametrize("encoding", ["identity", "gzip"])
def test_the_bound_is_exact(encoding: str, said: bool) -> None:
    def send(size: int) -> int:
        body = bytes(size)
        sent = gzip.compress(body) if encoding == "gzip" else body
        return len(read(sent, length=len(sent) if said else None, encoding=encoding))

    assert send(BOUND) == BOUND
    with pytest.raises(TooLarge):
        send(BOUND + 1)


def test_what_is_too_large_is_read_to_its_end_so_that_the_sender_hears_the_answer() -> None:
    stream = Chunks(itertools.repeat(bytes(CHUNK), 40))
    with pytest.raises(TooLarge):
        read(stream)
    assert stream.handed_out == 40 * CHUNK


def test_but_not_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "time", Clock(step_s=1.0))
    stream = Chunks(itertools.repeat(bytes(CHUNK)))
    with pytest.raises(TooLarge):
        read(stream, length=10**12)
    assert stream.handed_out < 40 * CHUNK


def test_while_it_is_thrown_away_nothing_is_held() -> None:
    budget = Budget(readers=2, refused=1, most_bytes=BOUND)
    second = []

    def chunks() -> Iterator[bytes]:
        yield bytes(BOUND)
        yield b"x"
        second.append(read(bytes(BOUND), budget=budget))

    with pytest.raises(TooLarge):
        read(Chunks(chunks()), budget=budget)
    assert len(second[0]) == BOUND


def test_gzip_that_never_expands_to_anything_is_bounded_by_its_own_size() -> None:
    stream = Chunks(itertools.repeat(gzip.compress(b""), 2 * BOUND // 20))
    with pytest.raises(TooLarge):
        read(stream, encoding="gzip")


def test_a_bomb_costs_no_more_than_the_bound() -> None:
    sent = bomb(expanded_mib=300)
    assert len(sent) < 2**20
    tracemalloc.start()
    try:
        with pytest.raises(TooLarge):
            read(sent, most_bytes=8 * 2**20, encoding="gzip")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 12 * 2**20


def test_a_body_in_crumbs_costs_no_more_than_in_one_piece() -> None:
    stream = Chunks(itertools.repeat(b"ab", 2**17))
    tracemalloc.start()
    try:
        assert len(read(stream, most_bytes=2**18)) == 2**18
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 3 * 2**18


def test_several_members_of_gzip_are_one_body() -> None:
    members = [noise(size) for size in (0, 10, 3 * MORSEL, 0, 1)]
    sent = b"".join(map(gzip.compress, members))
    assert read(sent, encoding="gzip") == b"".join(members)


GOOD = gzip.compress(noise(1000))


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"no gzip at all",
        GOOD[:-1],
        GOOD[:-8],
        GOOD[:20],
        GOOD[:5],
        GOOD + b"\0",
        GOOD + b"garbage",
        GOOD + GOOD[:-1],
        GOOD[:-8] + bytes(8),
        GOOD[:100] + bytes([GOOD[100] ^ 255]) + GOOD[101:],
        zlib.compress(b"zlib is no gzip"),
    ],
    ids=lambda sent: f"{len(sent)} bytes",
)
def test_broken_gzip_is_malformed(sent: bytes) -> None:
    with pytest.raises(MalformedRequest):
        read(sent, encoding="gzip")


@given(st.binary(max_size=100), st.booleans())
def test_no_bytes_make_it_fail_in_another_way(sent: bytes, with_header: bool) -> None:
    with contextlib.suppress(MalformedRequest):
        read(GOOD[:10] + sent if with_header else sent, encoding="gzip")


@pytest.mark.parametrize("encoding", ["identity", "gzip"])
def test_a_body_that_ends_before_its_length_is_malformed(encoding: str) -> None:
    sent = gzip.compress(b"{}") if encoding == "gzip" else b"{}"
    with pytest.raises(MalformedRequest, match=f"after {len(sent)} of {len(sent) + 1} bytes"):
        read(sent, length=len(sent) + 1, encoding=encoding)


@pytest.mark.parametrize("encoding", ["br", "deflate", "gzip, gzip", "GZIP", ""])
def test_an_unknown_encoding_is_refused(encoding: str) -> None:
    with pytest.raises(UnsupportedMedia):
        read(b"{}", encoding=encoding)


def test_a_body_that_loses_the_pace_is_too_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "time", Clock(step_s=1.0))
    crumbs = Chunks(itertools.repeat(b"x"))
    with pytest.raises(TooSlow):
        read(crumbs)
    assert GRACE_S <= crumbs.handed_out <= GRACE_S + 1


def test_a_body_that_stops_coming_is_too_slow_rather_than_cut(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bodies, "time", Clock(step_s=GRACE_S + 1))
    with pytest.raises(TooSlow):
        read(b"", length=10)


def test_a_body_that_keeps_the_pace_may_take_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "time", Clock(step_s=1.0))
    pace = Chunks(itertools.repeat(bytes(SLOWEST_BYTES_PER_S), 500))
    assert len(read(pace, most_bytes=2**24)) == 500 * SLOWEST_BYTES_PER_S


class Paced:
    """A stream that comes at some pace; like granian's, it gives a piece once it is whole."""

    def __init__(self, pace: float) -> None:
        self.now_s = 0.0
        self.pace = pace
        self.sizes: list[int] = []

    def monotonic(self) -> float:
        return self.now_s

    def read(self, size: int, /) -> bytes:
        self.now_s += size / self.pace
        self.sizes.append(size)
        return bytes(size)


@pytest.mark.parametrize("pace", [1_200, 20_000, 100_000])
def test_what_comes_slowly_is_waited_for_no_longer_than_a_moment(
    monkeypatch: pytest.MonkeyPatch, pace: float
) -> None:
    stream = Paced(1e9)
    monkeypatch.setattr(bodies, "time", stream)
    pieces = Arrival(stream, None).as_it_comes()
    for _ in range(200):
        next(pieces)
    # What comes fast costs a turn a large piece.
    assert stream.sizes[-1] == LARGEST_PIECE
    stream.pace = pace
    for _ in range(10):
        next(pieces)
    stream.sizes.clear()
    for _ in range(50):
        next(pieces)
    assert max(stream.sizes) / pace < 1.5 * PIECE_S


def test_every_reader_has_a_place_and_no_more() -> None:
    budget = Budget(readers=2, refused=1, most_bytes=BOUND)
    with budget.reader(), budget.reader(), pytest.raises(Overloaded), budget.reader():
        pass
    with budget.reader(), budget.reader():
        pass


def test_all_bodies_together_keep_to_the_budget() -> None:
    budget = Budget(readers=9, refused=1, most_bytes=BOUND)
    with budget.reader() as share:
        read_body(io.BytesIO(bytes(BOUND - 9)), share, most_bytes=BOUND)
        assert len(read(bytes(9), budget=budget)) == 9
        with pytest.raises(Overloaded):
            read(bytes(10), budget=budget)
    assert len(read(bytes(BOUND), budget=budget)) == BOUND


def test_what_was_held_is_given_back_also_after_an_error() -> None:
    budget = Budget(readers=1, refused=1, most_bytes=BOUND)

    def fail() -> None:
        with budget.reader() as share:
            read_body(io.BytesIO(bytes(BOUND)), share, most_bytes=BOUND)
            raise MalformedRequest("after it was read")

    with pytest.raises(MalformedRequest):
        fail()
    assert len(read(bytes(BOUND), budget=budget)) == BOUND


def test_who_finds_no_place_is_heard_out_and_answered(door: Door) -> None:
    ada = door.user()
    with ExitStack() as stack:
        budget = desk_of(door.app).budget
        for _ in range(READERS):
            stack.enter_context(budget.reader())
        body = io.BytesIO(b"[" * 2**20)
        answer = door.post(
            "/ecgs",
            input_stream=body,
            headers={**ada, "Content-Type": "application/json", "Content-Length": str(2**20)},
        )
        assert answer.status_code == 503
        assert answer.headers["Retry-After"]
        # Who is cut off while still sending never sees the answer.
        assert body.read() == b""
    assert door.post("/ecgs", json={"leads": []}, headers=ada).status_code == 201
