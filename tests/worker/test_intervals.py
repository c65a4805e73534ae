"""Rates and variability are what a slow look finds, on intervals that are known."""

from __future__ import annotations

import math
import statistics
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.intervals import (
    HF_HZ,
    LF_HZ,
    Mask,
    Seconds,
    accept,
    frequency_domain,
    heart_rates,
    plausible,
    time_domain,
)

any_intervals = st.lists(st.floats(0.0, 5.0), max_size=120)
good_intervals = st.lists(st.floats(0.6, 1.1), min_size=4, max_size=120)


def all_of(intervals: Seconds) -> Mask:
    return np.ones(intervals.size, np.bool_)


def accept_slowly(intervals: list[float]) -> list[bool]:
    candidates = [one for one in intervals if 0.2 <= one <= 3.0]
    # Mirrored often enough, at either end.
    mirrored = (candidates[::-1] + candidates) * 41 + candidates[::-1]
    verdicts = []
    place = 41 * len(candidates)
    for one in intervals:
        if not 0.2 <= one <= 3.0:
            verdicts.append(False)
            continue
        others = mirrored[place - 20 : place] + mirrored[place + 1 : place + 21]
        median = statistics.median(others)
        verdicts.append(abs(one - median) <= 0.2 * median)
        place += 1
    return verdicts


@settings(deadline=None)
@given(any_intervals)
def test_what_is_accepted_is_what_a_slow_look_accepts(intervals: list[float]) -> None:
    assert accept(np.array(intervals, np.float64)).tolist() == accept_slowly(intervals)


def test_of_two_kinds_that_take_turns_none_is_the_measure_of_itself() -> None:
    intervals = np.array([0.5, 1.1] * 40)
    assert not accept(intervals).any()


def test_steps_of_fifty_milliseconds_exactly_are_not_more() -> None:
    # 18 samples at 360 Hz, as differences of R peaks in whole samples.
    peaks = np.cumsum([0, *([290, 308] * 200)])
    intervals = np.diff(peaks / 360.0)
    assert time_domain(intervals, all_of(intervals))["pnn50_percent"] == 0.0
    wider = np.diff(np.cumsum([0, *([290, 309] * 200)]) / 360.0)
    assert time_domain(wider, all_of(wider))["pnn50_percent"] > 99.0


@pytest.mark.parametrize(("seconds", "windows"), [(290, 0), (300, 1), (600, 2), (900, 3)])
def test_five_minutes_of_a_recording_are_a_window(seconds: int, windows: int) -> None:
    # Its first beat comes after its beginning, and its last before its end.
    intervals = np.full(int(seconds / 0.8) - 1, 0.8)
    intervals += 0.02 * np.sin(np.arange(intervals.size))
    found = frequency_domain(intervals, all_of(intervals))
    assert (found["windows"] if found else 0) == windows


def test_an_early_beat_and_the_pause_after_it_are_left_out_and_nothing_else() -> None:
    intervals = np.full(60, 0.8)
    intervals[30:32] = 0.5, 1.1
    assert np.flatnonzero(~accept(intervals)).tolist() == [30, 31]


def test_a_step_of_the_rate_is_followed() -> None:
    intervals = np.repeat([1.0, 0.7], 100)
    assert accept(intervals).all()


def test_what_no_heart_does_is_not_plausible() -> None:
    assert plausible(np.array([0.0, 0.19, 0.2, 1.0, 3.0, 3.1])).tolist() == [
        *(False, False, True, True, True, False)
    ]


@settings(deadline=None)
@given(any_intervals)
def test_rates_are_those_of_a_slow_look(intervals: list[float]) -> None:
    good = [one for one in intervals if 0.2 <= one <= 3.0]
    rates = heart_rates(np.array(intervals, np.float64))
    if not good:
        assert rates is None
        return
    mean = 60 / statistics.fmean(good)
    windows = [intervals[n : n + 8] for n in range(len(intervals) - 7)]
    whole = [60 / statistics.fmean(w) for w in windows if all(0.2 <= one <= 3.0 for one in w)]
    assert rates == pytest.approx((mean, min([*whole, mean]), max([*whole, mean])))
    assert rates[1] <= rates[0] <= rates[2]


def test_the_mean_lies_between_the_extremes_where_the_ends_are_slowest() -> None:
    rates = heart_rates(np.array([3.0, *([0.5] * 7), 3.0]))
    assert rates is not None
    mean, lowest, highest = rates
    assert mean == lowest == pytest.approx(60 * 9 / 9.5)
    assert highest == pytest.approx(60 * 8 / 6.5)


def time_domain_slowly(nn: list[list[float]]) -> dict[str, float]:
    """As the Task Force's table 1 and the Poincaré plot say it, in ms, run by run."""
    every = [one for run in nn for one in run]
    pairs = [pair for run in nn for pair in pairwise(run)]
    return {
        "mean_nn_ms": statistics.fmean(every),
        "sdnn_ms": statistics.stdev(every),
        "rmssd_ms": math.sqrt(statistics.fmean([(b - a) ** 2 for a, b in pairs])),
        "pnn50_percent": 100 * sum(abs(b - a) > 50 for a, b in pairs) / len(every),
        "sd1_ms": statistics.stdev([(b - a) / math.sqrt(2) for a, b in pairs]),
        "sd2_ms": statistics.stdev([(b + a) / math.sqrt(2) for a, b in pairs]),
    }


