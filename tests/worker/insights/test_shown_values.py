"""What rr, heart rate, variability and quality show is what they were given, and no guess."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from shared.errors import NotComputable
from tests.worker.detection.synthetic import (
    Ecg,
    add_wave,
    as_counts,
    ecg,
    electrode_noise,
    white_noise,
)
from worker.analysis import analyse_ecg
from worker.insights import Recording, heart_rate, hrv, rr
from worker.intervals import time_domain

RATE_HZ = 500.0


def of_beats(samples: Any, confidence: float = 1.0) -> dict[str, Any]:
    beats = {"_samples": np.asarray(samples, np.int64), "confidence": confidence}
    return rr.compute(Recording("ecg", [], RATE_HZ), {"ecg.beats": beats})


def of_intervals(intervals_s: Any, accepted: Any) -> dict[str, Any]:
    needed = {"_intervals_s": np.asarray(intervals_s, float), "_accepted": np.asarray(accepted)}
    return hrv.compute(Recording("ecg", [], RATE_HZ), {"ecg.rr": needed})


def analyse(*leads: Any, sampling_rate_hz: float = RATE_HZ) -> dict[str, Any]:
    names = [str(n) for n in range(len(leads))]
    return analyse_ecg(names, list(leads), sampling_rate_hz=sampling_rate_hz, baseline=0.0)


def test_intervals_are_shown_in_milliseconds_with_what_is_wrong_with_which() -> None:
    steps = [400] * 10 + [250, 550] + [400] * 10 + [1800] + [380] * 3 + [60]
    said = of_beats(np.cumsum([7, *steps]))
    assert said["intervals_ms"] == [2.0 * step for step in steps]
    # An early beat with its pause deviates; 3.6 s and 0.12 s cannot be.
    assert said["not_accepted"] == [10, 11, 22, 26]
    assert (said["count"], said["accepted"]) == (27, 23)
    assert (said["implausible"], said["deviating"]) == (2, 2)


def test_the_median_is_that_of_the_accepted_intervals() -> None:
    steps = [400, 400, 420, 1600, 1600, 420, 430, 1600, 1600]
    said = of_beats(np.cumsum([0, *steps]))
    assert said["not_accepted"] == [3, 4, 7, 8]
    assert said["median_ms"] == 840.0
    assert float(np.median(said["intervals_ms"])) == 860.0


def test_variability_is_that_of_the_accepted_intervals() -> None:
    random = np.random.default_rng(1)
    intervals = random.normal(0.8, 0.03, 120)
    accepted = np.ones(120, np.bool_)
    accepted[[17, 60, 61]] = False
    intervals[~accepted] = 1.5
    said = of_intervals(intervals, accepted)
    assert said["nn_s"] == pytest.approx(intervals[accepted].sum())
    assert said.items() >= time_domain(intervals, accepted).items()
    assert said["mean_nn_ms"] == pytest.approx(1e3 * intervals[accepted].mean())
    assert said["sdnn_ms"] < 40 < 1e3 * intervals.std(ddof=1)


def test_variability_needs_a_minute_of_accepted_intervals() -> None:
    assert of_intervals(np.full(80, 0.75), np.ones(80, np.bool_))["nn_s"] == pytest.approx(60)
    accepted = np.arange(80) > 0
    with pytest.raises(NotComputable, match="60 s of accepted"):
        of_intervals(np.full(80, 0.75), accepted)


def test_intervals_of_beats_that_are_hardly_sure_are_borne_out_by_their_rhythm() -> None:
    steady = np.cumsum([0, *[400] * 5])
    assert of_beats(steady, 0.55)["accepted"] == 5
    uneven = np.cumsum([0, *[400] * 5, 900])
    assert of_beats(uneven, 0.8)["accepted"] == 5
    for samples in (steady[:5], uneven):
        with pytest.raises(NotComputable, match="surer"):
            of_beats(samples, 0.79)


def test_a_few_intervals_here_and_there_are_no_rate() -> None:
    def rate(*steps: int) -> dict[str, Any]:
        said = of_beats(np.cumsum([0, *steps]))
        return heart_rate.compute(Recording("ecg", [], RATE_HZ), {"ecg.rr": said})

    assert rate(400, 2000, 400)["intervals"] == 2
    with pytest.raises(NotComputable, match="cover a quarter"):
        rate(286, 2714)


def test_of_noise_alone_hardly_ever_anything_is_said() -> None:
    said = 0
    for seed in range(20):
        noise = electrode_noise(ecg(70, 10, seed=seed), 0, seed)
        insights = analyse(as_counts(noise), sampling_rate_hz=360)["insights"]
        assert ("mean_bpm" in insights["heart_rate"]) == ("intervals_ms" in insights["rr"])
        said += "mean_bpm" in insights["heart_rate"]
    assert said <= 1
    for seed in range(3):
        noise = np.random.default_rng(seed).normal(0, 0.3, 300 * 360)
        insights = analyse(as_counts(noise), sampling_rate_hz=360)["insights"]
        assert all("not_computable" in insights[name] for name in ("heart_rate", "rr", "hrv"))


def test_wide_beats_that_hardly_stand_out_have_their_rate() -> None:
    beats_s = np.arange(0.3, 10, 0.375)
    samples = np.zeros(5000)
    for at_s in beats_s:
        add_wave(samples, RATE_HZ, at_s, 0.05, 1.5)
        add_wave(samples, RATE_HZ, at_s + 0.14, 0.06, -1.0)
    one = Ecg(samples, RATE_HZ, beats_s)
    said = analyse(as_counts(one.plus(white_noise(one, 0.01)).samples))
    assert said["leads"][0]["insights"]["quality"]["value"] < 0.2
    assert said["insights"]["heart_rate"]["mean_bpm"] == pytest.approx(160, rel=0.01)


def test_where_a_lead_is_worth_nothing_what_is_hardly_sure_is_not_shown() -> None:
    one = ecg(70, 60)
    samples = one.plus(white_noise(one, 0.01)).samples
    hum = 1.0 * np.sin(2 * np.pi * 50 * one.times_s)
    samples[30 * 360 :] = hum[30 * 360 :]
    document = analyse(as_counts(samples), sampling_rate_hz=360)
    for place in (document, document["leads"][0]):
        shown = np.array(place["insights"]["beats"]["samples"])
        assert ((shown > 33 * 360) & (shown < 57 * 360)).sum() == 0
