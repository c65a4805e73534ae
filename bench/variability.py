"""Variability beside NeuroKit2 and scipy, on the same intervals: `python -m bench.variability`.

The intervals are those between the annotated beats of the reference recordings, so that nothing
but definitions is compared.
"""

from __future__ import annotations

import warnings
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench import records
from bench.tables import print_table
from worker.intervals import (
    HF_HZ,
    LF_HZ,
    WINDOW_S,
    Mask,
    Seconds,
    accept,
    frequency_domain,
    time_domain,
)

OF_TIME = {
    "mean_nn_ms": "HRV_MeanNN",
    "sdnn_ms": "HRV_SDNN",
    "rmssd_ms": "HRV_RMSSD",
    "pnn50_percent": "HRV_pNN50",
    "sd1_ms": "HRV_SD1",
    "sd2_ms": "HRV_SD2",
}
OF_FREQUENCY = {"lf_ms2": "HRV_LF", "hf_ms2": "HRV_HF", "lf_hf": "HRV_LFHF"}
WHY = {
    "pnn50_percent": "steps of 50 ms count where they are rounded up; in percent of one more than "
    "there are differences",
    "lf_ms2": "Welch's method, on intervals interpolated at 100 Hz, over gaps too",
    "hf_ms2": "the same",
    "lf_hf": "the same",
}
EQUAL = 1e-6


def intervals_of(name: str) -> tuple[Seconds, Mask]:
    """The first five minutes between annotated beats, and which of them are accepted."""
    record = records.read("mitdb", name)
    intervals_s = np.diff(record.beats) / record.sampling_rate_hz
    intervals_s = intervals_s[np.cumsum(intervals_s) < WINDOW_S]
    return intervals_s, accept(intervals_s)


def by_neurokit2(intervals_s: Seconds, accepted: Mask) -> dict[str, float]:
    """Whatever it says of the accepted intervals, at the times at which they end."""
    import neurokit2

    # It asks for what numpy has since renamed; its later versions want an older pandas than ours.
    vars(np).setdefault("trapz", np.trapezoid)
    given = {"RRI": 1e3 * intervals_s[accepted], "RRI_Time": np.cumsum(intervals_s)[accepted]}
    with warnings.catch_warnings():
        # That intervals are missing, and that five minutes are short for what is slower than LF.
        warnings.simplefilter("ignore")
        tables = (
            neurokit2.hrv_time(given),
            neurokit2.hrv_frequency(given, normalize=False),
            neurokit2.hrv_nonlinear(given),
        )
    return {name: float(table[name].iloc[0]) for table in tables for name in table}


def by_scipy(intervals_s: Seconds, accepted: Mask) -> dict[str, float]:
    """LF and HF by its Lomb-Scargle periodogram: the same method from another hand."""
    from scipy.signal import lombscargle

    ends_s = np.cumsum(intervals_s)[accepted]
    nn_ms = 1e3 * intervals_s[accepted]

    def power(low: float, high: float) -> float:
        bins = np.arange(round(low * WINDOW_S), round(high * WINDOW_S)) / WINDOW_S
        spectrum: NDArray[Any] = lombscargle(ends_s, nn_ms - nn_ms.mean(), 2 * np.pi * bins)
        return float(2 / nn_ms.size * spectrum.sum())

    lf_ms2, hf_ms2 = power(*LF_HZ), power(*HF_HZ)
    return {"lf_ms2": lf_ms2, "hf_ms2": hf_ms2, "lf_hf": lf_ms2 / hf_ms2}


def compare(intervals_s: Seconds, accepted: Mask) -> list[dict[str, Any]]:
    """Each figure of ours, of theirs, and why they differ where they do."""
    ours = {**time_domain(intervals_s, accepted), **(frequency_domain(intervals_s, accepted) or {})}
    neurokit2, scipy = by_neurokit2(intervals_s, accepted), by_scipy(intervals_s, accepted)
    theirs = [("NeuroKit2", key, neurokit2[of]) for key, of in (OF_TIME | OF_FREQUENCY).items()]
    theirs += [("scipy", key, value) for key, value in scipy.items()]
    return [
        {
            "figure": key,
            "ours": f"{ours[key]:.6f}",
            "beside": who,
            "theirs": f"{value:.6f}",
            "difference": f"{abs(ours[key] - value):.0e}",
            "why": WHY[key] if abs(ours[key] - value) > EQUAL else "",
        }
        for who, key, value in theirs
    ]


def print_tables() -> None:
    """A rhythm of which every interval is accepted, and one with gaps."""
    if missing := [name for name in ("neurokit2", "scipy") if not find_spec(name)]:
        print(f"\nVariability is not compared: {', '.join(missing)} is not installed.")
        return
    steady, _ = intervals_of("101")
    steady = np.round(steady, 3)
    with_gaps, accepted = intervals_of("118")
    for what, intervals_s, of_these in (
        ("101, in whole milliseconds", steady, accept(steady)),
        ("118, as sampled", with_gaps, accepted),
    ):
        numbers = f"{of_these.sum()} of {of_these.size} intervals accepted"
        rows = compare(intervals_s, of_these)
        print_table(f"Variability of the first five minutes of {what}: {numbers}", rows)


if __name__ == "__main__":
    if records.DATA.is_dir():
        print_tables()
    else:
        print("Skipped: the reference recordings are not beside the checkout (../shared/data).")