@settings(deadline=None)
@given(good_intervals)
def test_variability_is_what_the_definitions_say(intervals: list[float]) -> None:
    given_s = np.array(intervals)
    said = time_domain(given_s, all_of(given_s))
    assert said == pytest.approx(time_domain_slowly([[1e3 * one for one in intervals]]), abs=1e-6)


@settings(deadline=None)
@given(st.lists(good_intervals, min_size=2, max_size=5))
def test_no_difference_reaches_over_what_is_not_accepted(runs: list[list[float]]) -> None:
    intervals = np.array([one for run in runs for one in [*run, 9.0]])
    said = time_domain(intervals, plausible(intervals))
    expected = time_domain_slowly([[1e3 * one for one in run] for run in runs])
    assert said == pytest.approx(expected, abs=1e-6)


def beating(seconds: float, **waves: float) -> Seconds:
    """Intervals about 0.8 s that swing by so many ms at each of these frequencies, in mHz."""
    intervals, at = [], 0.0
    while at < seconds:
        swing = sum(a * math.sin(2 * math.pi * int(mhz[1:]) / 1e3 * at) for mhz, a in waves.items())
        intervals.append(0.8 + swing / 1e3)
        at += intervals[-1]
    return np.array(intervals)


def test_a_wave_has_its_power_in_its_band() -> None:
    intervals = beating(610, f100=20.0, f250=30.0)
    said = frequency_domain(intervals, all_of(intervals))
    assert said is not None
    assert said["windows"] == 2
    assert said["lf_ms2"] == pytest.approx(20**2 / 2, rel=0.1)
    assert said["hf_ms2"] == pytest.approx(30**2 / 2, rel=0.1)
    assert said["lf_hf"] == said["lf_ms2"] / said["hf_ms2"]


def slow_beating(seconds: float, beat_s: float) -> Seconds:
    return beating(seconds, f100=20.0, f250=30.0) + (beat_s - 0.8)


def test_what_is_quicker_than_half_the_rate_is_not_said() -> None:
    slow = slow_beating(305, 1.27)
    said = frequency_domain(slow, all_of(slow))
    assert said is not None
    assert said.keys() == {"lf_ms2", "windows"}
    quick = slow_beating(305, 1.23)
    said = frequency_domain(quick, all_of(quick))
    assert said is not None
    assert said.keys() == {"lf_ms2", "windows", "hf_ms2", "lf_hf", "hf_windows"}


def test_high_frequencies_are_those_of_the_windows_that_can_tell_them() -> None:
    quick = beating(300, f100=20.0, f250=30.0)
    alone = frequency_domain(quick, all_of(quick))
    both = np.concatenate([quick, slow_beating(250, 1.3)])
    said = frequency_domain(both, all_of(both))
    assert alone is not None
    assert said is not None
    assert (said["windows"], said["hf_windows"]) == (2, 1)
    assert said["lf_ms2"] != alone["lf_ms2"]
    for name in ("hf_ms2", "lf_hf"):
        assert said[name] == pytest.approx(alone[name])


def power_slowly(ends_s: list[float], nn_ms: list[float], hz: float) -> float:
    """The power of the sine and cosine that fit best, by least squares."""
    t = np.array(ends_s)
    waves = np.stack([np.cos(2 * np.pi * hz * t), np.sin(2 * np.pi * hz * t)], axis=1)
    y = np.array(nn_ms) - statistics.fmean(nn_ms)
    fit, *_ = np.linalg.lstsq(waves, y, rcond=None)
    # What Lomb calls power: by how much the fit lessens the sum of squares, over n.
    return float((waves @ fit) @ y) / t.size


def test_the_spectrum_is_that_of_a_fit_by_least_squares() -> None:
    rng = np.random.default_rng(5)
    intervals = beating(301, f90=25.0, f300=15.0)
    intervals += rng.normal(0, 0.01, intervals.size)
    accepted = rng.random(intervals.size) > 0.05
    said = frequency_domain(intervals, accepted)
    assert said is not None
    inside = np.cumsum(intervals) < 300
    ends = np.cumsum(intervals)[accepted & inside].tolist()
    nn = (1e3 * intervals[accepted & inside]).tolist()
    for name, (low, high) in {"lf_ms2": LF_HZ, "hf_ms2": HF_HZ}.items():
        bins = [k / 300 for k in range(1, 300) if low <= k / 300 < high]
        assert said[name] == pytest.approx(sum(power_slowly(ends, nn, hz) for hz in bins), rel=1e-6)


def test_less_than_five_good_minutes_have_no_spectrum() -> None:
    short = beating(290, f100=20.0)
    assert frequency_domain(short, all_of(short)) is None
    long = beating(310, f100=20.0)
    accepted = all_of(long)
    accepted[50:150] = False
    assert frequency_domain(long, accepted) is None
    assert frequency_domain(np.zeros(0), np.zeros(0, np.bool_)) is None


def test_a_clock_has_no_variability_and_no_ratio() -> None:
    clock = np.full(400, 0.8)
    assert time_domain(clock, all_of(clock))["sdnn_ms"] == pytest.approx(0, abs=1e-9)
    said = frequency_domain(clock, all_of(clock))
    assert said is not None
    assert "lf_hf" not in said or math.isfinite(said["lf_hf"])
    assert said["lf_ms2"] == pytest.approx(0, abs=1e-12)
