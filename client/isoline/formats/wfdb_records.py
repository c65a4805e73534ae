"""WFDB records: a header (`.hea`) that names the files with the samples, by way of wfdb."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isoline.errors import UnreadableFile
from isoline.formats import AssumedRate, Found
from isoline.formats.bounds import check_samples
from isoline.formats.counts import Channel, as_ecg, per_millivolt
from isoline.formats.rates import agreed
from isoline.formats.wfdb_headers import NONE, Header, Signal, parse

with warnings.catch_warnings():
    # What its tables of annotation codes are made with, pandas calls old-fashioned.
    warnings.simplefilter("ignore")
    import wfdb

# signal(5), https://physionet.org/physiotools/wag/signal-5.htm: of each format, how many bytes hold
# that many samples, and the count that marks a missing one.
_BYTES = {8: 1, 16: 2, 24: 3, 32: 4, 61: 2, 80: 1, 160: 2, 212: 1.5, 310: 4 / 3, 311: 4 / 3}
_FLAC = (508, 516, 524)
_MARKS = {
    16: -(2**15),
    61: -(2**15),
    160: -(2**15),
    516: -(2**15),
    80: -(2**7),
    508: -(2**7),
    212: -(2**11),
    310: -(2**9),
    311: -(2**9),
    24: -(2**23),
    524: -(2**23),
    32: -(2**31),
}

# header(5) on the sampling rate: "If it is not specified, the default is 250".
_DEFAULT_HZ = 250.0


def read(path: Path, sampling_rate_hz: float | None) -> Iterator[Found]:
    """Read a record: what the ADC gave, as integers."""
    if path.suffix != ".hea":
        raise UnreadableFile("The end of its name is not read in capitals: it must be .hea.")
    if "::" in str(path.absolute()):
        # The library would look for an archive there, and for something else in it.
        raise UnreadableFile("There are two colons in its path, which is not read.")
    header = parse(path)
    signals, counts = _join(path, header) if header.segments else _read(path, header)
    channels = []
    for signal, samples in zip(signals, counts, strict=True):
        scale = per_millivolt(signal.unit)
        gain = signal.gain * scale if signal.gain is not None and scale is not None else None
        channels.append(Channel(signal.name, samples, gain, signal.baseline, scale is not None))
    rate_hz = agreed(header.sampling_rate_hz, sampling_rate_hz)
    ecg = as_ecg(channels, sampling_rate_hz=rate_hz or _DEFAULT_HZ, date=header.date)
    if rate_hz is None:
        yield None, AssumedRate(_DEFAULT_HZ)
    yield None, ecg


def _join(path: Path, whole: Header) -> tuple[tuple[Signal, ...], list[NDArray[Any]]]:
    """The segments of a record, one after the other; all must have the same signals."""
    # One without samples tells how signals that may come and go are laid out, and nothing else.
    segments = [(name, samples) for name, samples in whole.segments or () if samples]
    total = sum(samples for _, samples in segments)
    if NONE in dict(segments):
        raise UnreadableFile("A stretch of it is missing, and nothing stands for that.")
    if not segments or len(dict(segments)) < len(segments) or whole.samples not in {None, total}:
        raise UnreadableFile("The segments that the header names are not what it promises.")
    check_samples(total * whole.number_of_signals)
    pieces, described = [], set()
    for name, samples in segments:
        file = _beside(path, f"{name}.hea")
        part = parse(file)
        if part.segments is not None:
            raise UnreadableFile("A segment consists of segments.")
        if (part.samples, part.number_of_signals) != (samples, whole.number_of_signals):
            raise UnreadableFile(f"Segment {name} is not what the header promises.")
        leads = tuple((one.name, one.gain, one.baseline, one.unit) for one in part.signals)
        described.add((leads, part.sampling_rate_hz or whole.sampling_rate_hz))
        if len(described | {(leads, whole.sampling_rate_hz)}) > 1:
            raise UnreadableFile("Its segments differ in leads, gain, baseline or sampling rate.")
        signals, counts = _read(file, part)
        pieces.append(counts)
    return signals, [np.concatenate(lead) for lead in zip(*pieces, strict=True)]


def _read(path: Path, header: Header) -> tuple[tuple[Signal, ...], list[NDArray[Any]]]:
    """The samples of a record that is not made of segments; each of its files is long enough."""
    signals = header.signals
    groups = [(name, list(group)) for name, group in groupby(signals, lambda one: one.file)]
    if len({name for name, _ in groups}) < len(groups):
        raise UnreadableFile("Signals of one file do not stand together in the header.")
    lengths = {_length(path, name, group, header.samples) for name, group in groups}
    if len(lengths) > 1:
        raise UnreadableFile("Its files are not of one length, and the header names none.")
    samples = lengths.pop()
    # Of format 8 there are only differences.
    if any(one.format == 8 and abs(one.first) + 128 * samples >= 2**31 for one in signals):
        raise UnreadableFile("Its samples might be larger than can be counted.")
    record = wfdb.rdrecord(str(path.absolute().with_suffix("")), physical=False, return_res=32)
    if record.d_signal.shape != (samples, len(signals)):
        raise UnreadableFile("Its files do not hold what the header promises.")
    counts = list(record.d_signal.T)
    for signal, lead in zip(signals, counts, strict=True):
        _check_sum(signal, lead)
        mark = _MARKS.get(signal.format, -math.inf)
        # The library trusts bits that belong to no sample to be 0.
        if lead.max() >= -mark:
            raise UnreadableFile(f"Lead {signal.name} holds what is no number of its format.")
        missing = int(np.count_nonzero(lead == mark))
        if missing:
            raise UnreadableFile(
                f"Of lead {signal.name}, {missing} samples are marked as missing, and nothing "
                "stands for that."
            )
    return signals, counts


def _check_sum(signal: Signal, samples: NDArray[Any]) -> None:
    """Refuse samples that are not those of which the header was written."""
    found = _signed(int(samples.sum(dtype=np.int64)))
    if signal.checksum is not None and _signed(signal.checksum) != found:
        raise UnreadableFile(
            f"The samples of lead {signal.name} do not belong to this header: checksum "
            f"{_signed(signal.checksum)} is promised, and {found} found."
        )


def _signed(checksum: int) -> int:
    """The 16 bits of it that count, as header(5) writes them; some writers take no sign."""
    return (checksum + 2**15) % 2**16 - 2**15


def _length(path: Path, name: str, group: list[Signal], promised: int | None) -> int:
    """How many samples of each signal a file holds: as many as were promised, if they were."""
    if name == NONE:
        raise UnreadableFile("The header is a layout without samples of its own.")
    file = _beside(path, name)
    format_, offset = group[0].format, group[0].offset
    if any((one.format, one.offset) != (format_, offset) for one in group):
        raise UnreadableFile(f"Signals of {name} differ in format or offset.")
    if format_ in _FLAC:
        if promised is None:
            raise UnreadableFile("The header does not say how many samples there are.")
        check_samples(promised * len(group))
        return promised
    if format_ not in _BYTES:
        raise UnreadableFile(f"Format {format_} of a signal is not read here.")
    size = file.stat().st_size - offset
    held = math.floor(size / _BYTES[format_] / len(group) + 1e-9)
    if promised is None:
        promised = held
    needed = math.ceil(promised * len(group) * _BYTES[format_] - 1e-9)
    if format_ == 310:
        # It is made of words of two bytes.
        needed += needed % 2
    if promised < 1 or needed > size:
        raise UnreadableFile(
            f"The header promises {promised} samples a signal, and {name} is too short."
        )
    check_samples(promised * len(group))
    return promised


def _beside(path: Path, name: str) -> Path:
    """The file of this name in the folder of the header, and nowhere else."""
    file = path.parent / name
    if not file.is_file():
        raise UnreadableFile(f"The header names {name}, which is not there.")
    if file.is_symlink() and file.resolve().parent != path.parent.resolve():
        raise UnreadableFile(f"The header names {name}, which is a link to another folder.")
    return file
