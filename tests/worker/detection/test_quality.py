"""Quality falls with what spoils a recording, and says what that is and where."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.worker.detection.synthetic import as_counts, ecg, electrode_noise, hum, white_noise
from worker.detection.beats import Beats
from worker.detection.quality import Quality, assess_quality, credible
from worker.detection.readings import Reading, look_at
from worker.detection.traces import condition

LARGEST = float(np.finfo(np.float64).max)
REASONS = {"flat", "clipped", "disconnected", "noise", "mains"}


def reading_of(samples: NDArray[Any], sampling_rate_hz: float = 360) -> Reading:
    (reading,) = look_at(condition([samples], sampling_rate_hz))
    return reading


def quality_of(samples: NDArray[Any], sampling_rate_hz: float = 360) -> Quality:
    quality = reading_of(samples, sampling_rate_hz).quality
    assert 0 <= quality.value <= 1
    assert ((quality.by_stretch >= 0) & (quality.by_stretch <= 1)).all()
    seconds = samples.size / sampling_rate_hz
    assert quality.by_stretch.size == max(1, int(seconds / quality.stretch_s + 1e-6))
    assert set(quality.reasons) <= REASONS
    assert all(0 < share <= 1 for share in quality.reasons.values())
    return quality


def test_a_clean_lead_is_worth_all_and_nothing_is_wrong_with_it() -> None:
    one = ecg(70, 30)
    quality = quality_of(one.plus(white_noise(one, 0.01)).samples)
    assert quality.value > 0.8
    assert quality.reasons == {}
    assert quality.is_usable


@pytest.mark.parametrize("sampling_rate_hz", [100, 250, 360, 500, 1000])
def test_a_slow_clean_heart_is_not_a_fault(sampling_rate_hz: int) -> None:
    one = ecg(30, 30, sampling_rate_hz)
    quality = quality_of(one.plus(white_noise(one, 0.002)).samples, sampling_rate_hz)
    assert quality.value > 0.8
    assert quality.reasons == {}


def test_a_flat_lead_is_worth_nothing() -> None:
    for samples in (np.zeros(5000, np.int8), np.full(5000, LARGEST), np.full(5000, -(2**63))):
        quality = quality_of(samples)
        assert quality.value == 0
        assert quality.reasons == {"flat": 1.0}
        assert not quality.is_usable


def test_quality_is_known_by_stretches() -> None:
    one = ecg(70, 60)
    samples = one.samples + white_noise(one, 0.01)
    samples[21 * 360 : 30 * 360] = samples[21 * 360]
    quality = quality_of(samples)
    assert quality.by_stretch[:14].min() > 0.5
    assert quality.by_stretch[15:19].max() == 0
    assert quality.by_stretch[20:].min() > 0.5
    assert quality.reasons["flat"] == pytest.approx(0.15, abs=0.03)


def test_an_electrode_that_came_off_shows_next_to_nothing() -> None:
    one = ecg(70, 60)
    samples = one.samples.copy()
    samples[21 * 360 : 30 * 360] = 0
    quality = quality_of(samples + white_noise(one, 0.003))
    assert quality.by_stretch[15:19].max() == 0
    assert quality.reasons["disconnected"] == pytest.approx(0.15, abs=0.04)


@pytest.mark.parametrize("hiss", [0.003, 0.01, 0.02])
def test_an_electrode_that_stays_off_is_not_mistaken_for_noise(hiss: float) -> None:
    one = ecg(70, 120)
    samples = one.samples.copy()
    samples[30 * 360 : 90 * 360] = 0
    quality = quality_of(samples + white_noise(one, hiss))
    assert quality.by_stretch[21:59].max() == 0
    assert quality.by_stretch[:19].min() > 0.5
    assert quality.by_stretch[61:].min() > 0.5
    assert quality.reasons["disconnected"] == pytest.approx(0.5, abs=0.04)


@pytest.mark.parametrize("mains_hz", [50, 60])
def test_hum_has_its_name(mains_hz: int) -> None:
    one = ecg(70, 30, 500)
    quality = quality_of(one.plus(hum(one, 0.4, mains_hz)).samples, 500)
    assert quality.reasons["mains"] == 1
    assert quality.value < 0.7
    assert quality.is_usable
    assert "mains" not in quality_of(one.plus(hum(one, 0.4, 33)).samples, 500).reasons


@pytest.mark.parametrize("sampling_rate_hz", [250, 500, 1000])
@pytest.mark.parametrize("mains_hz", [50, 60])
def test_beats_are_seen_through_hum_three_times_as_high(
    sampling_rate_hz: int, mains_hz: int
) -> None:
    one = ecg(70, 30, sampling_rate_hz)
    hums = [one.plus(hum(one, height, mains_hz)).samples for height in (0.3, 1, 3, 10)]
    qualities = [quality_of(samples, sampling_rate_hz) for samples in hums]
    assert qualities[2].is_usable
    values = [quality.value for quality in qualities]
    assert values == sorted(values, reverse=True)


def test_hum_alone_is_worth_nothing() -> None:
    for height in (0.001, 1, 1000):
        assert not quality_of(hum(ecg(70, 30), height)).is_usable


def test_what_is_found_in_the_hum_of_an_open_lead_is_no_beat() -> None:
    one = ecg(70, 60)
    samples = one.plus(white_noise(one, 0.01)).samples
    samples[30 * 360 :] = hum(one, 1.0)[30 * 360 :]
    reading = reading_of(samples)
    found = reading.beats
    assert found is not None
    said = credible(found, reading.trace, reading.quality).samples
    before = found.samples < 30 * 360
    # The hum is as regular as a heart.
    assert (~before).sum() > 50
    assert said[said < 30 * 360].tolist() == found.samples[before].tolist()
    # Where the lead comes off, a stretch is half of either; and hum that is cut off is a step.
    assert ((said > 33 * 360) & (said < 57 * 360)).sum() == 0


def test_rails_that_are_reached_again_and_again_are_clipping() -> None:
    one = ecg(70, 30)
    counts = as_counts(one.samples.clip(-0.1, 0.4))
    quality = quality_of(counts)
    assert quality.reasons["clipped"] > 0.5
    assert "clipped" not in quality_of(as_counts(one.plus(white_noise(one, 0.01)).samples)).reasons


def test_noise_alone_is_worth_next_to_nothing() -> None:
    for seed in range(5):
        noise = np.random.default_rng(seed).normal(size=60 * 360)
        quality = quality_of(noise)
        assert quality.value < 0.4
        assert quality.reasons["noise"] > 0.5


@pytest.mark.parametrize("kind", ["electrode", "white"])
def test_more_noise_makes_less_quality(kind: str) -> None:
    one = ecg(70, 60)
    values = []
    for level in range(6):
        if kind == "electrode":
            noise = electrode_noise(one, (30, 18, 6, 0, -6, -12)[level])
        else:
            noise = white_noise(one, (0.01, 0.05, 0.1, 0.2, 0.4, 0.8)[level])
        values.append(quality_of(one.plus(noise).samples).value)
    assert values == sorted(values, reverse=True)
    assert values[0] > 0.8
    assert values[-1] < 0.5


def test_a_sample_more_or_less_makes_no_stretch_without_faults() -> None:
    samples = ecg(70, 10, 500).samples
    for size in range(1480, 1520):
        quality_of(samples[:size], 500)


@pytest.mark.parametrize("sampling_rate_hz", [100.0, 257.3, 1000.0])
def test_no_samples_are_too_ugly(sampling_rate_hz: float) -> None:
    for samples in (
        np.array([LARGEST, -LARGEST, 5e-324, 0.0] * 500),
        np.array([-(2**63), 2**63 - 1] * 1000),
        np.eye(1, 2000, 1000)[0],
        np.repeat(np.array([0, 100], np.int16), 1000),
        np.arange(2100.0),
    ):
        quality_of(samples, sampling_rate_hz)


@pytest.mark.parametrize("rail", [1.4, -0.6])
def test_whole_moments_at_the_rail_are_clipped_and_not_flat(rail: float) -> None:
    one = ecg(70, 30, 500)
    samples = one.plus(white_noise(one, 0.01)).samples
    begins_s = np.arange(3.0, 28.0, 5.0)
    for begin_s in begins_s:
        samples[round(begin_s * 500) : round((begin_s + 1.75) * 500)] = rail
    reasons = quality_of(as_counts(samples), 500).reasons
    assert "flat" not in reasons
    assert reasons["clipped"] > 0.3
    samples[5000:7500] = rail
    assert quality_of(as_counts(samples), 500).reasons["flat"] == pytest.approx(1 / 6, abs=0.07)


def test_quality_is_what_is_quiet_and_sure_squared_less_what_is_clipped() -> None:
    one = ecg(70, 30)
    reading = reading_of(one.plus(white_noise(one, 0.01)).samples)
    trace, beats, whole = reading.trace, reading.beats, reading.quality.by_stretch
    assert beats is not None
    (less_sure,) = assess_quality(trace, [Beats(beats.samples, beats.confidence / 2)])
    assert less_sure.by_stretch == pytest.approx(whole / 4)
    clipped = replace(trace.faults, clipped=np.full((1, whole.size), 0.5, np.float32))
    (at_the_rail,) = assess_quality(replace(trace, faults=clipped), [beats])
    assert at_the_rail.by_stretch == pytest.approx(0.75 * whole)
    assert at_the_rail.reasons == {"clipped": 1.0}
