"""Variability is what other programs find in the same intervals, where they mean the same."""

from __future__ import annotations

import numpy as np
import pytest

from bench.variability import EQUAL, OF_TIME, by_neurokit2, by_scipy
from worker.intervals import WINDOW_S, Mask, Seconds, frequency_domain, time_domain

pytest.importorskip(
    "neurokit2", reason="what Isoline is compared with is installed by `make bench`"
)


def breathing(seed: int) -> Seconds:
    """Five minutes of whole milliseconds, so that no step of 50 ms is rounded."""
    random = np.random.default_rng(seed)
    beats = np.arange(400)
    swing = 40 * np.sin(0.5 * beats) + 30 * np.sin(1.5 * beats) + 20 * random.normal(size=400)
    intervals_s: Seconds = np.round(840 + swing) / 1e3
    return intervals_s[np.cumsum(intervals_s) < WINDOW_S]


def all_but(intervals_s: Seconds, *left_out: int) -> Mask:
    accepted = np.ones(intervals_s.size, np.bool_)
    accepted[list(left_out)] = False
    return accepted


@pytest.mark.parametrize("seed", range(3))
def test_in_the_time_domain_all_is_what_neurokit_says(seed: int) -> None:
    intervals_s = breathing(seed)
    accepted = all_but(intervals_s)
    ours, theirs = time_domain(intervals_s, accepted), by_neurokit2(intervals_s, accepted)
    assert ours["pnn50_percent"] > 5
    assert ours == pytest.approx({key: theirs[of] for key, of in OF_TIME.items()}, abs=EQUAL)


@pytest.mark.parametrize("seed", range(3))
def test_what_reaches_over_gaps_is_left_out_as_neurokit_leaves_it_out(seed: int) -> None:
    intervals_s = breathing(seed)
    accepted = all_but(intervals_s, 40, 41, 200)
    ours, theirs = time_domain(intervals_s, accepted), by_neurokit2(intervals_s, accepted)
    # Of all accepted intervals, after the Task Force: there it is of one more than differences.
    del ours["pnn50_percent"]
    assert ours == pytest.approx({key: theirs[OF_TIME[key]] for key in ours}, abs=EQUAL)


@pytest.mark.parametrize("left_out", [(), (40, 41, 200)])
def test_the_spectrum_is_that_of_scipy(left_out: tuple[int, ...]) -> None:
    intervals_s = breathing(1)
    accepted = all_but(intervals_s, *left_out)
    ours, theirs = frequency_domain(intervals_s, accepted), by_scipy(intervals_s, accepted)
    assert ours is not None
    assert {key: ours[key] for key in theirs} == pytest.approx(theirs, abs=EQUAL)
