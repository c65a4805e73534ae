"""ECGs with known beats: Gaussian waves on a line, and everything that spoils a recording."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

# Wave: where it is after the R peak (s), how wide (s), how high (mV). P and T move with the rate.
_NORMAL = {
    "P": (-0.16, 0.022, 0.12),
    "Q": (-0.026, 0.008, -0.12),
    "R": (0.0, 0.010, 1.0),
    "S": (0.028, 0.009, -0.22),
    "T": (0.28, 0.045, 0.28),
}
_VENTRICULAR = {"R": (0.0, 0.022, 1.4), "S": (0.065, 0.025, -0.6), "T": (0.32, 0.06, -0.35)}


@dataclass(frozen=True)
class Ecg:
    """Samples in mV of one lead, the sampling rate, and when the R peaks are (s)."""

    samples: Floats
    sampling_rate_hz: float
    beats_s: Floats

    @property
    def times_s(self) -> Floats:
        """When each sample was taken."""
        return np.arange(self.samples.size) / self.sampling_rate_hz

    def plus(self, more: Floats) -> Ecg:
        """The same beats with something on top."""
        return replace(self, samples=self.samples + more)


def ecg(
    rate_bpm: float = 70,
    seconds: float = 30,
    sampling_rate_hz: float = 360,
    *,
    variability: float = 0.03,
    ectopics: Sequence[int] = (),
    paced: bool = False,
    seed: int = 0,
) -> Ecg:
    """Lay waves around beats.

    The beats with the numbers of `ectopics` come after 0.6 of an interval, wide and with a pause
    behind them. With `paced`, each QRS is wide and has a spike of 2.5 mV and a millisecond before
    it, lower the fewer samples there are to show it.
    """
    random = np.random.default_rng(seed)
    interval_s = 60 / rate_bpm
    beats_s, kinds = [0.35 + 0.2 * random.random()], [_VENTRICULAR if paced else _NORMAL]
    while beats_s[-1] < seconds:
        early = len(beats_s) in ectopics
        share = 0.6 if early else 1.4 if len(beats_s) - 1 in ectopics else 1.0
        beats_s.append(beats_s[-1] + interval_s * share * (1 + variability * random.normal()))
        kinds.append(_VENTRICULAR if early or paced else _NORMAL)
    samples = np.zeros(round(seconds * sampling_rate_hz))
    for at_s, waves in zip(beats_s, kinds, strict=True):
        for name, (after_s, width_s, height) in waves.items():
            # Faster hearts have shorter PQ and QT.
            pace = min(1.0, interval_s**0.5) if name in "PT" else 1.0
            add_wave(samples, sampling_rate_hz, at_s + after_s * pace, width_s * pace, height)
        if paced:
            spike = round((at_s - 0.05) * sampling_rate_hz)
            if 0 <= spike < samples.size:
                samples[spike] += 2.5 * min(1.0, sampling_rate_hz / 1000)
    return Ecg(samples, sampling_rate_hz, np.array(beats_s))


def ecg_at(beats_s: Sequence[float], seconds: float, sampling_rate_hz: float = 360) -> Ecg:
    """Lay waves around beats that come when they are told to, P and T as those of a quick heart."""
    samples = np.zeros(round(seconds * sampling_rate_hz))
    for at_s in beats_s:
        for name, (after_s, width_s, height) in _NORMAL.items():
            pace = 0.6 if name in "PT" else 1.0
            add_wave(samples, sampling_rate_hz, at_s + after_s * pace, width_s * pace, height)
    return Ecg(samples, sampling_rate_hz, np.array(beats_s))


def add_wave(samples: Floats, rate_hz: float, at_s: float, width_s: float, height: float) -> None:
    """Add a Gaussian wave, where it is not yet zero."""
    begin = max(0, int((at_s - 5 * width_s) * rate_hz))
    end = min(samples.size, int((at_s + 5 * width_s) * rate_hz) + 2)
    if begin < end:
        times_s = np.arange(begin, end) / rate_hz
        samples[begin:end] += height * np.exp(-0.5 * ((times_s - at_s) / width_s) ** 2)


def wander(of: Ecg, millivolts: float = 0.8, hz: float = 0.3) -> Floats:
    """Breathing."""
    return millivolts * np.sin(2 * np.pi * hz * of.times_s + 1)


def hum(of: Ecg, millivolts: float, hz: float = 50) -> Floats:
    """Mains."""
    return millivolts * np.sin(2 * np.pi * hz * of.times_s + 0.4)


def white_noise(of: Ecg, millivolts: float, seed: int = 1) -> Floats:
    """Muscles, with that standard deviation in each 360 Hz of sampling rate."""
    share = (of.sampling_rate_hz / 360) ** 0.5
    noise: Floats = np.random.default_rng(seed).normal(size=of.samples.size)
    noise *= millivolts * share
    return noise


def electrode_noise(of: Ecg, snr_db: float, seed: int = 1) -> Floats:
    """Electrodes that move: red noise with steps, in the band of the ECG itself.

    Its power is so far below that of the ECG (its own mean square about its mean).
    """
    random = np.random.default_rng(seed)
    steps = random.normal(size=of.samples.size) * (random.random(of.samples.size) < 0.02)
    fading = np.exp(-np.arange(round(of.sampling_rate_hz)) / (0.15 * of.sampling_rate_hz))
    noise: Floats = np.convolve(steps, fading)[: of.samples.size]
    power = of.samples.var() / 10 ** (snr_db / 10)
    noise -= noise.mean()
    noise *= np.sqrt(power / noise.var())
    return noise


def as_counts(samples: Floats, dtype: Any = np.int16, gain: float = 200, offset: int = 0) -> Any:
    """What an ADC makes of it."""
    return (np.rint(samples * gain).astype(np.int64) + offset).astype(dtype)


def errors(
    found: NDArray[np.int64], of: Ecg, window_s: float = 0.15, edge_s: float = 0.15
) -> tuple[int, int, Floats]:
    """How many beats were missed, how many invented, and how far (s) the others are off.

    Within `edge_s` of the ends neither counts.
    """
    end_s = of.samples.size / of.sampling_rate_hz - edge_s
    found_s = np.asarray(found) / of.sampling_rate_hz
    if found_s.size == 0:
        return int(((of.beats_s > edge_s) & (of.beats_s < end_s)).sum()), 0, np.zeros(0)
    nearest = np.abs(found_s[:, None] - of.beats_s)
    off = nearest.min(axis=0)
    due = (of.beats_s > edge_s) & (of.beats_s < end_s)
    missed = int((due & (off > window_s)).sum())
    owners = nearest.argmin(axis=1)
    right = nearest.min(axis=1) <= window_s
    twice = int(right.sum()) - np.unique(owners[right]).size
    wrong = int((~right & (found_s > edge_s) & (found_s < end_s)).sum()) + twice
    return missed, wrong, off[due & (off <= window_s)]
