"""Whether quality and confidence mean anything: `python -m bench.trust` (in `make accuracy`, too).

Errors where they are high, and where they are low. The noise of moving electrodes in `nstdb` is
what its records have beyond record 118. It is mixed into the first leads of ten other records, so
far below their QRS as the decibels say. And what is said of strips that show that noise alone.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench import records
from bench.records import Record
from bench.scores import WINDOW_S, pair
from bench.tables import print_table
from worker.analysis import analyse_ecg
from worker.detection.readings import look_at
from worker.detection.traces import condition

DECIBELS = (24, 18, 12, 6, 0, -6)
NAMES = ("100", "101", "106", "112", "115", "119", "122", "205", "215", "220")
QUALITIES = (0, 0.2, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0001)
# Noise is in two minutes of four of NSTDB's records, from the fifth on.
NOISY_FROM_S, NOISY_S, NOISY_EVERY_S = 300, 120, 240
STRIP_S = 10
CONFIDENCES = (0, 0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 1.0001)


@dataclass(frozen=True)
class Trial:
    """For each stretch its quality, beats and errors; for each found beat confidence and truth."""

    name: str
    value: float
    quality: NDArray[np.float64]
    beats: NDArray[np.int64]
    errors: NDArray[np.int64]
    confidence: NDArray[np.float64]
    is_right: NDArray[np.bool_]


def attempt(name: str, samples: NDArray[np.generic], record: Record) -> Trial:
    """Find beats in one lead, and see where they are wrong."""
    (reading,) = look_at(condition([samples], record.sampling_rate_hz))
    found, quality = reading.beats, reading.quality
    assert found is not None
    pairs = pair(record.beats, found.samples, WINDOW_S * record.sampling_rate_hz)
    missed = np.delete(record.beats, pairs.reference)
    invented = np.delete(found.samples, pairs.found)
    right = np.zeros(found.samples.size, np.bool_)
    right[pairs.found] = True
    number, length = quality.by_stretch.size, quality.stretch_s * record.sampling_rate_hz

    def in_stretches(where: NDArray[np.int64]) -> NDArray[np.int64]:
        at = np.minimum((where / length).astype(np.int64), number - 1)
        return np.bincount(at, minlength=number)

    return Trial(
        name,
        quality.value,
        quality.by_stretch,
        in_stretches(record.beats),
        in_stretches(missed) + in_stretches(invented),
        found.confidence,
        right,
    )


def trials() -> Iterator[Trial]:
    """118 with calibrated noise, then ten others with the same."""
    for record in reversed(list(records.read_all("nstdb"))):
        yield attempt(record.name, record.leads[0], record)
    noise = electrode_noise()
    for decibels in DECIBELS:
        for name in NAMES:
            record = records.read("mitdb", name)
            more = noise * record.qrs_counts[0] * 10 ** (-decibels / 20)
            yield attempt(f"{decibels} dB", record.leads[0] + more, record)


def electrode_noise() -> NDArray[np.float64]:
    """What record 118e12 has beyond 118, in units of the QRS that it would be 0 dB below."""
    clean = records.read("mitdb", "118")
    noisy = records.read("nstdb", "118e12").leads[0].astype(np.float64)
    noise: NDArray[np.float64] = noisy - noisy.mean() - (clean.leads[0] - clean.leads[0].mean())
    noise *= 10 ** (12 / 20) / clean.qrs_counts[0]
    return noise


def rates() -> list[dict[str, object]]:
    """Of how many strips of a first lead, and of noise alone, a heart rate is said, and wrongly."""
    unsaid, wrong, number = 0, 0, 0
    for record in records.read_all("mitdb"):
        for strip in records.strips(record, STRIP_S):
            if strip.beats.size < 3:
                continue
            number += 1
            rate = _rate_of(strip.leads[0], strip.sampling_rate_hz)
            seconds = (strip.beats[-1] - strip.beats[0]) / strip.sampling_rate_hz
            true = 60 * (strip.beats.size - 1) / seconds
            unsaid += rate is None
            wrong += rate is not None and abs(rate - true) > max(0.1 * true, 5)
    noise = 1000 * electrode_noise()
    begins_s = [
        begin_s + offset_s
        for begin_s in range(NOISY_FROM_S, 1800 - NOISY_S, NOISY_EVERY_S)
        for offset_s in range(0, NOISY_S, STRIP_S)
    ]
    of_noise = [_rate_of(noise[s * 360 : (s + STRIP_S) * 360], 360) for s in begins_s]
    return [
        {"strips of 10 s": "first leads", "number": number, "no rate": unsaid, "wrong": wrong},
        {
            "strips of 10 s": "noise alone",
            "number": len(of_noise),
            "no rate": of_noise.count(None),
            "wrong": len(of_noise) - of_noise.count(None),
        },
    ]


def _rate_of(samples: NDArray[np.generic], sampling_rate_hz: float) -> float | None:
    said = analyse_ecg(["first"], [samples], sampling_rate_hz=sampling_rate_hz, baseline=0.0)
    rate: float | None = said["insights"]["heart_rate"].get("mean_bpm")
    return rate


def print_tables() -> None:
    """By noise, by quality of the stretch, by confidence of the beat; and rates that are said."""
    all_trials = list(trials())
    rows = []
    for name in dict.fromkeys(trial.name for trial in all_trials):
        some = [trial for trial in all_trials if trial.name == name]
        rows.append(
            {
                "noise": name,
                "quality": f"{np.mean([trial.value for trial in some]):.2f}",
                **_rate(sum(t.errors.sum() for t in some), sum(t.beats.sum() for t in some)),
            }
        )
    print_table("Quality, by the noise that was mixed in (first lead)", rows)
    quality = np.concatenate([trial.quality for trial in all_trials])
    beats = np.concatenate([trial.beats for trial in all_trials])
    errors = np.concatenate([trial.errors for trial in all_trials])
    rows = []
    for low, high in itertools.pairwise(QUALITIES):
        inside = (quality >= low) & (quality < high)
        rate = _rate(errors[inside].sum(), beats[inside].sum())
        rows.append({"quality": f"{low:g} to {high:.3g}", "stretches": int(inside.sum()), **rate})
    print_table("Errors, by the quality of the stretch they are in", rows)
    confidence = np.concatenate([trial.confidence for trial in all_trials])
    right = np.concatenate([trial.is_right for trial in all_trials])
    rows = []
    for low, high in itertools.pairwise(CONFIDENCES):
        inside = (confidence >= low) & (confidence < high)
        share = f"{100 * right[inside].mean():.1f}" if inside.any() else ""
        rows.append(
            {
                "confidence": f"{low:g} to {high:.3g}",
                "found": int(inside.sum()),
                "of these beats %": share,
            }
        )
    print_table("Beats, by their confidence", rows)
    print_table("Heart rates: wrong is what is off by more than a tenth and 5 bpm", rates())


def _rate(errors: int, beats: int) -> dict[str, object]:
    share = f"{100 * errors / beats:.2f}" if beats else ""
    return {"beats": int(beats), "errors": int(errors), "errors in 100 beats": share}


if __name__ == "__main__":
    if records.DATA.is_dir():
        print_tables()
    else:
        print("Skipped: the reference recordings are not beside the checkout (../shared/data).")
