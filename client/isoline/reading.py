"""Files → the lines of a batch: several are read while what they hold is sent."""

from __future__ import annotations

import hashlib
import itertools
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeAlias

from isoline.ecg import encode
from isoline.errors import UnreadableFile, UnreadableLine, UnusableEcg
from isoline.escapes import printable
from isoline.finding import Source
from isoline.formats import NOT_SAID_AGAIN, Notice, read
from isoline.formats.wfdb_headers import named_files

READERS = min(4, os.cpu_count() or 1)
LINES_OF_JSON = {".ndjson", ".jsonl"}
# Their recordings may have names of their own, which go before that of the file.
_NAMED_WITHIN = {".json", *LINES_OF_JSON}
# What a line of a batch may be called, in characters; the same as the server knows.
LONGEST_NAME = 255
NO_RATE = (
    "It does not say its sampling rate, nor does --fs: what depends on time, a heart rate for "
    f"instance, has no value. {NOT_SAID_AGAIN}"
)
# How many files are read ahead of the one that is being sent.
AHEAD = 2 * READERS


@dataclass(frozen=True)
class Unreadable:
    """A recording that could not be read, and why."""

    custom_id: str
    reason: str


@dataclass(frozen=True)
class Remark:
    """What is said of a file whose recordings can be read."""

    custom_id: str
    text: str


Read: TypeAlias = bytes | Unreadable | Remark


def key_of(sources: Iterable[Source], sampling_rate_hz: float | None) -> str:
    """A key that is the same for the same files, as long as none of them changes or is moved."""
    digest = hashlib.sha256(repr(sampling_rate_hz).encode())
    for source in sources:
        # What a WFDB header names is as much of the recording as the header itself.
        parts = sorted(named_files(source.path)) if source.path.suffix == ".hea" else []
        for file in (source.path, *parts):
            try:
                state = file.stat()
                seen = source.custom_id, file.resolve(), state.st_size, state.st_mtime_ns
            except OSError:
                seen = source.custom_id, file.absolute(), 0, 0
            digest.update(repr(seen).encode("utf-8", "surrogateescape"))
    return f"files-{digest.hexdigest()[:40]}"


def read_lines(
    sources: Iterable[Source],
    sampling_rate_hz: float | None,
    on_unreadable: Callable[[Unreadable], None],
    on_remark: Callable[[Remark], None],
    on_file: Callable[[], None],
) -> Iterator[bytes]:
    """Read files side by side, and give their lines in order.

    Parameters
    ----------
    on_unreadable : is told of each recording that cannot be read; the others go on.
    on_remark : is told what there is to say of those that can.
    on_file : is called after each file.
    """
    waiting: deque[Iterator[Read]] = deque()
    pool = ThreadPoolExecutor(READERS)

    def give(lines: Iterator[Read]) -> Iterator[bytes]:
        for line in lines:
            if isinstance(line, Unreadable):
                on_unreadable(line)
            elif isinstance(line, Remark):
                on_remark(line)
            else:
                yield line
        on_file()

    taken: set[str] = set()
    try:
        for source in sources:
            if fault := _fault_of_name(source, taken):
                waiting.append(iter([Unreadable(source.custom_id, fault)]))
            else:
                waiting.append(_begin(pool, source, sampling_rate_hz))
            taken.add(source.custom_id)
            if len(waiting) > AHEAD:
                yield from give(waiting.popleft())
        while waiting:
            yield from give(waiting.popleft())
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _fault_of_name(source: Source, taken: set[str]) -> str | None:
    """Why a line cannot be called like this file, if it cannot."""
    if source.path.suffix.lower() in _NAMED_WITHIN:
        return None
    if source.custom_id in taken:
        return "Written with escapes, another file's name is the same: call it something else."
    if len(source.custom_id) > LONGEST_NAME:
        return (
            f"Its path is {len(source.custom_id)} characters long, and a line of a batch is called "
            f"by {LONGEST_NAME} at most: submit a folder further down."
        )
    return None


def _begin(
    pool: ThreadPoolExecutor, source: Source, sampling_rate_hz: float | None
) -> Iterator[Read]:
    if source.path.suffix.lower() in LINES_OF_JSON:
        # There may be millions in it: one after the other, when their turn has come.
        return read_file(source, sampling_rate_hz)
    reading = pool.submit(lambda: list(read_file(source, sampling_rate_hz)))
    return (line for line in itertools.chain.from_iterable(map(Future.result, [reading])))


def read_file(source: Source, sampling_rate_hz: float | None) -> Iterator[Read]:
    """The recordings of one file as lines, or why there are none."""
    has_several = source.path.suffix.lower() in LINES_OF_JSON
    number = 0
    for name, ecg in read(source.path, sampling_rate_hz):
        if isinstance(ecg, Notice):
            yield Remark(source.custom_id, printable(str(ecg)))
            continue
        number += 1
        numbered = f"{source.custom_id}#{number}" if has_several else source.custom_id
        custom_id = name or numbered
        if isinstance(ecg, UnreadableFile):
            # What is wrong with the file is wrong with none of its lines.
            is_line = isinstance(ecg, UnreadableLine)
            yield Unreadable(numbered if is_line else source.custom_id, str(ecg))
            continue
        try:
            custom_id.encode()
        except UnicodeEncodeError:
            yield Unreadable(custom_id, "Its name is not UTF-8; call it something else.")
            continue
        try:
            line = encode(ecg, custom_id)
        except UnusableEcg as error:
            yield Unreadable(printable(custom_id), printable(str(error)))
            continue
        if ecg.leads and ecg.sampling_rate is None:
            yield Remark(printable(custom_id), NO_RATE)
        yield line
