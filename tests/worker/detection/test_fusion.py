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
from tests.worker.detection.synthetic import ecg, electrode_noise, errors, hum, white_noise
from worker.detection.beats import Beats, find_beats
from worker.detection.fusion import fuse
from worker.detection.quality import assess_quality
from worker.detection.traces import condition


def fused(leads: Sequence[NDArray[Any]], sampling_rate_hz: float = 360) -> Beats:
    traces = [condition(lead, sampling_rate_hz) for lead in leads]
    beats: list[Beats | None] = []
    for trace in traces:
        try:
            beats.append(find_beats(trace))
        except NotComputable:
            beats.append(None)
    qualities = [assess_quality(*both) for both in zip(traces, beats, strict=True)]
    found = fuse(traces, beats, qualities)
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


def test_the_order_of_the_leads_changes_nothing() -> None:
    one = ecg(75, 60, ectopics=(7, 20))
    leads = [one.samples * gain + white_noise(one, 0.03, n) for n, gain in enumerate(GAINS)]
    assert fused(leads).samples.tolist() == fused(leads[::-1]).samples.tolist()


def test_without_a_usable_lead_nothing_is_said() -> None:
    with pytest.raises(NotComputable, match="needs a lead"):
        fused([np.zeros(5000), np.full(5000, 7)])
    with pytest.raises(NotComputable, match="needs a lead"):
        fuse([], [], [])


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
