"""What a recording got wrong before any heart comes into it: flat stretches, rails, mains hum."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from worker.detection.rows import Float32s

# A heart that is silent for so long, P and T waves and noise included, is not being recorded.
FLAT_S = 2.0
# No wave's top is level for so long; and a slower one may not reach the rail again and again.
_RAIL_S = 0.01
_PIECES = 6
_PIECES_AT_ONCE = 256
# Of the sampling rate, what is told from its alias.
_HIGHEST_SHARE = 0.45
_MAINS_HZ = (50.0, 60.0)


@dataclass(frozen=True)
class Faults:
    """For each stretch: the share of it that is flat, the share at a rail, and the hum.

    All float32, with a row for each lead. `hum` is the amplitude of the stronger of 50 and 60 Hz,
    in the unit of the samples that were given.
    """

    flat: Float32s
    clipped: Float32s
    hum: Float32s

    def of(self, lead: int) -> Faults:
        """One row alone, which is still a row."""
        row = slice(lead, lead + 1)
        return Faults(self.flat[row], self.clipped[row], self.hum[row])


def find_faults(samples: Float32s, sampling_rate_hz: float, length: int) -> Faults:
    """Look at the samples as they were recorded, unfiltered.

    Parameters
    ----------
    samples : ndarray of shape (leads, number_of_samples), float32
        At least one.
    sampling_rate_hz : float
    length : int
        How many samples one stretch has.

    Returns
    -------
    Faults
        One value for each whole stretch, at least one; what is left over counts for nothing.
    """
    leads, size = samples.shape
    number = max(1, size // length)
    length = min(length, size)
    pieces = np.arange(number * _PIECES) * length // _PIECES
    used = samples[:, : number * length]
    lowest = np.minimum.reduceat(used, pieces, axis=1)
    highest = np.maximum.reduceat(used, pieces, axis=1)
    flat = _long_runs(lowest == highest, int(FLAT_S * sampling_rate_hz * _PIECES / length))
    clipped = np.zeros(flat.shape, np.bool_)
    for rails, reached in ((lowest.min(axis=1), lowest), (highest.max(axis=1), highest)):
        # Few pieces reach it: these alone are looked through. What rests there for good is flat.
        rows, those = ((reached == rails[:, None]) & ~flat).nonzero()
        for begin in range(0, rows.size, _PIECES_AT_ONCE):
            row, piece = (of[begin : begin + _PIECES_AT_ONCE] for of in (rows, those))
            inside = pieces[piece, None] + np.arange(length // _PIECES)
            at_rail = (used[row[:, None], inside] == rails[row, None]).sum(axis=1)
            clipped[row, piece] |= at_rail > max(2, _RAIL_S * sampling_rate_hz)
    hum = _hum(used.reshape(-1, length), sampling_rate_hz).reshape(leads, number)
    return Faults(_share(flat), _share(clipped), hum)


def _share(pieces: NDArray[np.bool_]) -> Float32s:
    """Of the pieces of each stretch, how many are marked."""
    of_stretches = pieces.reshape(len(pieces), -1, _PIECES)
    marked: Float32s = np.add.reduce(of_stretches, 2, np.float32)
    return np.divide(marked, _PIECES, out=marked)


def _long_runs(marks: NDArray[np.bool_], shortest: int) -> NDArray[np.bool_]:
    """Keep only the marks that stand in a run of at least so many in their row."""
    kept = np.zeros(marks.shape, np.bool_)
    if not marks.any():
        return kept
    for row, row_marks in zip(kept, marks, strict=True):
        edges = np.flatnonzero(np.diff(row_marks, prepend=False, append=False))
        for begin, end in edges.reshape(-1, 2):
            row[begin:end] = end - begin >= min(shortest, row.size)
    return kept


def _hum(stretches: Float32s, sampling_rate_hz: float) -> Float32s:
    """The amplitude at 50 or 60 Hz, whichever is larger, by Fourier's sum under a Hann window."""
    # Not a product of matrices: for so little, threads that wait for work would cost twice as much.
    parts = np.einsum("ij,kj->ik", stretches, _waves(stretches.shape[1], sampling_rate_hz))
    hum: Float32s = np.hypot(parts[:, 0::2], parts[:, 1::2]).max(axis=1, initial=0)
    return hum


def tells_mains(sampling_rate_hz: float | None) -> bool:
    """Whether hum of 50 and of 60 Hz can both be told at this rate."""
    return sampling_rate_hz is not None and max(_MAINS_HZ) < _HIGHEST_SHARE * sampling_rate_hz


@functools.lru_cache(maxsize=64)
def _waves(length: int, sampling_rate_hz: float) -> Float32s:
    """Cosine and sine of each, in rows; none where the sampling cannot tell."""
    turns = 2 * np.pi * np.arange(length) / sampling_rate_hz
    window = np.hanning(length + 2)[1:-1]
    waves = [
        wave(turns * mains_hz) * window * (2 / window.sum())
        for mains_hz in _MAINS_HZ
        for wave in (np.cos, np.sin)
        if mains_hz < _HIGHEST_SHARE * sampling_rate_hz
    ]
    return np.array(waves, np.float32).reshape(-1, length)
