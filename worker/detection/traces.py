"""Leads, read once: everything that beats, quality and fusion need of them, and no more."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.errors import NotComputable
from worker.detection.energy import Energy, normalise, stretch_length
from worker.detection.faults import Faults, find_faults
from worker.detection.filters import (
    decimate,
    decimation,
    qrs_envelope,
    remove_spikes,
    remove_wander,
)
from worker.detection.rows import Float32s

SHORTEST_S = 2.0
LOWEST_RATE_HZ = 100.0
HIGHEST_RATE_HZ = 10_000.0

# What a lead shows for 98 % of the time is its range; an outlier counts as at most a thousand.
_LARGEST_RANGES = 1000.0
_LOOKED_AT = 20_000


@dataclass(frozen=True)
class Trace:
    """Leads without wander and spikes, at 100 to 200 Hz: each `factor`-th sample, a row a lead.

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

    def of(self, lead: int) -> Trace:
        """One row alone, which is still a row."""
        return replace(
            self,
            signal=self.signal[lead : lead + 1],
            energy=self.energy.of(lead),
            faults=self.faults.of(lead),
        )


def condition(leads: Sequence[NDArray[Any]], sampling_rate_hz: float | None) -> Trace:
    """Read leads: scale each to itself, take spikes and wander out, and see where its energy is.

    Parameters
    ----------
    leads : sequence of ndarray, each of the same shape (number_of_samples,)
        int8, int16, int32, int64 or finite float64, in whatever unit, on whatever offset, of any
        size. At least one. Left alone.
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
    number_of_samples = leads[0].size
    if number_of_samples < SHORTEST_S * sampling_rate_hz:
        raise NotComputable("needs at least two seconds of samples")
    factor = decimation(sampling_rate_hz)
    rate_hz = sampling_rate_hz / factor
    scaled = scale_to_themselves(leads)
    faults = find_faults(scaled, sampling_rate_hz, factor * stretch_length(rate_hz))
    slow = decimate(remove_spikes(scaled, sampling_rate_hz), factor)
    del scaled
    energy = normalise(qrs_envelope(slow, rate_hz), rate_hz)
    signal = remove_wander(slow, rate_hz)
    return Trace(sampling_rate_hz, number_of_samples, factor, signal, energy, faults)


def scale_to_themselves(leads: Sequence[NDArray[Any]]) -> Float32s:
    """Bring what each lead shows most of the time to -1…1; no overflow, and nothing small is lost.

    Parameters
    ----------
    leads : sequence of ndarray, each of the same shape (number_of_samples,)
        Integers of up to 64 bits or finite floats; at least one.

    Returns
    -------
    ndarray of shape (leads, number_of_samples), float32
        All zero where all samples of a lead are equal.
    """
    scaled = np.empty((len(leads), leads[0].size))
    with np.errstate(over="ignore"):
        reaches = [_subtract_low(lead, row) for lead, row in zip(leads, scaled, strict=True)]
        scaled /= np.array(reaches)[:, None]
    scaled -= 1
    return scaled.clip(-_LARGEST_RANGES, _LARGEST_RANGES, out=scaled).astype(np.float32)


def _subtract_low(samples: NDArray[Any], out: NDArray[np.float64]) -> float:
    """Give what lies over the lower end of a lead's range, and half of how far the range reaches.

    Where all samples are equal they are the middle.
    """
    few = samples[:: max(1, samples.size // _LOOKED_AT)]
    rank = few.size // 100
    ranked = np.partition(few, [rank, few.size - 1 - rank])
    lowest, low, high, highest = (
        value.item() for value in (samples.min(), ranked[rank], ranked[-1 - rank], samples.max())
    )
    if lowest == highest:
        out[:] = 1
        return 1
    if low == high:
        low, high = lowest, highest
    # Halves: the difference of two floats need not be one.
    reach = high / 2 - low / 2 or 1.0
    if samples.dtype.kind == "i" and max(highest - low, low - lowest) < 2**63:
        # Exact, whatever offset a small signal sits on.
        np.subtract(samples, low, out=out, dtype=np.int64)
        return reach
    np.multiply(samples, 0.5, out=out)
    out -= low / 2
    # The half of the smallest number there is would be none.
    return max(reach / 2, math.ulp(0.0))
