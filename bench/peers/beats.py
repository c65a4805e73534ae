"""Other programs that find beats in one lead; whoever is not installed is left out."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Detector = Callable[[NDArray[Any], float], NDArray[np.int64]]


def sleepecg(samples: NDArray[Any], sampling_rate_hz: float) -> NDArray[np.int64]:
    """Its only detector, after Pan & Tompkins, with its loops in C."""
    from sleepecg.heartbeats import detect_heartbeats

    return np.asarray(detect_heartbeats(samples.astype(np.float64), sampling_rate_hz), np.int64)


def neurokit2(samples: NDArray[Any], sampling_rate_hz: float) -> NDArray[np.int64]:
    """Cleaning and peaks by its own method, as its documentation has them."""
    from neurokit2 import ecg_clean, ecg_findpeaks

    cleaned = ecg_clean(samples.astype(np.float64), sampling_rate=int(sampling_rate_hz))
    peaks = ecg_findpeaks(cleaned, sampling_rate=int(sampling_rate_hz))["ECG_R_Peaks"]
    return np.asarray(peaks, np.int64)


def wfdb(samples: NDArray[Any], sampling_rate_hz: float) -> NDArray[np.int64]:
    """Its xqrs."""
    from wfdb.processing import xqrs_detect

    # It wants physical units.
    millivolts = samples / 200.0
    return np.asarray(xqrs_detect(millivolts, sampling_rate_hz, verbose=False), np.int64)


def installed() -> dict[str, Detector]:
    """Those that are there, by name."""
    detectors = {"sleepecg": sleepecg, "neurokit2": neurokit2, "wfdb": wfdb}
    return {name: run for name, run in detectors.items() if importlib.util.find_spec(name)}
