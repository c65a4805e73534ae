"""The reference recordings, which lie beside the checkout and are no part of it."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

with warnings.catch_warnings():
    # It uses what pandas is about to do away with.
    warnings.simplefilter("ignore")
    import wfdb

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"

# The annotations that are beats (EC57; WFDB's codes); `[` to `]` is ventricular flutter.
BEATS = frozenset("NLRBAaJSVrFejnE/fQ?")


@dataclass(frozen=True)
class Record:
    """One recording: leads of int16, and the samples at which its reference says beats are.

    `left_out` are the stretches of ventricular flutter, in which EC57 counts nothing.
    """

    database: str
    name: str
    sampling_rate_hz: float
    leads: list[NDArray[np.int16]]
    beats: NDArray[np.int64]
    left_out: list[tuple[int, int]]

    def counts_at(self, samples: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Whether what is there counts."""
        counts = np.ones(samples.size, np.bool_)
        for begin, end in self.left_out:
            counts &= (samples < begin) | (samples > end)
        return counts

    @cached_property
    def qrs_counts(self) -> list[float]:
        """For each lead how high its QRS are from lowest to highest, in the middle."""
        half = round(0.05 * self.sampling_rate_hz)
        inside = self.beats[(self.beats > half) & (self.beats < self.leads[0].size - half)]
        around = inside[:, None] + np.arange(-half, half + 1)
        return [float(np.median(np.ptp(lead[around], axis=1))) for lead in self.leads]


def strips(record: Record, seconds: float) -> Iterator[Record]:
    """Cut a record into strips one after the other; beats that the cut may have hit do not count.

    Those that touch ventricular flutter are left out, as is what is left over.
    """
    length, margin = (round(s * record.sampling_rate_hz) for s in (seconds, 0.15))
    for begin in range(0, record.leads[0].size - length + 1, length):
        end = begin + length
        if any(first < end and last >= begin for first, last in record.left_out):
            continue
        inside = record.beats[(record.beats >= begin) & (record.beats < end)]
        yield replace(
            record,
            leads=[lead[begin:end] for lead in record.leads],
            beats=inside - begin,
            left_out=[(0, margin), (length - margin, length)],
        )


def read_all(database: str) -> Iterator[Record]:
    """Every record of `mitdb` or `nstdb`, in the order of their names."""
    for header in sorted((DATA / database).glob("*.hea")):
        yield read(database, header.stem)


def read_leads(path: Path) -> tuple[list[NDArray[np.int16]], float]:
    """The counts of each lead and the sampling rate (Hz); the path is without a suffix."""
    signals: Any = wfdb.rdrecord(str(path), physical=False)
    leads = [np.ascontiguousarray(lead, np.int16) for lead in signals.d_signal.T]
    return leads, float(signals.fs)


def read(database: str, name: str) -> Record:
    """One record, as counts."""
    path = DATA / database / name
    leads, sampling_rate_hz = read_leads(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        notes: Any = wfdb.rdann(str(path), "atr")
    symbols = np.array(notes.symbol)
    is_beat = np.array([symbol in BEATS for symbol in notes.symbol])
    # A beat of the flutter that is annotated 150 ms outside of the brackets belongs to it.
    margin = round(0.15 * sampling_rate_hz)
    left_out = zip(notes.sample[symbols == "["], notes.sample[symbols == "]"], strict=True)
    return Record(
        database,
        name,
        sampling_rate_hz,
        leads,
        notes.sample[is_beat].astype(np.int64),
        [(int(begin) - margin, int(end) + margin) for begin, end in left_out],
    )
