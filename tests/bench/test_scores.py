"""Each beat is found once or not at all."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from bench.records import Record
from bench.scores import gross, pair, score

RECORD = Record("none", "none", 360.0, [], np.array([100, 400, 700, 1000]), [(650, 800)])


def scored(*found: int) -> tuple[int, int, int]:
    result = score(RECORD, np.array(found, np.int64))
    return result.found, result.missed, result.invented


def test_what_is_found_within_150_ms_is_right() -> None:
    assert scored(100, 400, 1000) == (3, 0, 0)
    assert scored(46, 454, 1000) == (3, 0, 0)
    assert scored(45, 455, 1000) == (1, 2, 2)
    assert scored() == (0, 3, 0)


def test_what_is_found_twice_is_invented_once() -> None:
    assert scored(90, 101, 400, 1000) == (3, 0, 1)


def test_what_is_left_out_counts_neither_way() -> None:
    assert scored(100, 400, 660, 700, 790, 1000) == (3, 0, 0)


def test_gross_adds_beats_and_not_shares() -> None:
    total = gross([score(RECORD, np.array([100, 400, 1000])), score(RECORD, np.array([500]))])
    assert (total.found, total.missed, total.invented) == (3, 3, 1)
    assert total.row()["Se %"] == "50.00"


beats = st.lists(st.integers(0, 2000), unique=True, max_size=30).map(
    lambda some: np.array(sorted(some), np.int64)
)


@given(reference=beats, found=beats)
def test_pairs_are_in_reach_and_nobody_is_in_two(
    reference: NDArray[np.int64], found: NDArray[np.int64]
) -> None:
    pairs = pair(reference, found, 54)
    assert (np.abs(reference[pairs.reference] - found[pairs.found]) <= 54).all()
    assert (np.diff(pairs.reference) > 0).all()
    assert (np.diff(pairs.found) > 0).all()
    assert pair(reference, reference, 54).found.size == reference.size
