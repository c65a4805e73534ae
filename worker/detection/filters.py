"""Filters with linear phase, designed in seconds and hertz so that no sampling rate is special.

All that scipy would do here is a few lines of numpy that take no longer, and importing scipy.signal
takes a fresh worker most of a second and 80 MB.
"""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray

from worker.detection.rows import Float32s, hold_ends, parts

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
    samples : ndarray of shape (leads, number_of_samples), float32
    sampling_rate_hz : float
        Under 200 Hz the neighbours are further away than a spike lasts: nothing is changed.

    Returns
    -------
    ndarray of the same shape, float32
    """
    apart = max(1, round(SPIKE_S * sampling_rate_hz))
    if sampling_rate_hz < 200 or samples.shape[1] <= 2 * apart:
        return samples
    before, after = samples[:, : -2 * apart], samples[:, 2 * apart :]
    despiked = samples.copy()
    inner = despiked[:, apart:-apart]
    np.maximum(inner, np.minimum(before, after), out=inner)
    np.minimum(inner, np.maximum(before, after), out=inner)
    return despiked


def decimate(samples: Float32s, factor: int) -> Float32s:
    """Low-pass at 40 % of the new rate and keep the first sample of each `factor`, in each row."""
    if factor == 1:
        return samples
    taps = _low_pass(factor)
    kept = samples.shape[1] // factor
    held = hold_ends(samples, _HALF_TAPS * factor)[:, : (kept + len(taps) - 1) * factor]
    decimated = np.zeros((len(samples), kept), np.float32)
    # Only what is kept is computed: a short sum for each place between two kept samples.
    for place in range(factor):
        decimated += _correlate(held[:, place::factor], taps[:, place])
    return decimated


def remove_wander(signal: Float32s, rate_hz: float) -> Float32s:
    """Subtract the mean over `WANDER_S`, in each row."""
    half = round(WANDER_S * rate_hz / 2)
    length = 2 * half + 1
    leads, size = signal.shape
    sums = np.zeros((leads, size + length))
    sums[:, 1:] = hold_ends(signal, half)
    np.add.accumulate(sums, axis=1, out=sums)
    without = np.empty_like(signal)
    # Doubles for all of them would be the most memory that a lead ever takes.
    for part in parts(size):
        wander = sums[:, part.start + length : part.stop + length] - sums[:, part]
        wander /= length
        np.subtract(signal[:, part], wander.astype(np.float32), out=without[:, part])
    return without


def qrs_envelope(signal: Float32s, rate_hz: float) -> Float32s:
    """Give the modulus of a Gabor wavelet in the band of the QRS: blind to polarity and phase.

    Parameters
    ----------
    signal : ndarray of shape (leads, number_of_samples), float32
    rate_hz : float
        At least 100.

    Returns
    -------
    ndarray of the same shape, float32, in the unit of the signal
        One smooth hump for each QRS, its top where the QRS is.
    """
    even, odd = _wavelet(rate_hz)
    held = hold_ends(signal, even.size // 2)
    return np.hypot(_correlate(held, even), _correlate(held, odd))


def _correlate(held: Float32s, taps: Float32s) -> Float32s:
    """Of each row the sums under an odd number of taps wherever these fit in."""
    half = taps.size // 2
    # As if all rows were one: the sums that reach from one into the next are left out.
    sums = np.correlate(held.ravel(), taps, "same")
    return sums.reshape(held.shape)[:, half:-half]


@functools.lru_cache(maxsize=64)
def _low_pass(factor: int) -> Float32s:
    """A windowed sinc; a row for each new sample it reaches over, the last nearly empty."""
    half = _HALF_TAPS * factor
    at = np.arange(-half, half + factor)
    taps: NDArray[np.float64] = np.zeros(at.size)
    taps[: 2 * half + 1] = np.sinc(0.8 * at[: 2 * half + 1] / factor)
    taps[: 2 * half + 1] *= np.hanning(2 * half + 3)[1:-1]
    scaled: Float32s = (taps / taps.sum()).astype(np.float32)
    return scaled.reshape(-1, factor)


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
