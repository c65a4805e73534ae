"""Everything that spoils a recording at once: what is said stays finite, in order and in place."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.worker.detection.synthetic import (
    Ecg,
    ecg,
    electrode_noise,
    errors,
    hum,
    wander,
    white_noise,
)
from worker.analysis import analyse_ecg
from worker.detection.beats import find_beats
from worker.detection.traces import condition


def beats_of(samples: NDArray[Any], sampling_rate_hz: float) -> NDArray[np.int64]:
    (beats,) = find_beats(condition([samples], sampling_rate_hz))
    assert beats is not None
    return beats.samples


@st.composite
def spoiled(draw: st.DrawFn, lowest_snr_db: float) -> Ecg:
    """Any rate, rhythm, polarity and sampling rate, on wander and hum, under noise."""
    one = ecg(
        draw(st.floats(30, 220)),
        draw(st.floats(8, 40)),
        draw(st.sampled_from([125, 250, 360, 500, 1000])),
        paced=draw(st.booleans()),
        seed=draw(st.integers(0, 1000)),
    )
    noise = electrode_noise(one, draw(st.floats(lowest_snr_db, 40)), draw(st.integers(0, 1000)))
    whole = one.plus(
        noise + wander(one, draw(st.floats(0, 3)), draw(st.floats(0.05, 0.5))) + hum(one, 0.1)
    )
    return Ecg(whole.samples * draw(st.sampled_from([1, -1])), one.sampling_rate_hz, one.beats_s)


def dropped_out(draw: st.DrawFn, of: Ecg) -> NDArray[np.float64]:
    """The samples with a flat stretch, a rail or an open input somewhere."""
    samples = of.samples.copy()
    begin = draw(st.integers(0, samples.size))
    part = samples[begin : begin + draw(st.integers(0, samples.size // 2))]
    part[:] = draw(st.sampled_from([0.0, 5.0, -1e6]))
    part += draw(st.sampled_from([0.0, 0.01])) * np.random.default_rng(1).normal(size=part.size)
    return samples


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_what_is_said_is_finite_and_in_order_whatever_spoils_it(data: st.DataObject) -> None:
    one = data.draw(spoiled(-20))
    leads = [one.samples, data.draw(st.composite(dropped_out)(one)), one.samples * -0.3]
    document = analyse_ecg(
        ["I", "II", "III"], leads, sampling_rate_hz=one.sampling_rate_hz, baseline=0.0
    )
    json.dumps(document, allow_nan=False)
    assert "problem" not in json.dumps(document)
    places: list[dict[str, Any]] = [document, *document["leads"]]
    for beats in (place["insights"]["beats"] for place in places):
        if "samples" in beats:
            samples = np.array(beats["samples"], np.int64)
            assert (np.diff(samples) > 0).all()
            assert ((samples >= 0) & (samples < one.samples.size)).all()
    rates = document["insights"]["heart_rate"]
    if "mean_bpm" in rates:
        assert rates["minimum_bpm"] <= rates["mean_bpm"] <= rates["maximum_bpm"]


@settings(max_examples=40, deadline=None)
@given(spoiled(20))
def test_under_little_noise_no_beat_is_missed_or_invented(one: Ecg) -> None:
    found = beats_of(one.samples, one.sampling_rate_hz)
    missed, invented, _ = errors(found, one)
    assert (missed, invented) == (0, 0)


@settings(max_examples=30, deadline=None)
@given(
    rate_bpm=st.floats(40, 200),
    cut_off_s=st.floats(0.001, 10),
    sampling_rate_hz=st.sampled_from([125, 250, 360, 500, 1000]),
    seed=st.integers(0, 1000),
)
def test_who_begins_later_finds_the_same_beats_earlier(
    rate_bpm: float, cut_off_s: float, sampling_rate_hz: int, seed: int
) -> None:
    one = ecg(rate_bpm, 30, sampling_rate_hz, seed=seed)
    samples = one.samples + white_noise(one, 0.01, seed)
    cut_off = int(cut_off_s * sampling_rate_hz)
    whole = beats_of(samples, sampling_rate_hz)
    later = beats_of(samples[cut_off:], sampling_rate_hz) + cut_off
    margin = 0.2 * sampling_rate_hz
    off = np.abs(whole[:, None] - later)
    for found, nearest in ((whole, off.min(axis=1)), (later, off.min(axis=0))):
        inside = (found > cut_off + margin) & (found < samples.size - margin)
        # Another of the samples is kept where the rate is lowered.
        assert nearest[inside].max() <= 1
