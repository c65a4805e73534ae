"""WFDB records: a header (`.hea`) that names the files with the samples, by way of wfdb."""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from isoline.errors import UnreadableFile
from isoline.formats import Found
from isoline.formats.counts import Channel, as_ecg

with warnings.catch_warnings():
    # What its tables of annotation codes are made with, pandas calls old-fashioned.
    warnings.simplefilter("ignore")
    import wfdb

# header(5): record line, signal lines; https://physionet.org/physiotools/wag/header-5.htm
_RECORD = re.compile(
    r"[\w-]+(?:/(?P<segments>\d+))?\s+(?P<signals>\d+)(?:\s+\S+)?(?:\s+(?P<n>\d+))?"
)
_FORMAT = re.compile(r"(?P<format>\d+)(?:x(?P<frame>\d+))?(?::\d+)?(?:\+(?P<offset>\d+))?$")
_PLAIN_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
# Of each format: bytes a sample.
_BYTES = {
    8: 1.0,
    16: 2.0,
    24: 3.0,
    32: 4.0,
    61: 2.0,
    80: 1.0,
    160: 2.0,
    212: 1.5,
    310: 4 / 3,
    311: 4 / 3,
}
LARGEST_HEADER = 2**20
_NO_SEGMENT = "~"
_PER_MILLIVOLT = {"mv": 1.0, "uv": 1000.0, "µv": 1000.0, "v": 0.001}


def read(path: Path, sampling_rate_hz: float | None) -> Iterator[Found]:
    """Read a record: what the ADC gave, as integers."""
    _check_header(path)
    record = wfdb.rdrecord(str(path.absolute().with_suffix("")), physical=False, return_res=32)
    channels = []
    for number, name in enumerate(record.sig_name):
        counts = record.d_signal[:, number]
        format_ = record.fmt[number] if record.fmt else "32"
        _check_all_valid(counts, str(format_), name)
        scale = _PER_MILLIVOLT.get(str(record.units[number]).lower())
        gain = record.adc_gain[number] / scale if scale else None
        channels.append(Channel(str(name), counts, gain, float(record.baseline[number])))
    yield (
        None,
        as_ecg(channels, sampling_rate_hz=sampling_rate_hz or float(record.fs), date=_date(record)),
    )


def _check_all_valid(counts: np.ndarray, format_: str, name: str) -> None:
    """A sample that WFDB marks as missing is the lowest number of its format: not a number."""
    marks = {"80": -128, "310": -512, "311": -512, "212": -2048, "24": -(2**23), "32": -(2**31)}
    mark = marks.get(format_, -(2**15))
    missing = int(np.count_nonzero(counts == mark))
    if missing:
        raise UnreadableFile(
            f"Of lead {name}, {missing} samples are marked as missing, and nothing stands for that."
        )


def _date(record: wfdb.Record) -> datetime | None:
    if record.base_date is None:
        return None
    # WFDB knows no time zone.
    time = record.base_time or datetime.min.time()
    return datetime.combine(record.base_date, time, UTC)


@dataclass(frozen=True)
class _Part:
    """One signal line of a header."""

    file: Path
    format: int
    offset: int


def _check_header(path: Path, *, is_segment: bool = False) -> None:
    """Refuse a header that points outside its folder, or claims more than its files hold."""
    try:
        with path.open("rb") as header:
            text = header.read(LARGEST_HEADER).decode("utf-8", errors="replace")
    except FileNotFoundError:
        raise UnreadableFile(f"There is no {path.name}.") from None
    first, *others = [line for line in text.splitlines() if line.strip() and line[0] != "#"] or [""]
    record = _RECORD.match(first)
    if record is None:
        raise UnreadableFile("Its first line is not that of a WFDB header.")
    if record["segments"] is not None:
        if is_segment:
            raise UnreadableFile("A segment consists of segments.")
        _check_segments(path, others, int(record["segments"]))
        return
    signals, samples = int(record["signals"]), int(record["n"] or 0)
    if not signals:
        raise UnreadableFile("The header names no signals.")
    if len(others) < signals:
        raise UnreadableFile(f"The header promises {signals} signals and describes {len(others)}.")
    parts = [_part(path, line) for line in others[:signals]]
    for file in {part.file for part in parts}:
        alike = [part for part in parts if part.file == file]
        needed = max(part.offset for part in alike) + math.floor(
            sum(_BYTES[part.format] * samples for part in alike)
        )
        if needed > file.stat().st_size + 2:
            raise UnreadableFile(
                f"The header promises {samples} samples a signal, and {file.name} is too short."
            )


def _check_segments(path: Path, lines: list[str], number: int) -> None:
    names = [line.split()[0] for line in lines[:number]]
    if len(names) < number:
        raise UnreadableFile(f"The header promises {number} segments and names {len(names)}.")
    for name in names:
        if name == _NO_SEGMENT:
            raise UnreadableFile("A stretch of it is missing, and nothing stands for that.")
        _check_header(_beside(path, f"{name}.hea"), is_segment=True)


def _part(path: Path, line: str) -> _Part:
    words = line.split()
    if len(words) < 2:
        raise UnreadableFile(f"The line of a signal cannot be read: {line[:60]!r}.")
    if words[0] == _NO_SEGMENT:
        # The layout of a record whose signals come and go: it has no samples of its own.
        return _Part(path, 8, 0)
    format_ = _FORMAT.match(words[1])
    if format_ is None or int(format_["format"]) not in _BYTES:
        raise UnreadableFile(f"Format {words[1][:20]!r} of a signal is not read here.")
    if int(format_["frame"] or 1) != 1:
        raise UnreadableFile("Its signals have different sampling rates.")
    return _Part(_beside(path, words[0]), int(format_["format"]), int(format_["offset"] or 0))


def _beside(path: Path, name: str) -> Path:
    """The file of this name in the folder of the header, and nowhere else."""
    file = path.parent / name
    if not _PLAIN_NAME.fullmatch(name):
        raise UnreadableFile(f"The header points to {name[:60]!r}, which is no file beside it.")
    if not file.is_file():
        raise UnreadableFile(f"The header names {name}, which is not there.")
    if file.is_symlink() and file.resolve().parent != path.parent.resolve():
        raise UnreadableFile(f"The header names {name}, which is a link to another folder.")
    return file
