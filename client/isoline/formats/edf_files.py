"""EDF and EDF+, by way of edfio: what the ADC gave, with annotations left out."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import edfio
import numpy as np

from isoline.errors import UnreadableFile
from isoline.formats import Found
from isoline.formats.counts import Channel, as_ecg

# https://www.edfplus.info/specs/edf.html: bytes 184-191, 236-243 and 252-255 of the header.
_HEADER = 256
_PER_MILLIVOLT = {"mv": 1.0, "uv": 1000.0, "µv": 1000.0, "v": 0.001, "nv": 1_000_000.0}


def read(path: Path, sampling_rate_hz: float | None) -> Iterator[Found]:
    """Read the leads of a file: those in volts, or all when none is."""
    _check_size(path)
    edf = edfio.read_edf(path, lazy_load_data=True)
    signals = [s for s in edf.signals if s.physical_dimension.lower() in _PER_MILLIVOLT]
    signals = signals or list(edf.signals)
    if not signals:
        raise UnreadableFile("There is no signal in it.")
    rates = {signal.sampling_frequency for signal in signals}
    if len(rates) > 1:
        raise UnreadableFile("Its signals have different sampling rates.")
    channels = [_channel(signal) for signal in signals]
    yield (
        None,
        as_ecg(channels, sampling_rate_hz=sampling_rate_hz or float(rates.pop()), date=_date(edf)),
    )


def _channel(signal: edfio.EdfSignal) -> Channel:
    low, high = signal.digital_range
    physical_low, physical_high = signal.physical_range
    if physical_high == physical_low or high <= low:
        raise UnreadableFile(f"Lead {signal.label} says nothing of what its counts stand for.")
    counts_a_unit = (high - low) / (physical_high - physical_low)
    scale = _PER_MILLIVOLT.get(signal.physical_dimension.lower())
    # Upside down, as some devices write it.
    is_inverted = counts_a_unit < 0
    counts = np.asarray(signal.digital).astype(np.int32)
    zero = low - physical_low * counts_a_unit
    return Channel(
        signal.label,
        -counts if is_inverted else counts,
        abs(counts_a_unit) * scale if scale else None,
        -zero if is_inverted else zero,
    )


def _check_size(path: Path) -> None:
    """Refuse what claims more records than the file holds."""
    with path.open("rb") as file:
        header = file.read(_HEADER)
    # https://www.edfplus.info/specs/edfplus.html: bytes 192-235 say what kind of EDF it is.
    if header[192:197] == b"EDF+D":
        raise UnreadableFile("It has gaps (EDF+D), and nothing stands for those.")
    try:
        header_bytes, records, signals = (
            int(header[start:end]) for start, end in ((184, 192), (236, 244), (252, 256))
        )
        with path.open("rb") as file:
            whole = file.read(min(header_bytes, _HEADER * (signals + 1)))
        at = _HEADER + 216 * signals
        samples = [int(whole[at + 8 * n : at + 8 * n + 8]) for n in range(signals)]
    except ValueError:
        raise UnreadableFile("Its header is not that of an EDF file.") from None
    if header_bytes != _HEADER * (signals + 1) or min(samples, default=0) < 0:
        raise UnreadableFile("Its header is not that of an EDF file.")
    if header_bytes + max(records, 0) * 2 * sum(samples) > path.stat().st_size:
        raise UnreadableFile("It is shorter than its header says.")


def _date(edf: edfio.Edf) -> datetime | None:
    try:
        # EDF knows no time zone.
        return datetime.combine(edf.startdate, edf.starttime, UTC)
    # Made anonymous: there is no date in it.
    except edfio.AnonymizedDateError:
        return None
