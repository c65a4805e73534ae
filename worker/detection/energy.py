"""How much of a QRS there is at each moment, in units of the beats around, and how much between."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worker.detection.filters import Float32s, find_humps, running_median

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
_AT_ONCE = 1 << 16
_TOPS_AT_ONCE = 1 << 12


@dataclass(frozen=True)
class Energy:
    """The envelope of a lead, or of several, relative to its beats.

    `height` (float32, one for each sample of the trace) is 1 at an ordinary beat. For each stretch,
    `level` (float32) is what 1 stands for, `top` (float32) the largest height, and `noise`
    (float32) how high it rises between beats: 0 silent, 1 as high as the beats. `middles` are the
    stretches' middles, in samples of the trace.
    """

    height: Float32s
    level: Float32s
    top: Float32s
    noise: Float32s
    middles: NDArray[np.float64]

    def noise_at(self, positions: NDArray[Any]) -> NDArray[np.float64]:
        """Between the middles of two stretches, what lies between."""
        noise: NDArray[np.float64] = np.interp(positions, self.middles, self.noise)
        return noise


def stretch_length(rate_hz: float) -> int:
    """In samples of a trace."""
    return round(STRETCH_S * rate_hz)


def normalise(envelope: Float32s, rate_hz: float) -> Energy:
    """Divide an envelope by the height of the beats around, and see what lies between them.

    Parameters
    ----------
    envelope : ndarray of shape (number_of_samples,), float32
        Not negative. Overwritten: it becomes the height.
    rate_hz : float

    Returns
    -------
    Energy
        All zero where the envelope is.
    """
    length = stretch_length(rate_hz)
    # The last stretch takes what is left over.
    begins = np.arange(max(1, envelope.size // length)) * length
    tops = np.maximum.reduceat(envelope, begins)
    level: Float32s = running_median(tops, _STRETCHES_AROUND)
    usual = usual_top(tops)
    level = np.maximum(level, np.float32(LOWEST_SHARE * (usual or tops.max()) or 1))
    middles = begins + np.float64(length / 2)
    height = np.divide(envelope, between_middles(level, middles, envelope.size), out=envelope)
    noise = _between_beats(height, middles, rate_hz)
    return Energy(height, level, np.divide(tops, level, out=tops), noise, middles)


def usual_top(tops: Float32s) -> float:
    """What a lead shows where it shows something: three of four stretches rise no higher."""
    return float(np.partition(tops, tops.size * 3 // 4)[tops.size * 3 // 4])


def between_middles(values: NDArray[Any], middles: NDArray[np.float64], size: int) -> Float32s:
    """Draw straight lines from middle to middle, a value for each of so many samples."""
    drawn = np.empty(size, np.float32)
    # In parts: numpy's own are twice as wide.
    for begin in range(0, size, _AT_ONCE):
        part = drawn[begin : begin + _AT_ONCE]
        part[:] = np.interp(np.arange(begin, begin + part.size), middles, values)
    return drawn


def _between_beats(height: Float32s, middles: NDArray[np.float64], rate_hz: float) -> Float32s:
    """How high it rises between what stands out: the median over nine gaps, for each stretch."""
    tops = find_humps(height, 0.45, int(0.25 * rate_hz))
    if tops.size == 0:
        return np.ones(middles.size, np.float32)
    half = int(_HALF_QRS_S * rate_hz)
    around = np.arange(-half, half + 1)
    rest = height.copy()
    for begin in range(0, tops.size, _TOPS_AT_ONCE):
        middles_of_qrs = tops[begin : begin + _TOPS_AT_ONCE, None]
        rest[(middles_of_qrs + around).clip(0, rest.size - 1)] = 0
    ends = np.concatenate([[0], tops, [height.size]])
    highest = np.maximum.reduceat(rest, ends[:-1])
    highest = running_median(highest, _GAPS_AROUND)
    noise: NDArray[np.float64] = np.interp(middles, (ends[1:] + ends[:-1]) / 2, highest)
    return noise.clip(max=1).astype(np.float32)
