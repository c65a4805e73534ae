"""A lead, read once: everything that beats, quality and fusion need of it, and no more."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.errors import NotComputable
from worker.detection.energy import Energy, normalise, stretch_length
from worker.detection.faults import Faults, find_faults
from worker.detection.filters import (
    Float32s,
    decimate,
    decimation,
    qrs_envelope,
    remove_spikes,
    remove_wander,
)

SHORTEST_S = 2.0
LOWEST_RATE_HZ = 100.0
HIGHEST_RATE_HZ = 10_000.0

# What a lead shows for 98 % of the time is its range; an outlier counts as at most a thousand.
_LARGEST_RANGES = 1000.0
_LOOKED_AT = 20_000


@dataclass(frozen=True)
class Trace:
    """One lead without wander and spikes, at 100 to 200 Hz: each `factor`-th sample of it.

    `signal` (float32) is in units of the lead's own range; `energy` says where QRS are; `faults`
    what the recording itself got wrong, for each stretch of `energy`.
    """

    sampling_rate_hz: float
    number_of_samples: int
    factor: int
    signal: Float32s
    energy: Energy
    faults: Faults

    @property
    def rate_hz(self) -> float:
        """Samples of the trace in a second."""
        return self.sampling_rate_hz / self.factor


def condition(samples: NDArray[Any], sampling_rate_hz: float | None) -> Trace:
    """Read a lead: scale it to itself, take spikes and wander out, and see where its energy is.

    Parameters
    ----------
    samples : ndarray of shape (number_of_samples,)
        int8, int16, int32, int64 or finite float64, in whatever unit, on whatever offset, of any
        size. Left alone.
    sampling_rate_hz : float or None
        None when unknown.

    Returns
    -------
    Trace

    Raises
    ------
    NotComputable
        No sampling rate, one outside of 100 to 10,000 Hz, or less than two seconds.
    """
    if sampling_rate_hz is None:
        raise NotComputable("needs a sampling rate")
    if not LOWEST_RATE_HZ <= sampling_rate_hz <= HIGHEST_RATE_HZ:
        raise NotComputable("needs a sampling rate of 100 to 10,000 Hz")
    if samples.size < SHORTEST_S * sampling_rate_hz:
        raise NotComputable("needs at least two seconds of samples")
    factor = decimation(sampling_rate_hz)
    rate_hz = sampling_rate_hz / factor
    scaled = scale_to_itself(samples)
    faults = find_faults(scaled, sampling_rate_hz, factor * stretch_length(rate_hz))
    slow = decimate(remove_spikes(scaled, sampling_rate_hz), factor)
    del scaled
    energy = normalise(qrs_envelope(slow, rate_hz), rate_hz)
    return Trace(
        sampling_rate_hz, samples.size, factor, remove_wander(slow, rate_hz), energy, faults
    )


def scale_to_itself(samples: NDArray[Any]) -> Float32s:
    """Bring what a lead shows most of the time to -1…1; nothing overflows, nothing small is lost.

    Parameters
    ----------
    samples : ndarray of shape (number_of_samples,)
        Integers of up to 64 bits or finite floats; at least one.

    Returns
    -------
    ndarray of the same shape, float32
        All zero when all samples are equal.
    """
    few = samples[:: max(1, samples.size // _LOOKED_AT)]
    rank = few.size // 100
    ranked = np.partition(few, [rank, few.size - 1 - rank])
    lowest, low, high, highest = (
        int(value) if samples.dtype.kind == "i" else float(value)
        for value in (samples.min(), ranked[rank], ranked[-1 - rank], samples.max())
    )
    if lowest == highest:
        return np.zeros(samples.size, np.float32)
    if low == high:
        low, high = lowest, highest
    # Halves: the difference of two floats need not be one.
    reach = high / 2 - low / 2 or 1.0
    scaled: NDArray[np.float64]
    with np.errstate(over="ignore"):
        if samples.dtype.kind == "i" and max(highest - low, low - lowest) < 2**63:
            # Exact, whatever offset a small signal sits on.
            scaled = np.subtract(samples, low, dtype=np.int64) / reach
        else:
            scaled = np.multiply(samples, 0.5, dtype=np.float64)
            scaled -= low / 2
            scaled /= reach / 2
    scaled -= 1
    np.clip(scaled, -_LARGEST_RANGES, _LARGEST_RANGES, out=scaled)
    return scaled.astype(np.float32)
