"""Headers of WFDB records (`.hea`), as header(5) defines them; nothing is opened but the header.

Read more strictly than the wfdb library does, which skips what it does not understand: a line that
is understood here is understood there in the same way, and any other is refused.
https://physionet.org/physiotools/wag/header-5.htm
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from isoline.errors import UnreadableFile

# Longer numbers are none; Python would not even convert them.
_INTEGER = r"\d{1,15}"
_NUMBER = r"(?:\d+(?:\.\d*)?|\.\d+)"
_RECORD = re.compile(
    rf"""[-\w]+ (?:/(?P<segments>{_INTEGER}))? [ \t]+ (?P<signals>{_INTEGER})
    (?:[ \t]+ (?P<rate>{_NUMBER}) (?:/-?{_NUMBER} (?:\(-?{_NUMBER}\))?)?
    (?:[ \t]+ (?P<samples>{_INTEGER}) (?:[ \t]+ (?P<start>.*))? )? )?""",
    re.ASCII | re.VERBOSE,
)
_SIGNAL = re.compile(
    rf"""(?P<file>~|\w[-\w]*(?:\.\w+)?) [ \t]+
    (?P<format>{_INTEGER}) (?:x(?P<frame>{_INTEGER}))? (?::(?P<skew>{_INTEGER}))?
        (?:\+(?P<offset>{_INTEGER}))?
    (?:[ \t]+ (?P<gain>-?{_NUMBER}(?:e[-+]?\d{{1,4}})?)
        (?:\((?P<baseline>-?{_INTEGER})\))? (?:/(?P<unit>[\w^?%/µμ-]+))?
    (?:[ \t]+ {_INTEGER}
    (?:[ \t]+ (?P<zero>-?{_INTEGER})
    (?:[ \t]+ (?P<initial_value>-?{_INTEGER})
    (?:[ \t]+ (?P<checksum>-?{_INTEGER})
    (?:[ \t]+ {_INTEGER}
    (?:[ \t]+ (?P<name>.+))? )? )? )? )? )? )?""",
    re.ASCII | re.VERBOSE,
)
_SEGMENT = re.compile(rf"(?P<name>~|[-\w]+)[ \t]+(?P<samples>{_INTEGER})", re.ASCII)
# Some of these end a line for the library, and are none for an editor.
_CONTROL = re.compile(rb"[^\t\n\r\x20-\x7e\x80-\xff]")
LARGEST = 2**20
# What stands in place of a file, or of a segment, that there is not.
NONE = "~"


@dataclass(frozen=True)
class Signal:
    """One line of a signal.

    gain : counts per unit, or None when it is unknown; may be negative.
    baseline : the count that stands for zero.
    first : of format 8, what the differences begin at.
    checksum : the sum of its samples, of which 16 bits count; None where there is none.
    """

    file: str
    format: int
    offset: int
    gain: float | None
    baseline: int
    unit: str
    first: int
    checksum: int | None
    name: str


@dataclass(frozen=True)
class Header:
    """What a header says of its signals, or of the segments that it is made of.

    segments : of each its name and number of samples.
    sampling_rate_hz, samples : None where it does not say.
    """

    number_of_signals: int
    sampling_rate_hz: float | None
    samples: int | None
    date: datetime | None
    signals: tuple[Signal, ...] = ()
    segments: tuple[tuple[str, int], ...] | None = None


def parse(path: Path) -> Header:
    """Read a header; raises `UnreadableFile` where the library might understand something else."""
    first, *lines = _lines(path)
    record = _RECORD.fullmatch(first)
    if record is None:
        raise UnreadableFile("Its first line is not that of a WFDB header.")
    number = int(record["signals"])
    is_made_of_segments = record["segments"] is not None
    promised, what = (
        (int(record["segments"]), "segments") if is_made_of_segments else (number, "signals")
    )
    if not number or not promised:
        raise UnreadableFile(f"The header names no {what if number else 'signals'}.")
    if len(lines) != promised:
        raise UnreadableFile(f"The header promises {promised} {what} and describes {len(lines)}.")
    rate_hz = float(record["rate"]) if record["rate"] else None
    if rate_hz == 0:
        raise UnreadableFile("Its header says that its sampling rate is 0 Hz.")
    return Header(
        number,
        rate_hz,
        # Zero and nothing are both nothing.
        int(record["samples"] or 0) or None,
        _date(record["start"] or ""),
        () if is_made_of_segments else tuple(map(_signal, lines, range(1, number + 1))),
        tuple(map(_segment, lines)) if is_made_of_segments else None,
    )


def named_files(path: Path) -> set[Path]:
    """The files that a record is made of beside its header, as far as that can be understood."""
    if not path.is_file():
        # A pipe would keep its reader waiting for ever.
        return set()
    try:
        header = parse(path)
    except (OSError, UnreadableFile):
        return set()
    files = {path.parent / one.file for one in header.signals}
    for segment in {path.parent / f"{name}.hea" for name, _ in header.segments or ()}:
        files |= _files_of_segment(segment)
    return files


def _files_of_segment(path: Path) -> set[Path]:
    """A segment's header and samples; none of one that consists of segments, which no segment may.

    So no two headers are part of each other, and what names parts is part of nothing.
    """
    if not path.is_file():
        return set()
    try:
        header = parse(path)
    except (OSError, UnreadableFile):
        return {path}
    return set() if header.segments else {path, *(path.parent / one.file for one in header.signals)}


def _lines(path: Path) -> list[str]:
    """Those that are neither empty nor comments; the first one may be empty."""
    with path.open("rb") as file:
        content = file.read(LARGEST + 1)
    if len(content) > LARGEST:
        raise UnreadableFile("It is larger than any header.")
    if _CONTROL.search(content):
        raise UnreadableFile("There are control characters in it: it is no header.")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = content.decode("latin-1")
    lines = [line.strip(" \t") for line in re.split(r"[\r\n]+", text)]
    return [line for line in lines if line and not line.startswith("#")] or [""]


def _signal(line: str, number: int) -> Signal:
    fields = _SIGNAL.fullmatch(line)
    if fields is None:
        raise UnreadableFile(
            f"The line of a signal in the header cannot be read, or points to what is no file "
            f"beside it: {line[:60]!r}."
        )
    if fields["file"].endswith(".hea"):
        raise UnreadableFile(
            f"A signal of it is said to stand in {fields['file']}, which is a header."
        )
    if int(fields["frame"] or 1) != 1:
        raise UnreadableFile("Its signals have different sampling rates.")
    if int(fields["skew"] or 0):
        raise UnreadableFile(
            "Its signals do not begin at the same time, and nothing stands for that."
        )
    return Signal(
        fields["file"],
        int(fields["format"]),
        int(fields["offset"] or 0),
        # Zero is the word for "not calibrated".
        float(fields["gain"] or 0) or None,
        int(fields["baseline"] or fields["zero"] or 0),
        fields["unit"] or "mV",
        int(fields["initial_value"] or fields["zero"] or 0),
        # Zero stands there, too, where somebody only wants to write the name behind it.
        int(fields["checksum"] or 0) or None,
        fields["name"] or f"{number}",
    )


def _segment(line: str) -> tuple[str, int]:
    fields = _SEGMENT.fullmatch(line)
    if fields is None:
        raise UnreadableFile(
            f"The line of a segment in the header cannot be read, or points to what is no file "
            f"beside it: {line[:60]!r}."
        )
    return fields["name"], int(fields["samples"])


def _date(start: str) -> datetime | None:
    """When it began, if that is written as header(5) says; WFDB knows no time zone."""
    for form in ("%H:%M:%S %d/%m/%Y", "%H:%M:%S.%f %d/%m/%Y"):
        try:
            return datetime.strptime(" ".join(start.split()), form).replace(tzinfo=UTC)
        except ValueError:
            continue
    return None
