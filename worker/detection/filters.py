"""Filters with linear phase, designed in seconds and hertz so that no sampling rate is special."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter1d, uniform_filter1d
from scipy.signal import upfirdn

Float32s = NDArray[np.float32]

# QRS energy peaks between 10 and 20 Hz, T waves and wander lie below, muscles above (Thakor,
# Webster & Tompkins 1984, doi 10.1109/TBME.1984.325393): a Gaussian band of 18 ± 6 Hz.
QRS_HZ = 18.0
QRS_SPREAD_S = 0.028
# Longer than a QRS, shorter than most beats: what is slower than this is wander.
WANDER_S = 0.6
# A pacemaker's spike lasts up to 2 ms, and no part of a QRS is over so soon.
SPIKE_S = 0.0025

_HALF_TAPS = 5


def decimation(sampling_rate_hz: float) -> int:
    """Every how manieth sample is enough: 100 to 200 Hz remain."""
    return max(1, int(sampling_rate_hz // 100))


def remove_spikes(samples: Float32s, sampling_rate_hz: float) -> Float32s:
    """Take the median of each sample and the two a spike's width away, where these are that near.

    Parameters
    ----------
    samples : ndarray of shape (number_of_samples,), float32
    sampling_rate_hz : float
        Under 200 Hz the neighbours are further away than a spike lasts: nothing is changed.

    Returns
    -------
    ndarray of the same shape, float32
    """
    apart = max(1, round(SPIKE_S * sampling_rate_hz))
    if sampling_rate_hz < 200 or samples.size <= 2 * apart:
        return samples
    before, here, after = samples[: -2 * apart], samples[apart:-apart], samples[2 * apart :]
    lower, upper = np.minimum(before, after), np.maximum(before, after)
    despiked = samples.copy()
    np.clip(here, lower, upper, out=despiked[apart:-apart])
    return despiked


def decimate(samples: Float32s, factor: int) -> Float32s:
    """Low-pass at 40 % of the new rate and keep the first sample of each `factor`."""
    if factor == 1:
        return samples
    half = _HALF_TAPS * factor
    filtered: Float32s = upfirdn(_low_pass(factor), _hold_ends(samples, half), 1, factor)
    return filtered[2 * _HALF_TAPS : 2 * _HALF_TAPS + samples.size // factor]


def remove_wander(signal: Float32s, rate_hz: float) -> Float32s:
    """Subtract the mean over `WANDER_S`."""
    length = 2 * round(WANDER_S * rate_hz / 2) + 1
    wander: Float32s = uniform_filter1d(signal, length, mode="nearest")
    return np.subtract(signal, wander, out=wander)


def qrs_envelope(signal: Float32s, rate_hz: float) -> Float32s:
    """Give the modulus of a Gabor wavelet in the band of the QRS: blind to polarity and phase.

    Parameters
    ----------
    signal : ndarray of shape (number_of_samples,), float32
    rate_hz : float
        At least 100.

    Returns
    -------
    ndarray of the same shape, float32, in the unit of the signal
        One smooth hump for each QRS, its top where the QRS is.
    """
    even, odd = _wavelet(rate_hz)
    held = _hold_ends(signal, even.size // 2)
    return np.hypot(np.convolve(held, even, "valid"), np.convolve(held, odd, "valid"))


def running_median(values: NDArray[Any], width: int) -> NDArray[Any]:
    """The median of each value and its neighbours, `width` (odd) in all.

    Near the ends it is that of the first or last so many: held or mirrored, one odd value there
    would be the majority.
    `scipy.ndimage` has one that takes ten times as long to begin, which is all that counts here.
    """
    windows = sliding_window_view(values, min(width, values.size))
    half = windows.shape[1] // 2
    middle: NDArray[Any] = np.partition(windows, half, axis=1)[:, half]
    medians: NDArray[Any] = middle.take(np.arange(values.size) - half, mode="clip")
    return medians


def cut_around(signal: Float32s, positions: NDArray[Any], half: int) -> Float32s:
    """Give what lies around each position, `half` samples to either side; the ends go on."""
    offsets = np.arange(-half, half + 1)
    return signal.take(positions[:, None] + offsets, mode="clip")


def highest_within(values: Float32s, within_s: float, rate_hz: float) -> Float32s:
    """For every sample the largest one that is at most so far away."""
    highest: Float32s = maximum_filter1d(values, 2 * int(within_s * rate_hz) + 1, mode="nearest")
    return highest


def _hold_ends(samples: NDArray[Any], number: int) -> NDArray[Any]:
    """Go on with the first and the last sample, so that no step is seen at the ends."""
    return np.concatenate(
        [np.full(number, samples[0]), samples, np.full(number, samples[-1])], dtype=samples.dtype
    )


@functools.lru_cache(maxsize=64)
def _low_pass(factor: int) -> Float32s:
    half = _HALF_TAPS * factor
    at = np.arange(-half, half + 1)
    taps: NDArray[np.float64] = np.sinc(0.8 * at / factor) * np.hanning(2 * half + 3)[1:-1]
    scaled: Float32s = (taps / taps.sum()).astype(np.float32)
    return scaled


@functools.lru_cache(maxsize=64)
def _wavelet(rate_hz: float) -> tuple[Float32s, Float32s]:
    half = int(np.ceil(3.5 * QRS_SPREAD_S * rate_hz))
    at_s = np.arange(-half, half + 1) / rate_hz
    bell = np.exp(-0.5 * (at_s / QRS_SPREAD_S) ** 2)
    even, odd = bell * np.cos(2 * np.pi * QRS_HZ * at_s), bell * np.sin(2 * np.pi * QRS_HZ * at_s)
    # Not a trace of the isoline may come through.
    even -= bell * (even.sum() / bell.sum())
    # A sine of 18 Hz has its own amplitude as its envelope.
    scale = 2 / bell.sum()
    return (even * scale).astype(np.float32), (odd * scale).astype(np.float32)
