"""What all insights of an ECG cost, and how that grows with its length: `python -m bench.speed`.

In this process, without a server or a database: processor time, and the most memory that is taken
beside the samples that are given, as a multiple of these in float32.
"""

from __future__ import annotations

import time
import tracemalloc
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench import records
from bench.tables import print_table
from worker.analysis import analyse_ecg

HOUR_S = 3600


@dataclass(frozen=True)
class Case:
    """An ECG, and how often it is analysed."""

    name: str
    leads: list[NDArray[np.int16]]
    sampling_rate_hz: float
    times: int


def make_leads(number: int, samples: int, sampling_rate_hz: float) -> list[NDArray[np.int16]]:
    """Beats at irregular times, of another height in each lead, on wander and noise; in counts."""
    random = np.random.default_rng(1)
    seconds = samples / sampling_rate_hz
    beats_s = np.cumsum(random.normal(0.8, 0.04, int(seconds / 0.7)))
    peaks = (beats_s[beats_s < seconds - 1] * sampling_rate_hz).astype(np.int64)
    at_s = np.arange(round(0.6 * sampling_rate_hz)) / sampling_rate_hz
    beat = 200 * np.exp(-0.5 * ((at_s - 0.06) / 0.011) ** 2)
    beat += 50 * np.exp(-0.5 * ((at_s - 0.33) / 0.045) ** 2)
    leads = []
    for lead in range(number):
        signal = random.normal(0, 3, samples).astype(np.float32)
        signal += 30 * np.sin(np.arange(samples, dtype=np.float32) / np.float32(sampling_rate_hz))
        for offset, height in enumerate(beat * (1 - 1.7 * (lead % 2)) / (1 + lead / 4)):
            signal[peaks + offset] += height
        leads.append(signal.astype(np.int16))
    return leads


def measure(case: Case) -> dict[str, object]:
    """One row: time first, since counting memory takes time of its own."""
    names = [str(number) for number in range(len(case.leads))]

    def analyse() -> None:
        analyse_ecg(
            names, case.leads, sampling_rate_hz=case.sampling_rate_hz, baseline=0.0, gain=200.0
        )

    analyse()
    took_s = []
    for _ in range(case.times):
        began_s = time.process_time()
        analyse()
        took_s.append(time.process_time() - began_s)
    tracemalloc.start()
    analyse()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    samples = sum(lead.size for lead in case.leads)
    return {
        "ECG": case.name,
        "samples": samples,
        "CPU, median ms": f"{1e3 * float(np.median(took_s)):,.1f}",
        "least ms": f"{1e3 * min(took_s):,.1f}",
        "ns a sample": f"{1e9 * float(np.median(took_s)) / samples:.0f}",
        "memory, × float32": f"{peak / (4 * samples):.1f}",
    }


def main() -> None:
    """Print the table; each ECG is made when its turn comes, as the longest are large."""
    rows = [
        measure(Case("12 × 5,000 at 500 Hz", make_leads(12, 5_000, 500), 500, 60)),
        measure(Case("2 × 650,000 at 360 Hz", make_leads(2, 650_000, 360), 360, 5)),
    ]
    if records.DATA.is_dir():
        record = records.read("mitdb", "100")
        rows.append(measure(Case("2 × 650,000 at 360 Hz, MIT-BIH 100", record.leads, 360, 5)))
    for sampling_rate_hz in (250, 360):
        for hours in (1, 6, 24):
            samples = hours * HOUR_S * sampling_rate_hz
            leads = make_leads(3, samples, sampling_rate_hz)
            name = f"3 × {hours} h at {sampling_rate_hz} Hz"
            rows.append(measure(Case(name, leads, sampling_rate_hz, 1)))
    print_table("All insights of one ECG", rows)


if __name__ == "__main__":
    main()
