"""Leads that are read together give exactly what each of them gives alone, and at a fraction."""

from __future__ import annotations

import cProfile
import pstats
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from shared.errors import NotComputable
from tests.worker.detection.synthetic import as_counts, ecg, electrode_noise, hum
from worker.analysis import analyse_ecg
from worker.detection.readings import Reading, readers_of

LARGEST = float(np.finfo(np.float64).max)
DTYPES: tuple[type[Any], ...] = (np.int8, np.int16, np.int32, np.int64, np.float64)


def of_what(samples: NDArray[Any], kind: int, seed: int) -> NDArray[Any]:
    """As it is; flat; at its rails; flat for a while; out of order; or with the largest numbers."""
    random = np.random.default_rng(seed)
    if kind == 1:
        return np.full_like(samples, samples[0])
    if kind == 2:
        return samples.clip(*np.quantile(samples, [0.1, 0.9]).astype(samples.dtype))
    if kind == 3:
        begin, end = sorted(random.integers(0, samples.size, 2))
        samples[begin:end] = samples[begin]
    if kind == 4:
        return random.permutation(samples)
    if kind == 5:
        edges = np.iinfo(samples.dtype) if samples.dtype.kind == "i" else np.finfo(samples.dtype)
        samples[random.integers(0, samples.size, 5)] = random.choice([edges.min, edges.max], 5)
    return samples


@st.composite
def leads_of_an_ecg(draw: st.DrawFn) -> tuple[list[NDArray[Any]], float]:
    """A few lengths among many leads of any type, each with beats or with a fault of its own."""
    sampling_rate_hz = draw(st.sampled_from([100.0, 199.5, 250.0, 360.0, 1000.0]))
    lengths_s = draw(st.lists(st.sampled_from([0.0, 1.9, 2.0, 3.7, 8.0]), min_size=1, max_size=3))
    leads = []
    for seed in range(draw(st.integers(0, 15))):
        one = ecg(draw(st.sampled_from([40, 75, 180])), 9, sampling_rate_hz, seed=seed)
        one = one.plus(electrode_noise(one, draw(st.sampled_from([-6, 12, 40])), seed))
        if draw(st.booleans()):
            one = one.plus(hum(one, 0.2))
        whole = as_counts(one.samples.clip(-3, 3), draw(st.sampled_from(DTYPES)), 40)
        whole = of_what(whole, draw(st.integers(0, 5)), seed)
        leads.append(whole[: round(draw(st.sampled_from(lengths_s)) * sampling_rate_hz)])
    return leads, sampling_rate_hz


def as_bytes(value: Any) -> Any:
    """Everything that is in it, to the last bit."""
    if isinstance(value, np.ndarray):
        return value.dtype.str, value.shape, value.tobytes()
    if is_dataclass(value):
        return [(field.name, as_bytes(getattr(value, field.name))) for field in fields(value)]
    return value


def read(reading: Callable[[], Reading]) -> Any:
    try:
        return as_bytes(reading())
    except NotComputable as reason:
        return str(reason)


@settings(max_examples=60, deadline=None)
@given(leads_of_an_ecg())
def test_a_lead_is_read_among_others_as_it_is_alone(of: tuple[list[NDArray[Any]], float]) -> None:
    leads, sampling_rate_hz = of
    together = [read(reading) for reading in readers_of(leads, sampling_rate_hz)]
    alone = [read(*readers_of([lead], sampling_rate_hz)) for lead in leads]
    assert together == alone


@settings(max_examples=20, deadline=None)
@given(leads_of_an_ecg())
def test_what_is_said_of_a_lead_does_not_depend_on_the_others(
    of: tuple[list[NDArray[Any]], float],
) -> None:
    leads, sampling_rate_hz = of
    words: dict[str, Any] = {"sampling_rate_hz": sampling_rate_hz, "baseline": 3.0, "gain": 40.0}
    whole = analyse_ecg(["V"] * len(leads), leads, **words)
    alone = [analyse_ecg(["V"], [lead], **words)["leads"][0] for lead in leads]
    assert whole["leads"] == alone


def test_leads_are_read_when_one_is_asked_for_and_once() -> None:
    leads = [as_counts(ecg(70, 10, seed=seed).samples) for seed in range(3)]
    first, *others = readers_of([*leads, leads[0][:2000]], 360.0)
    seen = first().trace.signal
    assert first().trace.signal is seen
    # Three rows of one array; the shorter lead has its own.
    bases = [reading().trace.signal.base for reading in others]
    assert [base is seen.base for base in bases] == [True, True, False]


def test_a_lead_that_breaks_the_detector_takes_no_other_along() -> None:
    good = as_counts(ecg(70, 10).samples)
    broken = np.full(good.size, "no number")
    first, second, third = readers_of([good, broken, good], 360.0)
    assert read(first) == read(third) == read(*readers_of([good], 360.0))
    with pytest.raises(TypeError):
        second()


def test_long_leads_are_read_one_by_one() -> None:
    long = np.tile(as_counts(ecg(70, 10).samples), 40)
    one, other = readers_of([long, long], 360.0)
    assert one().trace.signal.base is not other().trace.signal.base


def calls_of_numpy(run: Callable[[], object]) -> int:
    """How often numpy is called: what a short ECG costs, without a clock.

    Operators are not seen; they come along with the others.
    """
    # What is kept from one time to the next is made here.
    run()
    profile = cProfile.Profile()
    profile.runcall(run)
    calls: dict[tuple[str, int, str], Any] = vars(pstats.Stats(profile))["stats"]
    return sum(
        times
        for (file, _, function), (_, times, *_) in calls.items()
        if "numpy" in file or "numpy" in function
    )


def strip(leads: int) -> list[NDArray[np.int16]]:
    return [as_counts(ecg(70, 10, 500, seed=seed).samples) for seed in range(leads)]


def test_twelve_leads_are_read_with_few_more_calls_of_numpy_than_one() -> None:
    one, twelve = strip(1), strip(12)
    calls = calls_of_numpy(lambda: [read() for read in readers_of(one, 500.0)])
    assert calls_of_numpy(lambda: [read() for read in readers_of(twelve, 500.0)]) < 3 * calls


@pytest.mark.parametrize(("leads", "most"), [(1, 850), (12, 3_000)])
def test_all_insights_of_a_strip_take_no_more_calls_of_numpy_than_they_did(
    leads: int, most: int
) -> None:
    # 740 and 2,650 when this was written, 20 to 50 fewer with numpy 2.0.
    samples = strip(leads)
    words: dict[str, Any] = {"sampling_rate_hz": 500.0, "baseline": 0.0, "gain": 200.0}
    assert calls_of_numpy(lambda: analyse_ecg(["V"] * leads, samples, **words)) < most
