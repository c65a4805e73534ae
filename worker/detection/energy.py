"""How much of a QRS there is at each moment, in units of the beats around, and how much between."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worker.detection.rows import Float32s, Places, around, find_humps, parts, running_median

# Long enough for a beat at 40 bpm; slower hearts have one in most stretches, and medians do.
STRETCH_S = 1.5
# The height of the beats around: the median over 13 seconds, which a burst of noise, an
# extrasystole or a pause of six seconds leaves alone.
_STRETCHES_AROUND = 9
# Under a twentieth of what the lead shows otherwise there is no ECG, only what an open input shows.
LOWEST_SHARE = 0.05
# A QRS reaches about so far to either side of its middle.
_HALF_QRS_S = 0.12
_GAPS_AROUND = 9
_TOPS_AT_ONCE = 1 << 12


@dataclass(frozen=True)
class Energy:
    """The envelopes of leads, or one of several together, each in a row, relative to its beats.

    `height` (float32, one for each sample of the trace) is 1 at an ordinary beat. For each stretch,
    `level` (float32) is what 1 stands for, `top` (float32) the largest height, and `noise`
    (float32) how high it rises between beats: 0 silent, 1 as high as the beats. `middles` are the
    stretches' middles, in samples of the trace: those of every row.
    """

    height: Float32s
    level: Float32s
    top: Float32s
    noise: Float32s
    middles: NDArray[np.float64]

    def of(self, lead: int) -> Energy:
        """One row alone, which is still a row."""
        row = slice(lead, lead + 1)
        return Energy(
            self.height[row], self.level[row], self.top[row], self.noise[row], self.middles
        )


def stretch_length(rate_hz: float) -> int:
    """In samples of a trace."""
    return round(STRETCH_S * rate_hz)


def normalise(envelope: Float32s, rate_hz: float) -> Energy:
    """Divide an envelope by the height of the beats around, and see what lies between them.

    Parameters
    ----------
    envelope : ndarray of shape (leads, number_of_samples), float32
        Not negative. Overwritten: it becomes the height.
    rate_hz : float

    Returns
    -------
    Energy
        All zero where the envelope is.
    """
    leads, size = envelope.shape
    length = stretch_length(rate_hz)
    # The last stretch takes what is left over.
    begins = np.arange(max(1, size // length)) * length
    tops = np.maximum.reduceat(envelope, begins, axis=1)
    level = running_median(tops.ravel(), np.full(leads, begins.size), _STRETCHES_AROUND)
    usual = usual_top(tops)
    lowest = np.where(usual > 0, usual, tops.max(axis=1)).astype(np.float64) * LOWEST_SHARE
    lowest[lowest == 0] = 1
    level = np.maximum(level.reshape(tops.shape), lowest.astype(np.float32)[:, None])
    middles = begins + np.float64(length / 2)
    for part in parts(size):
        envelope[:, part] /= between_middles(level, middles, part)
    noise = _between_beats(envelope, middles, rate_hz)
    return Energy(envelope, level, np.divide(tops, level, out=tops), noise, middles)


def usual_top(tops: Float32s) -> Float32s:
    """What each lead shows where it shows something: three of four stretches rise no higher."""
    rank = tops.shape[1] * 3 // 4
    usual: Float32s = np.partition(tops, rank, axis=1)[:, rank]
    return usual


def between_middles(values: NDArray[Any], middles: NDArray[np.float64], part: slice) -> Float32s:
    """Draw straight lines from middle to middle in each row, a value for each sample of a part."""
    rows, at = np.arange(len(values))[:, None], np.arange(part.start, part.stop)
    return at_places(values, middles, rows, at).astype(np.float32)


def at_places(
    values: NDArray[Any], middles: NDArray[np.float64], rows: Places, at: Places
) -> NDArray[np.float64]:
    """Say what lies on the straight lines from middle to middle of a row, at each of some places.

    Parameters
    ----------
    values : ndarray of shape (leads, stretches)
    middles : ndarray of shape (stretches,)
        In samples, those of each row.
    rows, at : ndarrays of integers that go together
        Of each place the row, and the sample.

    Returns
    -------
    ndarray of the shape that both have together, float64
    """
    # As if all rows were one, the next one as far away as this one is long.
    apart = 2 * middles[-1]
    all_middles = middles + apart * np.arange(len(values))[:, None]
    all_at = at.clip(middles[0], middles[-1]) + apart * rows
    lying: NDArray[np.float64] = np.interp(all_at, all_middles.ravel(), values.ravel())
    return lying


def _between_beats(height: Float32s, middles: NDArray[np.float64], rate_hz: float) -> Float32s:
    """How high it rises between what stands out: the median over nine gaps, for each stretch."""
    leads, size = height.shape
    rows, tops = find_humps(height, 0.45, int(0.25 * rate_hz))
    rest = height.copy()
    for begin in range(0, tops.size, _TOPS_AT_ONCE):
        few = slice(begin, begin + _TOPS_AT_ONCE)
        rest.put(around(size, rows[few], tops[few], int(_HALF_QRS_S * rate_hz)), 0)
    # As if all rows were one: each of them begins with a gap, and each top begins another.
    first = np.arange(leads + 1) * size
    edges = np.concatenate([first, rows * size + tops])
    edges.sort()
    gaps = np.bincount(rows, minlength=leads) + 1
    highest = np.maximum.reduceat(rest.ravel(), edges[:-1])
    highest = running_median(highest, gaps, _GAPS_AROUND)
    centres, last = (edges[1:] + edges[:-1]) / 2, gaps.cumsum() - 1
    at = first[:-1, None] + middles
    at = at.clip(centres[last - gaps + 1, None], centres[last, None])
    noise: NDArray[np.float64] = np.interp(at, centres, highest)
    noise[gaps == 1] = 1
    return noise.clip(max=1).astype(np.float32)
