"""Zero crossings are what the definition says, for every type, sign pattern and length."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from worker.analysis import analyse_ecg, subtract_baseline
from worker.insights import Recording
from worker.insights import zero_crossings as insight

INTEGERS = [np.int8, np.int16, np.int32, np.int64]
DTYPES = [*INTEGERS, np.float64]

# Small numbers, so that runs of zeros and of equal samples are common.
small_leads = st.lists(st.integers(-2, 2), max_size=40)


def count_slowly(samples: Sequence[int | float]) -> tuple[int, int]:
    """Count crossings and touches the obvious way: remember the last side, walk on."""
    crossings = touches = 0
    last_side = 0
    was_on_line = False
    for sample in samples:
        side = 1 if sample > 0 else -1 if sample < 0 else 0
        if side == 0:
            was_on_line = True
            continue
        if last_side == -side:
            crossings += 1
        if last_side == side and was_on_line:
            touches += 1
        last_side = side
        was_on_line = False
    return crossings, touches


def compute(samples: NDArray[Any], sampling_rate_hz: float | None) -> dict[str, int | float]:
    return insight.compute(Recording("lead", [samples], sampling_rate_hz), {})


def count(samples: Sequence[int | float] | NDArray[Any]) -> tuple[int, int]:
    # An empty list would become float64 by itself, which is one of the types anyway.
    result = compute(np.asarray(samples), None)
    return int(result["count"]), int(result["touches"])


@pytest.mark.parametrize(
    ("samples", "crossings", "touches"),
    [
        ([1, 0, -1, 0, 1, 0, 0, 1], 2, 1),
        ([1, -2, 0, 3, -4, 0, 0, 5, 6, -7], 5, 0),
        ([1, 0, 1], 0, 1),
        ([-1, 0, -1], 0, 1),
        ([-1, 0], 0, 0),
        ([0, 1, 0, -1], 1, 0),
        ([2**31, -(2**31)], 1, 0),
        ([1, 0, 0, 0, -1], 1, 0),
        ([0, 0, 1, 1, 0, 0], 0, 0),
        ([], 0, 0),
        ([5], 0, 0),
        ([0], 0, 0),
        ([0, 0, 0], 0, 0),
        ([1.0, -0.0, 1.0], 0, 1),
        ([1.0, -0.0, -1.0], 1, 0),
        ([-0.0, 0.0, -0.0], 0, 0),
        ([5e-324, -5e-324], 1, 0),
        ([1.7e308, -1.7e308, 1.7e308], 2, 0),
    ],
)
def test_the_examples_of_the_definition_hold(
    samples: list[int | float], crossings: int, touches: int
) -> None:
    assert count(samples) == (crossings, touches)
    assert count_slowly(samples) == (crossings, touches)


@pytest.mark.parametrize("length", range(9))
def test_every_sign_pattern_is_counted_as_the_slow_way_does(length: int) -> None:
    for pattern in itertools.product((-1, 0, 1), repeat=length):
        assert count(np.array(pattern, np.int8)) == count_slowly(pattern), pattern


@pytest.mark.parametrize("dtype", DTYPES)
def test_extremes_of_a_type_stand_on_either_side(dtype: type[Any]) -> None:
    limits = np.finfo(dtype) if dtype is np.float64 else np.iinfo(dtype)
    samples = np.array([limits.min, limits.max, 0, limits.min, 0, limits.min, limits.max], dtype)

    assert count(samples) == (3, 1)


@settings(deadline=None)
@given(small_leads)
def test_every_type_gives_the_same(samples: list[int]) -> None:
    assert {count(np.array(samples, dtype)) for dtype in DTYPES} == {count_slowly(samples)}


@settings(deadline=None)
@given(st.lists(st.floats(allow_nan=False, allow_infinity=False) | st.just(-0.0), max_size=40))
def test_floats_of_every_size_are_counted_as_the_slow_way_does(samples: list[float]) -> None:
    assert count(np.array(samples)) == count_slowly(samples)


@settings(deadline=None)
@given(small_leads, st.integers(1, 2**60))
def test_a_positive_factor_changes_nothing(samples: list[int], factor: int) -> None:
    scaled = np.array(samples, np.int64) * factor

    assert count(scaled) == count_slowly(samples)
    assert count(scaled * 2.0**-1000) == count_slowly(samples)


@settings(deadline=None)
@given(small_leads)
def test_the_lead_played_backwards_or_upside_down_counts_the_same(samples: list[int]) -> None:
    lead = np.array(samples, np.int16)

    assert count(lead[::-1]) == count(-lead) == count(lead)


@settings(deadline=None)
@given(small_leads, st.integers(1, 5))
def test_samples_repeated_in_place_count_once(samples: list[int], times: int) -> None:
    lead = np.array(samples, np.int16)

    assert count(np.repeat(lead, times)) == count(lead)


@settings(deadline=None)
@given(small_leads, st.lists(st.integers(0, 3), min_size=40, max_size=40))
def test_zeros_between_equal_signs_add_no_crossing(samples: list[int], zeros: list[int]) -> None:
    widened: list[int] = []
    for sample, following, number in zip(samples, [*samples[1:], 0], zeros, strict=False):
        widened += [sample] + [0] * (number if sample * following > 0 else 0)

    crossings, touches = count(np.array(widened, np.int16))

    assert crossings == count_slowly(samples)[0]
    assert touches >= count_slowly(samples)[1]


@settings(deadline=None)
@given(small_leads, st.integers(0, 5), st.integers(0, 5))
def test_zeros_before_and_after_count_in_neither(
    samples: list[int], before: int, after: int
) -> None:
    padded = [0] * before + samples + [0] * after

    assert count(np.array(padded, np.int16)) == count_slowly(samples)


@pytest.mark.parametrize("at", [2**16 - 1, 2**16, 2**16 + 1])
@pytest.mark.parametrize("tail", list(itertools.product((-1, 0, 1), repeat=3)), ids=str)
def test_nothing_is_lost_or_doubled_where_blocks_meet(at: int, tail: tuple[int, ...]) -> None:
    samples = np.ones(at + 3, np.int8)
    samples[at - 1 : at + 2] = tail

    assert count(samples) == count_slowly([1, *tail, 1])


def test_ten_hours_at_500_hz_are_counted_exactly() -> None:
    # 36,000,000 samples: ten up, one on the line, ten down.
    period = np.array([1] * 10 + [0] + [-1] * 10, np.int16)
    samples = np.resize(period, 10 * 3600 * 500)
    whole, rest = divmod(samples.size, period.size)

    result = compute(samples, 500.0)

    assert result["count"] == 2 * whole - 1 + count_slowly([-1, *period[:rest]])[0]
    assert result["touches"] == 0
    assert result["rate_hz"] == result["count"] / 36_000


def test_the_rate_is_crossings_in_a_second_of_recording() -> None:
    samples = np.array([1, -1, 1, -1], np.int8)

    assert compute(samples, 2.0) == {"count": 3, "touches": 0, "rate_hz": 1.5}


def test_there_is_no_rate_without_a_sampling_rate_or_without_samples() -> None:
    assert compute(np.array([1, -1]), None) == {"count": 1, "touches": 0}
    assert compute(np.zeros(0, np.int8), 500.0) == {"count": 0, "touches": 0}


@pytest.mark.parametrize(
    ("samples", "baseline", "crossings"),
    [
        (np.array([1023, 1025, 1024, 1023], np.int16), 1024, 2),
        (np.array([-128, 127], np.int8), 127, 0),
        (np.array([-128, 127], np.int8), -128, 0),
        (np.array([-128, 127], np.int8), 1e6, 0),
        (np.array([0, 5], np.int16), 2**31, 0),
        (np.array([1, 2, 1], np.int8), 1.5, 2),
        (np.array([0.1, 0.3, 0.1]), 0.2, 2),
        (np.array([2**31 - 1, -(2**31)], np.int32), -(2**31), 0),
        (np.array([2**31 - 1, -(2**31)], np.int32), -1, 1),
        (np.array([2**62 + 1, 2**62 - 1, 2**62], np.int64), 2**62, 1),
        (np.array([2**63 - 1, -(2**63), 1], np.int64), 1, 1),
        (np.array([2**63 - 1, -(2**63)], np.int64), 2**63, 0),
        (np.array([2**53 + 1, 0], np.int64), 0.5, 1),
        (np.array([1.7e308, -1.7e308]), -1.7e308, 0),
        (np.array([1.7e308, -1.7e308]), 1e308, 1),
        (np.array([1.0, -0.0, -1.0]), -0.0, 1),
        (np.zeros(0, np.int16), 1024, 0),
    ],
)
def test_the_baseline_is_subtracted_first(
    samples: NDArray[Any], baseline: float, crossings: int
) -> None:
    document = analyse_ecg(["I"], [samples], sampling_rate_hz=None, baseline=baseline)
    (lead,) = document["leads"]

    assert lead["number_of_zero_crossings"] == crossings


@settings(deadline=None)
@given(
    st.sampled_from(INTEGERS),
    st.lists(st.integers(-(2**63), 2**63 - 1), max_size=8),
    st.integers(-(2**53), 2**53) | st.integers(-(2**31), 2**31) | st.integers(-130, 130),
)
def test_an_integral_baseline_leaves_exact_integers(
    dtype: type[np.signedinteger[Any]], numbers: list[int], baseline: int
) -> None:
    samples = np.array(numbers, np.int64).astype(dtype)
    expected = [sample - baseline for sample in samples.tolist()]

    difference = subtract_baseline(samples, float(baseline))

    if all(-(2**63) <= number < 2**63 for number in expected):
        assert difference.dtype.kind == "i"
        assert difference.tolist() == expected
    else:
        assert difference.tolist() == [float(number) for number in expected]


def test_a_difference_that_no_float_holds_stays_finite() -> None:
    largest = float(np.finfo(np.float64).max)

    difference = subtract_baseline(np.array([largest, -largest]), -largest)

    assert difference.tolist() == [largest, 0.0]
