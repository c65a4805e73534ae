"""Beats, quality, intervals, rate and variability of an ECG whose beats are known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from shared.errors import NotComputable
from worker.analysis import analyse_ecg
from worker.insights import Recording, heart_rate, hrv, rr

RATE_HZ = 500.0
OF_ECG = ("beats", "heart_rate", "hrv", "rr")


def lead(
    peaks: NDArray[Any], size: int, *, height: float = 900.0, noise: float = 5.0
) -> NDArray[np.int16]:
    """A QRS of 80 ms at each peak, and some noise."""
    samples = np.random.default_rng(1).normal(0, noise, size)
    half = int(0.04 * RATE_HZ)
    wave = height * np.hanning(2 * half + 1)
    for peak in peaks:
        samples[peak - half : peak + half + 1] += wave
    return np.round(samples).astype(np.int16)


def every(seconds: float, beat_s: float) -> tuple[NDArray[Any], int]:
    step = round(beat_s * RATE_HZ)
    size = round(seconds * RATE_HZ)
    return np.arange(step // 2, size - step // 2, step), size


def analyse(*leads: NDArray[Any], sampling_rate_hz: float | None = RATE_HZ) -> dict[str, Any]:
    names = [str(n) for n in range(len(leads))]
    words: dict[str, Any] = {"sampling_rate_hz": sampling_rate_hz, "baseline": 0.0, "gain": 200.0}
    return analyse_ecg(names, list(leads), **words)


def test_all_is_said_of_a_clear_recording() -> None:
    peaks, size = every(90, 0.8)
    document = analyse(lead(peaks, size), lead(peaks, size, height=-600.0))

    for place in (document, *document["leads"]):
        beats = place["insights"]["beats"]
        assert beats["count"] == len(beats["samples"]) == peaks.size
        assert np.abs(np.array(beats["samples"]) - peaks).max() <= 0.02 * RATE_HZ
        assert 0.5 < beats["confidence"] <= 1
    said = document["insights"]
    assert said["rr"]["count"] == said["rr"]["accepted"] == peaks.size - 1
    assert said["rr"]["not_accepted"] == []
    assert said["rr"]["median_ms"] == pytest.approx(800, abs=4)
    assert said["heart_rate"]["mean_bpm"] == pytest.approx(75, abs=0.5)
    assert said["heart_rate"]["intervals"] == peaks.size - 1
    assert said["hrv"]["mean_nn_ms"] == pytest.approx(800, abs=1)
    assert said["hrv"]["no_spectrum"] == hrv.NO_SPECTRUM
    assert all(one["insights"]["quality"]["value"] > 0.5 for one in document["leads"])


def test_without_a_sampling_rate_nothing_of_beats_is_said_and_all_say_why() -> None:
    peaks, size = every(10, 0.8)
    document = analyse(lead(peaks, size), sampling_rate_hz=None)

    reason = "quality cannot be said: needs a sampling rate"
    for name in OF_ECG:
        assert document["insights"][name]["not_computable"] == reason
    of_lead = document["leads"][0]["insights"]
    assert of_lead["quality"]["not_computable"] == "needs a sampling rate"
    assert of_lead["amplitude"]["maximum_mv"] > 4
    assert of_lead["zero_crossings"]["count"] > 0


def test_a_flat_lead_has_no_beats_and_does_not_keep_the_others_from_theirs() -> None:
    peaks, size = every(10, 0.8)
    document = analyse(np.zeros(size, np.int16), lead(peaks, size), np.zeros(7, np.int16))

    flat, good, short = (one["insights"] for one in document["leads"])
    assert (flat["quality"]["value"], flat["quality"]["flat"]) == (0.0, 1.0)
    assert flat["beats"]["not_computable"] == "needs a lead whose quality allows to see beats"
    assert "two seconds" in short["quality"]["not_computable"]
    assert good["beats"]["samples"] == document["insights"]["beats"]["samples"]


def test_nothing_but_flat_leads_say_so_to_the_end() -> None:
    document = analyse(np.zeros(5_000, np.int16), np.full(5_000, 3, np.int16))

    assert "quality" in document["insights"]["beats"]["not_computable"]
    reason = document["insights"]["rr"]["not_computable"]
    assert reason == f"beats cannot be said: {document['insights']['beats']['not_computable']}"
    assert document["insights"]["hrv"]["not_computable"] == reason


def whole(needed: dict[str, Any], insight: Any, rate_hz: float = RATE_HZ) -> dict[str, Any]:
    said: dict[str, Any] = insight.compute(Recording("ecg", [], rate_hz), needed)
    return said


def of_beats(*samples: int, confidence: float = 1.0) -> dict[str, Any]:
    return {"ecg.beats": {"_samples": np.array(samples, np.int64), "confidence": confidence}}


@pytest.mark.parametrize("samples", [[], [7]])
def test_less_than_two_beats_have_no_interval(samples: list[int]) -> None:
    with pytest.raises(NotComputable, match="needs two beats"):
        whole(of_beats(*samples), rr)


def test_intervals_that_cannot_be_have_no_rate_and_no_variability() -> None:
    said = whole(of_beats(0, 5, 10_000), rr)
    assert (said["count"], said["accepted"], said["implausible"]) == (2, 0, 2)
    assert "median_ms" not in said
    assert said["not_accepted"] == [0, 1]
    with pytest.raises(NotComputable, match="200 to 3,000 ms"):
        whole({"ecg.rr": said}, heart_rate)
    with pytest.raises(NotComputable, match="60 s of accepted"):
        whole({"ecg.rr": said}, hrv)


def test_two_beats_have_a_rate() -> None:
    said = whole({"ecg.rr": whole(of_beats(100, 600), rr)}, heart_rate)
    assert said == {"mean_bpm": 60.0, "minimum_bpm": 60.0, "maximum_bpm": 60.0, "intervals": 1}


def test_variability_of_what_is_mostly_not_accepted_is_not_said() -> None:
    intervals = np.where(np.arange(300) % 5 < 2, 0.8, 9.0)
    needed = {"_intervals_s": intervals, "_accepted": intervals < 1}
    with pytest.raises(NotComputable, match="half of the intervals"):
        whole({"ecg.rr": needed}, hrv)


def test_five_minutes_have_a_spectrum() -> None:
    peaks, size = every(320, 0.75)
    said = analyse(lead(peaks, size))["insights"]["hrv"]
    assert said["windows"] == 1
    assert said["lf_ms2"] >= 0
    assert "no_spectrum" not in said


def test_a_slow_heart_has_no_high_frequencies_and_it_is_said_why() -> None:
    intervals = 1.4 + 0.05 * np.sin(np.arange(230))
    needed = {"_intervals_s": intervals, "_accepted": intervals > 0}
    said = whole({"ecg.rr": needed}, hrv)
    assert said["no_hf"] == hrv.NO_HF
    assert said["lf_ms2"] > 0
    assert not {"hf_ms2", "lf_hf", "no_spectrum"} & said.keys()
