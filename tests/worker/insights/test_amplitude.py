"""Amplitudes are those of a slow look, in the unit that is known, and finite whatever comes."""

from __future__ import annotations

import itertools
import statistics
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from shared.errors import NotComputable
from worker.insights import Recording
from worker.insights.amplitude import FIGURES, SHORTEST_CLIPPED, compute

LARGEST = float(np.finfo(np.float64).max)


def amplitude(samples: Any, gain: float | None = None, unit: str | None = None) -> dict[str, Any]:
    return compute(Recording("lead", [np.asarray(samples)], 500.0, unit, gain), {})


def clipped_slowly(samples: list[int]) -> float:
    if min(samples) == max(samples):
        return 0.0
    runs = [(value, len(list(run))) for value, run in itertools.groupby(samples)]
    ends = {min(samples), max(samples)}
    return sum(n for v, n in runs if v in ends and n >= SHORTEST_CLIPPED) / len(samples)


def test_in_millivolts_when_the_gain_is_known() -> None:
    assert amplitude([-200, 0, 200, 400], gain=200.0) == {
        "minimum_mv": -1.0,
        "maximum_mv": 2.0,
        "mean_mv": 0.5,
        "standard_deviation_mv": pytest.approx(1.25**0.5),
        "peak_to_peak_mv": 3.0,
        "clipped": 0.0,
    }
    assert amplitude([-200.0, 400.0], unit="uV")["peak_to_peak_mv"] == pytest.approx(0.6)


@pytest.mark.parametrize("unit", ["mV", "uV", "V", "adc", None])
def test_a_gain_goes_before_a_unit(unit: str | None) -> None:
    assert amplitude([-200, 400], gain=200.0, unit=unit)["maximum_mv"] == 2.0


def test_in_the_unit_of_the_samples_when_it_is_not() -> None:
    said = amplitude([-3, 5])
    assert (said["minimum_adc"], said["maximum_adc"], said["mean_adc"]) == (-3.0, 5.0, 1.0)
    assert (said["standard_deviation_adc"], said["peak_to_peak_adc"]) == (4.0, 8.0)
    assert set(said) <= set(FIGURES)


def test_no_samples_have_no_amplitude() -> None:
    with pytest.raises(NotComputable, match="needs samples"):
        amplitude(np.zeros(0, np.int16))


@settings(deadline=None)
@given(
    st.lists(st.integers(-2, 2), min_size=1, max_size=60)
    | st.lists(st.integers(-(2**31), 2**31 - 1), min_size=1, max_size=60),
    st.sampled_from([np.int32, np.int64, np.float64]),
)
def test_the_figures_are_those_of_a_slow_look(samples: list[int], dtype: type[Any]) -> None:
    said = amplitude(np.array(samples, dtype))

    assert said["minimum_adc"] == min(samples)
    assert said["maximum_adc"] == max(samples)
    assert said["peak_to_peak_adc"] == max(samples) - min(samples)
    unity = max(map(abs, samples)) or 1
    assert said["mean_adc"] == pytest.approx(statistics.fmean(samples), abs=1e-9 * unity)
    deviation = statistics.pstdev(samples)
    assert said["standard_deviation_adc"] == pytest.approx(deviation, abs=1e-9 * unity)
    assert said["clipped"] == clipped_slowly(samples)


def test_blocks_meet_without_a_seam() -> None:
    samples = np.random.default_rng(1).integers(-900, 900, 200_001, np.int16)
    samples[65_534:65_541] = 900

    said = amplitude(samples)

    assert said["mean_adc"] == pytest.approx(samples.mean(), abs=1e-9)
    assert said["standard_deviation_adc"] == pytest.approx(samples.std(), rel=1e-12)
    assert said["clipped"] == 7 / samples.size


@pytest.mark.parametrize(
    ("samples", "clipped"),
    [
        ([0, 1, 2, 2, 2, 2, 2, 1, 0, 1], 0.5),
        ([0, 1, 2, 2, 2, 2, 1, 0], 0.0),
        ([-1] * 5 + [0] + [1] * 5 + [0], 10 / 12),
        # A plateau that is no extreme.
        ([0] + [1] * 50 + [2], 0.0),
        ([7] * 50, 0.0),
        ([7], 0.0),
    ],
)
def test_what_is_clipped(samples: list[int], clipped: float) -> None:
    assert amplitude(samples)["clipped"] == clipped


@pytest.mark.parametrize(
    ("samples", "gain", "left_out"),
    [
        (np.array([LARGEST, -LARGEST]), None, {"peak_to_peak"}),
        (np.array([LARGEST, 0.0]), None, set()),
        (np.array([2**63 - 1, -(2**63)], np.int64), None, set()),
        (np.array([-128, 127], np.int8), None, set()),
        (
            np.array([1.0, -1.0]),
            5e-324,
            {"minimum", "maximum", "standard_deviation", "peak_to_peak"},
        ),
        (np.array([5e-324, 0.0]), LARGEST, set()),
    ],
)
def test_what_no_number_can_hold_is_left_out(
    samples: NDArray[Any], gain: float | None, left_out: set[str]
) -> None:
    said = amplitude(samples, gain)

    assert all(np.isfinite(list(said.values())))
    kinds = {name.rpartition("_")[0] for name in said if name != "clipped"}
    assert {"minimum", "maximum", "mean", "standard_deviation", "peak_to_peak"} - kinds == left_out
