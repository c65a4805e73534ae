"""All leads together see what one alone does not, and no bad one spoils it."""

from __future__ import annotations

import tracemalloc
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from shared.errors import NotComputable
from tests.worker.detection.synthetic import (
    ecg,
    electrode_noise,
    errors,
    hum,
    white_noise,
)
from worker.detection.beats import Beats
from worker.detection.fusion import fuse
from worker.detection.readings import readers_of


def fused(leads: Sequence[NDArray[Any]], sampling_rate_hz: float = 360) -> Beats:
    found = fuse([reading() for reading in readers_of(leads, sampling_rate_hz)])
    assert (np.diff(found.samples) > 0).all()
    assert ((found.samples >= 0) & (found.samples < max(lead.size for lead in leads))).all()
    assert np.isfinite(found.confidence).all()
    assert found.confidence.shape == found.samples.shape
    return found


GAINS = (1.0, 0.6, -0.8, 0.3, -0.2)


@settings(max_examples=15, deadline=None)
@given(
    rate_bpm=st.floats(40, 200),
    number=st.integers(1, 5),
    sampling_rate_hz=st.sampled_from([100, 250, 360, 500, 1000]),
    seed=st.integers(0, 1000),
)
def test_of_clean_leads_all_beats_are_found(
    rate_bpm: float, number: int, sampling_rate_hz: int, seed: int
) -> None:
    one = ecg(rate_bpm, 20, sampling_rate_hz, seed=seed)
    found = fused([one.samples * gain for gain in GAINS[:number]], sampling_rate_hz)
    missed, invented, off_s = errors(found.samples, one)
    assert (missed, invented) == (0, 0)
    assert off_s.max() <= 0.010


@settings(max_examples=20, deadline=None)
@given(begin_s=st.integers(2, 40), seconds=st.integers(3, 15), kind=st.integers(0, 3))
def test_a_lead_that_drops_out_does_not_hurt(begin_s: int, seconds: int, kind: int) -> None:
    one = ecg(75, 60)
    leads = [one.samples + white_noise(one, 0.01, 1), one.samples * 0.7 + white_noise(one, 0.01, 2)]
    gone = slice(begin_s * 360, (begin_s + seconds) * 360)
    random = np.random.default_rng(5)
    offset, size = ((0.0, 0.0), (5.0, 0.0), (0.0, 0.003), (0.0, 2.0))[kind]
    leads[0][gone] = offset + size * random.normal(size=seconds * 360)
    missed, invented, _ = errors(fused(leads).samples, one)
    # A step of five beats' height may fall onto a beat, and hide it.
    assert missed <= (kind == 1)
    assert invented == 0


@pytest.mark.parametrize("hiss", [0.001, 0.003, 0.01])
def test_no_r_peak_is_taken_from_a_lead_that_is_off_for_a_moment(hiss: float) -> None:
    one = ecg(72, 120, variability=0.0)
    leads = [one.samples + white_noise(one, 0.01, 1), one.samples * 0.6 + white_noise(one, 0.01, 2)]
    for number, begin_s in enumerate(np.arange(10.4, 110, 10.5)):
        off = slice(int(begin_s * 360), int((begin_s + 2.2) * 360))
        leads[0][off] = hiss * np.random.default_rng(number).normal(size=off.stop - off.start)
    found = fused(leads)
    missed, invented, off_s = errors(found.samples, one)
    assert (missed, invented) == (0, 0)
    assert off_s.max() <= 0.004
    steps_ms = np.diff(np.diff(found.samples)) / 0.36
    assert np.sqrt((steps_ms**2).mean()) < 2


def test_an_electrode_that_most_leads_share_does_not_outvote_the_one_without_it() -> None:
    total = 0
    for seed in range(8):
        one = ecg(75, 30, 500, seed=seed)
        shared = electrode_noise(one, -15, seed)
        clean = one.samples * 0.5 + white_noise(one, 0.01, seed)
        # As the right arm's goes into the leads of the limbs, and a third of it into the others.
        shares = (1, 1, -1, 0.5, 0.5, *[1 / 3] * 6)
        spoiled = [
            one.samples * gain + share * shared
            for gain, share in zip(np.linspace(-1, 1, len(shares)), shares, strict=True)
        ]
        missed, invented, _ = errors(fused([*spoiled, clean], 500).samples, one)
        total += missed + invented
    assert total <= 4


