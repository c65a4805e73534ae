"""Synthetic 12-lead ECGs: invented, and not of any person.

`python -m standalone.synthetic FOLDER NUMBER` (`make archive`) writes some as CSV, to try a batch
with.
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

SAMPLING_RATE_HZ = 500
GAIN_PER_MV = 200
BASELINE = 1024

_RATE_BPM = 72.0
_MARGIN_S = 1.0

# Where the waves P, Q, R, S and T stand from the R peak, and how wide they are (sigma).
_CENTRES_S = np.array([-0.17, -0.028, 0.0, 0.03, 0.27])
_WIDTHS_S = np.array([0.022, 0.009, 0.011, 0.011, 0.045])

# How high the waves are; the other four limb leads follow from I and II.
_HEIGHTS_MV = {
    "I": [0.08, -0.05, 0.70, -0.12, 0.20],
    "II": [0.14, -0.07, 1.10, -0.18, 0.30],
    "V1": [0.05, 0.00, 0.20, -0.90, -0.08],
    "V2": [0.07, 0.00, 0.40, -1.30, 0.40],
    "V3": [0.07, -0.02, 0.80, -0.80, 0.45],
    "V4": [0.08, -0.06, 1.40, -0.45, 0.42],
    "V5": [0.08, -0.09, 1.30, -0.22, 0.34],
    "V6": [0.08, -0.09, 1.00, -0.12, 0.27],
}


def make_ecg(duration_s: float = 10.0, seed: int = 1) -> dict[str, Any]:
    """Make an upload for `POST /ecgs`, the same one every time for the same seed.

    Each beat is a sum of Gaussians (after McSharry et al. 2003, doi:10.1109/TBME.2003.808805,
    without their differential equations). Breathing moves the rate by 3 % and the baseline by
    0.03 mV; noise has a standard deviation of 5 µV.
    """
    random = np.random.default_rng(seed)
    times_s = np.arange(round(duration_s * SAMPLING_RATE_HZ)) / SAMPLING_RATE_HZ
    peaks_s = _peaks(duration_s, _RATE_BPM + (seed - 1) % 20)
    leads = {
        name: _beats(times_s, peaks_s, np.array(heights))
        + 0.03 * np.sin(2 * np.pi * 0.25 * times_s)
        + random.normal(0.0, 0.005, times_s.size)
        for name, heights in _HEIGHTS_MV.items()
    }
    one, two = leads.pop("I"), leads.pop("II")
    # Einthoven's law and Goldberger's augmented leads.
    limbs = {
        "I": one,
        "II": two,
        "III": two - one,
        "aVR": -(one + two) / 2,
        "aVL": one - two / 2,
        "aVF": two - one / 2,
    }
    return {
        "sampling_rate": SAMPLING_RATE_HZ,
        "unit": "adc",
        "gain": GAIN_PER_MV,
        "baseline": BASELINE,
        "leads": [
            {
                "name": name,
                "number_of_samples": lead.size,
                "signal": np.rint(lead * GAIN_PER_MV + BASELINE).astype(int).tolist(),
            }
            for name, lead in {**limbs, **leads}.items()
        ],
    }


def _peaks(duration_s: float, rate_bpm: float) -> NDArray[np.float64]:
    """Place R peaks in seconds, from before the recording to after it; shape (beats,)."""
    peaks_s = [-_MARGIN_S + 0.4]
    while peaks_s[-1] < duration_s + _MARGIN_S:
        breathing = 1 + 0.03 * np.sin(2 * np.pi * 0.25 * peaks_s[-1])
        peaks_s.append(peaks_s[-1] + 60.0 / rate_bpm * breathing)
    return np.array(peaks_s)


def _beats(
    times_s: NDArray[np.float64], peaks_s: NDArray[np.float64], heights_mv: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Add up all waves of all beats, in mV; the shape of `times_s`."""
    lead = np.zeros_like(times_s)
    for centre_s, width_s, height_mv in zip(_CENTRES_S, _WIDTHS_S, heights_mv, strict=True):
        distances = (times_s[:, None] - peaks_s[None, :] - centre_s) / width_s
        lead += height_mv * np.exp(-0.5 * distances**2).sum(axis=1)
    return lead


def write_archive(folder: Path, number: int) -> None:
    """Write so many recordings, each a CSV file: a column of times, and one for each lead in mV."""
    folder.mkdir(parents=True, exist_ok=True)
    for seed in range(1, number + 1):
        leads = make_ecg(seed=seed)["leads"]
        with (folder / f"ecg{seed:05}.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["time (s)", *(f"{lead['name']} (mV)" for lead in leads)])
            for index, counts in enumerate(zip(*(lead["signal"] for lead in leads), strict=True)):
                millivolts = [(count - BASELINE) / GAIN_PER_MV for count in counts]
                writer.writerow([f"{index / SAMPLING_RATE_HZ:.3f}", *millivolts])


if __name__ == "__main__":
    asked, many = sys.argv[1:]
    write_archive(Path(asked), int(many))
    print(f"{many} ECGs in {asked}/")
