"""A pause near either end of a short strip hides no beat on its other side."""

from __future__ import annotations

import numpy as np
import pytest

from tests.worker.detection.synthetic import as_counts, ecg_at, errors, white_noise
from worker.analysis import analyse_ecg

SECONDS, RATE_HZ = 10, 500
GAINS = (1.0, 0.7, -0.5, 0.3)


@pytest.mark.parametrize("leads", [1, 12])
@pytest.mark.parametrize("is_at_the_end", [True, False])
@pytest.mark.parametrize(
    ("quick_bpm", "pause_s", "slow_bpm", "number"),
    [(180, 1.3, 50, 3), (180, 1.8, 50, 3), (180, 2.3, 40, 2), (150, 1.9, 45, 3), (200, 2.0, 60, 1)],
)
def test_beats_beyond_a_pause_are_found(
    quick_bpm: float, pause_s: float, slow_bpm: float, number: int, is_at_the_end: bool, leads: int
) -> None:
    # From the end on, back to the beginning.
    slow_s = SECONDS - 0.5 - 60 / slow_bpm * np.arange(number)
    quick_s = np.arange(slow_s[-1] - pause_s, 0.3, -60 / quick_bpm)
    beats_s = np.sort(np.concatenate([slow_s, quick_s]))
    if not is_at_the_end:
        beats_s = SECONDS - beats_s[::-1]
    one = ecg_at(beats_s.tolist(), SECONDS, RATE_HZ)
    samples = [
        as_counts(one.samples * GAINS[n % len(GAINS)] + white_noise(one, 0.01, n))
        for n in range(leads)
    ]
    names = [str(n) for n in range(leads)]
    said = analyse_ecg(names, samples, sampling_rate_hz=RATE_HZ, baseline=0.0)["insights"]
    missed, invented, _ = errors(np.array(said["beats"]["samples"]), one)
    assert (missed, invented) == (0, 0)
    mean_bpm = 60 * (beats_s.size - 1) / (beats_s[-1] - beats_s[0])
    assert said["heart_rate"]["mean_bpm"] == pytest.approx(mean_bpm, rel=0.01)
