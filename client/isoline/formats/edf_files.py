"""EDF and EDF+, by way of edfio: what the ADC gave, with annotations left out."""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import edfio
import numpy as np

from isoline.errors import UnreadableFile
from isoline.formats import Found
from isoline.formats.bounds import check_samples
from isoline.formats.counts import Channel, as_ecg, per_millivolt
from isoline.formats.rates import agreed

# https://www.edfplus.info/specs/edf.html: its size, the number of records, and that of signals.
_HEADER = 256
_NUMBERS = ((184, 192), (236, 244), (252, 256))
_CHARACTERS = 8
_INTEGER = re.compile(rb"-?\d+")
_DURATION = re.compile(rb"\d+\.?\d*|\.\d+")


def read(path: Path, sampling_rate_hz: float | None) -> Iterator[Found]:
    """Read the leads of a file: those in volts, or all when none is."""
    _check_header(path)
    with warnings.catch_warnings():
        # The last record of a recording that was not closed may be cut.
        warnings.simplefilter("ignore")
        edf = edfio.read_edf(path, lazy_load_data=True, header_encoding="latin-1")
    signals = [s for s in edf.signals if per_millivolt(_unit(s)) is not None] or list(edf.signals)
    if not signals or not edf.num_data_records:
        raise UnreadableFile("There is no signal in it.")
    rates = {signal.sampling_frequency for signal in signals}
    if len(rates) > 1:
        raise UnreadableFile("Its signals have different sampling rates.")
    check_samples(edf.num_data_records * sum(s.samples_per_data_record for s in signals))
    channels = [_channel(signal) for signal in signals]
    rate_hz = agreed(float(rates.pop()), sampling_rate_hz)
    yield None, as_ecg(channels, sampling_rate_hz=rate_hz, date=_date(edf))


def _unit(signal: edfio.EdfSignal) -> str:
    # What was written as UTF-8 has a letter more than what was written as Latin-1.
    return signal.physical_dimension.replace("Âµ", "µ").replace("Î¼", "µ")


def _channel(signal: edfio.EdfSignal) -> Channel:
    low, high = signal.digital_range
    physical_low, physical_high = signal.physical_range
    if not math.isfinite(physical_high - physical_low):
        raise UnreadableFile(f"Lead {signal.label} says nothing of what its counts stand for.")
    if physical_high == physical_low or high <= low:
        raise UnreadableFile(f"Lead {signal.label} says nothing of what its counts stand for.")
    counts_a_unit = (high - low) / (physical_high - physical_low)
    scale = per_millivolt(_unit(signal))
    return Channel(
        signal.label,
        np.asarray(signal.digital).astype(np.int32),
        counts_a_unit * scale if scale else None,
        low - physical_low * counts_a_unit,
        scale is not None,
        is_within=counts_a_unit * _rounding(physical_low, physical_high),
    )


def _rounding(*ends: float) -> float:
    """By how much the ends of a range may be off together: a header has eight characters for each.

    Where none needs all of them, they are meant as they stand; otherwise they were worked out, and
    rounded or cut.
    """
    if max(len(f"{end:.10g}") for end in ends) < _CHARACTERS:
        return 0.0
    # Before the decimals: a sign, what stands in front of the point, and that.
    taken = ((end < 0) + len(f"{abs(math.trunc(end))}") + 1 for end in ends)
    return sum(10.0 ** min(characters - _CHARACTERS, 0) for characters in taken)


def _check_header(path: Path) -> None:
    """Refuse what claims more or less than the file holds, and what has gaps."""
    with path.open("rb") as file:
        header = file.read(_HEADER)
        # https://www.edfplus.info/specs/edfplus.html: bytes 192-235 say what kind of EDF it is.
        if header[192:197] == b"EDF+D":
            raise UnreadableFile("It has gaps (EDF+D), and nothing stands for those.")
        fields = [header[start:end].strip() for start, end in _NUMBERS]
        if not all(map(_INTEGER.fullmatch, fields)) or not header.startswith(b"0 "):
            raise UnreadableFile("Its header is not that of an EDF file.")
        header_bytes, records, signals = map(int, fields)
        described = file.read(_HEADER * max(signals, 0))
    at = 216 * signals
    lengths = [described[at + 8 * n : at + 8 * n + 8].strip() for n in range(signals)]
    if header_bytes != _HEADER * (signals + 1) or not all(map(_INTEGER.fullmatch, lengths)):
        raise UnreadableFile("Its header is not that of an EDF file.")
    samples = [int(length) for length in lengths]
    if min(samples, default=1) < 1:
        raise UnreadableFile("Its header is not that of an EDF file.")
    if not _DURATION.fullmatch(header[244:252].strip()) or not float(header[244:252]):
        raise UnreadableFile("Its header does not say how long a record lasts.")
    size, a_record = path.stat().st_size - header_bytes, 2 * sum(samples)
    # -1: nobody knew how many there would be when it was written.
    if records != -1 and records * a_record != size:
        much = "shorter" if records * a_record > size else "longer"
        raise UnreadableFile(f"It is {much} than its header says.")
    # A record holds a sample at least.
    check_samples(size // max(a_record, 1))


def _date(edf: edfio.Edf) -> datetime | None:
    try:
        # EDF knows no time zone.
        return datetime.combine(edf.startdate, edf.starttime, UTC)
    # Made anonymous: there is no date in it.
    except edfio.AnonymizedDateError:
        return None