def test_leads_that_are_nearly_as_good_do_not_take_turns_between_sampling_rates() -> None:
    one = ecg(75, 30, 1000, seed=3)
    found_s = []
    for number, sampling_rate_hz in enumerate((1000, 250, 360, 500)):
        at_s = np.arange(30 * sampling_rate_hz) / sampling_rate_hz
        # The second one has its R peaks 40 ms later; which is better by a hair takes turns.
        leads = [
            np.interp(at_s - late_s, one.times_s, one.samples)
            + (0.02 if n == number % 2 else 0.01)
            * np.random.default_rng(n).normal(size=at_s.size)
            * (sampling_rate_hz / 360) ** 0.5
            for n, late_s in enumerate((0.0, 0.040))
        ]
        found_s.append(fused(leads, sampling_rate_hz).samples / sampling_rate_hz)
    assert all(found.size == found_s[0].size for found in found_s)
    assert max(np.abs(found - found_s[0]).max() for found in found_s) <= 0.010


def test_noise_that_moves_from_lead_to_lead_is_seen_through() -> None:
    one = ecg(75, 60)
    leads = [one.samples + white_noise(one, 0.01, n) for n in range(3)]
    for n, lead in enumerate(leads):
        part = slice(n * 20 * 360, (n + 1) * 20 * 360)
        lead[part] += electrode_noise(one, -12, n)[part]
    missed, invented, _ = errors(fused(leads).samples, one)
    assert missed + invented <= 2


def test_worthless_leads_are_no_witnesses() -> None:
    one = ecg(75, 60)
    noise = np.random.default_rng(1).normal(size=one.samples.size)
    clean = one.samples + white_noise(one, 0.01)
    alone = fused([clean])
    flat, mains = np.zeros(one.samples.size), hum(one, 1.0)
    for others in ([flat], [noise], [flat, noise * 9], [mains], [mains, mains * 9]):
        found = fused([*others, clean])
        missed, invented, _ = errors(found.samples, one)
        assert (missed, invented) == (0, 0)
        assert np.abs(found.samples - alone.samples).max() <= 4


def test_leads_may_end_at_different_times() -> None:
    one = ecg(75, 60)
    noisy = one.plus(white_noise(one, 0.01)).samples
    for ends_s in ((30, 60), (60, 30), (2, 60), (60, 59)):
        leads = [noisy[: end_s * 360] for end_s in ends_s]
        missed, invented, _ = errors(fused(leads).samples, one)
        assert (missed, invented) == (0, 0)


def test_the_order_of_the_leads_says_no_more_than_which_of_equals_shows_the_r_peaks() -> None:
    one = ecg(75, 60, ectopics=(7, 20))
    leads = [one.samples * gain + white_noise(one, 0.03, n) for n, gain in enumerate(GAINS)]
    forwards, backwards = fused(leads), fused(leads[::-1])
    assert np.abs(forwards.samples - backwards.samples).max() <= 0.010 * 360
    assert forwards.confidence == pytest.approx(backwards.confidence, abs=1e-3)


def test_without_a_usable_lead_nothing_is_said() -> None:
    with pytest.raises(NotComputable, match="needs a lead"):
        fused([np.zeros(5000), np.full(5000, 7)])
    with pytest.raises(NotComputable, match="needs a lead"):
        fuse([])


@pytest.mark.parametrize("sampling_rate_hz", [100, 360, 1000])
def test_memory_stays_below_eight_times_the_samples(sampling_rate_hz: int) -> None:
    random = np.random.default_rng(1)
    # Noise has the most humps, and is the worst case.
    leads = [random.normal(size=600 * sampling_rate_hz) for _ in range(3)]
    leads[0] += 9 * ecg(75, 600, sampling_rate_hz).samples
    fused(leads, sampling_rate_hz)
    tracemalloc.start()
    fused(leads, sampling_rate_hz)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    # Two megabytes do not grow with the samples.
    assert peak < 8 * 4 * sum(lead.size for lead in leads) + 2e6
