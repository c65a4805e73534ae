"""The beats of synthetic leads are found: all, none more, and within 10 ms."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from shared.errors import NotComputable
from tests.worker.detection.synthetic import (
    Ecg,
    add_wave,
    as_counts,
    ecg,
    electrode_noise,
    errors,
    hum,
    wander,
    white_noise,
)
from worker.detection.beats import Beats, find_beats
from worker.detection.traces import condition

LARGEST = float(np.finfo(np.float64).max)
RATES_HZ = (100, 128, 250, 360, 500, 1000)


def beats_in(samples: NDArray[Any], sampling_rate_hz: float) -> Beats:
    (beats,) = find_beats(condition([samples], sampling_rate_hz))
    assert beats is not None
    assert beats.samples.dtype == np.int64
    assert beats.confidence.shape == beats.samples.shape
    assert np.isfinite(beats.confidence).all()
    assert ((beats.confidence >= 0) & (beats.confidence <= 1)).all()
    assert (np.diff(beats.samples) > 0).all()
    assert ((beats.samples >= 0) & (beats.samples < samples.size)).all()
    return beats


def assert_all_found(of: Ecg, samples: NDArray[Any] | None = None) -> None:
    found = beats_in(of.samples if samples is None else samples, of.sampling_rate_hz)
    missed, invented, off_s = errors(found.samples, of)
    assert (missed, invented) == (0, 0)
    assert off_s.max() <= 0.010


@settings(max_examples=40, deadline=None)
@given(
    rate_bpm=st.floats(30, 220),
    sampling_rate_hz=st.sampled_from(RATES_HZ),
    seconds=st.floats(6, 40),
    paced=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_clean_beats_are_found_at_every_rate(
    rate_bpm: float, sampling_rate_hz: int, seconds: float, paced: bool, seed: int
) -> None:
    assert_all_found(ecg(rate_bpm, seconds, sampling_rate_hz, paced=paced, seed=seed))


@settings(max_examples=30, deadline=None)
@given(
    rate_bpm=st.floats(45, 110),
    ectopics=st.lists(st.integers(4, 40), max_size=8, unique=True),
    sampling_rate_hz=st.sampled_from(RATES_HZ),
    seed=st.integers(0, 1000),
)
def test_ectopic_beats_are_beats(
    rate_bpm: float, ectopics: list[int], sampling_rate_hz: int, seed: int
) -> None:
    # Two in a row come as a couplet of their own; here each has an ordinary beat behind it.
    apart = [number for number in ectopics if number - 1 not in ectopics]
    assert_all_found(ecg(rate_bpm, 30, sampling_rate_hz, ectopics=apart, seed=seed))


@settings(max_examples=30, deadline=None)
@given(
    gain=st.floats(1e-6, 1e6),
    offset=st.floats(-1e4, 1e4),
    upside_down=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_gain_offset_and_polarity_change_nothing(
    gain: float, offset: float, upside_down: bool, seed: int
) -> None:
    one = ecg(72, 20, seed=seed)
    one = one.plus(white_noise(one, 0.02))
    expected = beats_in(one.samples, 360)
    scaled = (one.samples + offset) * (-gain if upside_down else gain)
    found = beats_in(scaled, 360)
    assert found.samples.size == expected.samples.size
    # Offsets of thousands of beats' heights cost digits.
    assert np.abs(found.samples - expected.samples).max() <= 1


@pytest.mark.parametrize("dtype", [np.int16, np.int32, np.int64, np.float64])
@pytest.mark.parametrize("offset", [0, 1024, -8000])
def test_the_type_of_the_samples_changes_nothing(dtype: Any, offset: int) -> None:
    one = ecg(80, 20)
    assert_all_found(one, as_counts(one.samples, dtype, 200, offset))


def test_eight_bits_are_enough() -> None:
    one = ecg(80, 20)
    assert_all_found(one, as_counts(one.samples, np.int8, 100))


def test_a_small_signal_on_the_largest_offset_of_an_integer_is_seen() -> None:
    one = ecg(80, 20)
    assert_all_found(one, as_counts(one.samples, np.int64, 200) + (2**63 - 1_000))


@settings(max_examples=15, deadline=None)
@given(rate_bpm=st.floats(40, 180), seed=st.integers(0, 1000), noisy=st.booleans())
def test_the_sampling_rate_changes_no_beat_by_more_than_10_ms(
    rate_bpm: float, seed: int, noisy: bool
) -> None:
    fine = ecg(rate_bpm, 20, 1000, seed=seed)
    if noisy:
        # Nothing that a lower rate could not show.
        fine = fine.plus(electrode_noise(fine, 18, seed))
    times_s = np.arange(20 * 1000) / 1000
    expected_s = beats_in(fine.samples, 1000).samples / 1000
    for sampling_rate_hz in (250, 360, 500):
        at_s = np.arange(20 * sampling_rate_hz) / sampling_rate_hz
        coarse = np.interp(at_s, times_s, fine.samples)
        found_s = beats_in(coarse, sampling_rate_hz).samples / sampling_rate_hz
        off_s = np.abs(found_s[:, None] - expected_s)
        assert (off_s.min(axis=1)[(found_s > 0.2) & (found_s < 19.8)] <= 0.010).all()
        assert (off_s.min(axis=0)[(expected_s > 0.2) & (expected_s < 19.8)] <= 0.010).all()


@pytest.mark.parametrize("sampling_rate_hz", RATES_HZ)
def test_wander_hum_and_muscles_do_not_matter(sampling_rate_hz: int) -> None:
    one = ecg(75, 30, sampling_rate_hz)
    for mains_hz in (50, 60):
        if mains_hz < sampling_rate_hz / 2:
            assert_all_found(one.plus(wander(one, 1.5) + hum(one, 0.3, mains_hz)))
    assert_all_found(one.plus(white_noise(one, 0.05)))


def test_a_lead_of_a_twentieth_of_a_millivolt_has_beats_too() -> None:
    one = ecg(75, 30)
    small = as_counts(one.samples * 0.05, np.int16, 1000)
    assert_all_found(one, small)


@pytest.mark.parametrize("kind", ["electrode", "white"])
def test_more_noise_makes_more_errors(kind: str) -> None:
    totals = []
    for level in range(5):
        total = 0
        for seed in range(3):
            one = ecg(70, 60, seed=seed)
            if kind == "electrode":
                noise = electrode_noise(one, (24, 6, -3, -9, -15)[level], seed)
            else:
                noise = white_noise(one, (0.02, 0.2, 0.4, 0.8, 1.6)[level], seed)
            missed, invented, _ = errors(beats_in(one.plus(noise).samples, 360).samples, one)
            total += missed + invented
        totals.append(total)
    assert totals[0] == 0
    assert totals == sorted(totals)
    assert totals[-1] > 50


def test_a_flat_stretch_hides_its_own_beats_and_no_others() -> None:
    one = ecg(70, 60)
    samples = one.samples + white_noise(one, 0.01)
    samples[20 * 360 : 30 * 360] = samples[20 * 360]
    found_s = beats_in(samples, 360).samples / 360
    for begin_s, end_s in ((0, 19.8), (30.2, 60)):
        due = ((one.beats_s > begin_s + 0.15) & (one.beats_s < end_s - 0.15)).sum()
        inside = (found_s > begin_s + 0.15) & (found_s < end_s - 0.15)
        assert inside.sum() == due
    assert ((found_s > 20.2) & (found_s < 29.8)).sum() == 0


@pytest.mark.parametrize("rail", [5.0, -10.0])
def test_two_seconds_off_scale_hide_no_other_beat_of_a_short_strip(rail: float) -> None:
    for rate_bpm in (50, 75, 110):
        one = ecg(rate_bpm, 10, 500)
        samples = one.plus(white_noise(one, 0.01)).samples
        samples[4 * 500 : 6 * 500] = rail
        found_s = beats_in(samples, 500).samples / 500
        for begin_s, end_s in ((0.15, 3.75), (6.25, 9.85)):
            due = ((one.beats_s > begin_s) & (one.beats_s < end_s)).sum()
            assert ((found_s > begin_s) & (found_s < end_s)).sum() == due


def test_a_lead_whose_gain_is_changed_keeps_its_beats() -> None:
    for seed in range(3):
        one = ecg(60, 10, 500, seed=seed)
        samples = one.samples.copy()
        samples[2500:] *= 5
        assert_all_found(one, samples + white_noise(one, 0.01))


def test_a_single_monstrous_sample_hides_no_beat() -> None:
    one = ecg(70, 30)
    for monster in (1e3, LARGEST, -LARGEST):
        samples = one.samples.copy()
        samples[15 * 360] = monster
        missed, invented, _ = errors(beats_in(samples, 360).samples, one)
        assert missed <= 1
        assert invented <= 1


UGLY: dict[str, NDArray[Any]] = {
    "largest and smallest": np.array([LARGEST, -LARGEST, 5e-324, -5e-324, 0.0] * 400),
    "only the largest": np.array([LARGEST, -LARGEST] * 1000),
    "the smallest": np.array([5e-324, 0.0] * 1000),
    "half of them the smallest": np.array([1e-323, 0.0] * 1000),
    "noise": np.random.default_rng(3).integers(-500, 500, 5_000, np.int16),
    "one step": np.repeat(np.array([0, 100], np.int16), 1000),
    "one impulse": np.eye(1, 2000, 1000)[0],
    "a ramp": np.arange(5000.0),
    "a sine": np.sin(np.arange(5000) / 10),
    **{
        f"extremes of int{bits}": np.array(
            [-(2 ** (bits - 1)), 2 ** (bits - 1) - 1, 0] * 1000, f"int{bits}"
        )
        for bits in (8, 16, 32, 64)
    },
}


@pytest.mark.parametrize("sampling_rate_hz", [100.0, 257.3, 360.0, 1000.0])
@pytest.mark.parametrize("samples", UGLY.values(), ids=UGLY.keys())
def test_whatever_the_samples_are_the_answer_is_sane(
    samples: NDArray[Any], sampling_rate_hz: float
) -> None:
    samples = samples.copy()
    samples.flags.writeable = False
    beats_in(samples, sampling_rate_hz)


@pytest.mark.parametrize(
    ("samples", "sampling_rate_hz", "reason"),
    [
        (np.ones(5000), None, "sampling rate"),
        (np.ones(5000), 99.9, "100"),
        (np.ones(50_000), 10_001, "10,000"),
        (np.ones(5000), float("nan"), "100"),
        (np.zeros(0), 500, "two seconds"),
        (np.ones(1), 500, "two seconds"),
        (np.arange(999), 500, "two seconds"),
    ],
)
def test_what_cannot_be_said_is_refused(
    samples: NDArray[Any], sampling_rate_hz: float | None, reason: str
) -> None:
    with pytest.raises(NotComputable, match=reason):
        condition([samples], sampling_rate_hz)


@pytest.mark.parametrize(
    "samples", [np.zeros(5000, np.int8), np.full(5000, LARGEST), np.full(5000, -(2**63))]
)
def test_a_flat_lead_has_no_beats(samples: NDArray[Any]) -> None:
    assert find_beats(condition([samples], 500)) == [None]


def test_two_seconds_are_enough() -> None:
    one = ecg(100, 2, 500)
    missed, invented, _ = errors(beats_in(one.samples, 500).samples, one)
    assert (missed, invented) == (0, 0)


def test_where_there_is_noise_confidence_falls() -> None:
    one = ecg(70, 60)
    noise = electrode_noise(one, -6)
    noise[: 30 * 360] = 0
    beats = beats_in(one.plus(noise).samples, 360)
    quiet = beats.samples < 29 * 360
    assert beats.confidence[quiet].mean() > beats.confidence[~quiet].mean() + 0.02
    assert beats.confidence[quiet].mean() > 0.95


@pytest.mark.parametrize("rate_bpm", [30, 40, 70])
def test_p_waves_without_a_qrs_are_no_beats_however_long_the_pause(rate_bpm: float) -> None:
    whole = ecg(rate_bpm, 60, variability=0)
    samples = whole.samples.copy()
    pause = slice(round((whole.beats_s[8] + 0.6) * 360), round((whole.beats_s[8] + 6.6) * 360))
    samples[pause] = 0
    for at_s in np.arange(pause.start / 360 + 0.2, pause.stop / 360 - 0.2, 0.8):
        add_wave(samples, 360, at_s, 0.022, 0.2)
    begin_s, end_s = pause.start / 360, pause.stop / 360
    left = whole.beats_s[(whole.beats_s < begin_s) | (whole.beats_s > end_s + 0.1)]
    cut_off = (whole.beats_s > end_s) & (whole.beats_s <= end_s + 0.1)
    paused = Ecg(samples, 360, left)
    found = beats_in(paused.plus(white_noise(paused, 0.01)).samples, 360)
    missed, invented, _ = errors(found.samples, paused)
    assert missed == 0
    assert invented <= cut_off.sum()


@pytest.mark.parametrize("sampling_rate_hz", [500, 1000])
@pytest.mark.parametrize(("millivolts", "milliseconds"), [(40, 0.5), (25, 1), (6, 2)])
def test_the_spikes_of_a_pacemaker_are_neither_beats_nor_r_peaks(
    millivolts: float, milliseconds: float, sampling_rate_hz: int
) -> None:
    one = ecg(70, 30, sampling_rate_hz, paced=True)
    samples = one.samples + white_noise(one, 0.01)
    # Before the atria, before the ventricles, and in vain.
    in_vain_s = one.beats_s[2::3] + 0.45
    for at_s in (*(one.beats_s - 0.2), *(one.beats_s - 0.05), *in_vain_s):
        begin = round(at_s * sampling_rate_hz)
        width = max(1, round(milliseconds / 1000 * sampling_rate_hz))
        # What is shorter than a sample is lower by as much.
        share = min(1.0, milliseconds / 1000 * sampling_rate_hz)
        samples[max(0, begin) : begin + width] += millivolts * share
    assert_all_found(one, samples)
