"""Signals in rows, a lead each: what numpy costs a call, it costs once for all of them.

What lies at some places of them is told by two arrays that go together: `rows`, and `at` in these.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

Float32s = NDArray[np.float32]
Places = NDArray[np.intp]

_AT_ONCE = 1 << 16


def running_median(values: NDArray[Any], counts: NDArray[np.intp], width: int) -> NDArray[Any]:
    """The median of each value and its neighbours in its row, `width` (odd) in all.

    Near the ends it is that of the first or last so many: held or mirrored, one odd value there
    would be the majority. Where there are fewer, and an even number of them, it is the lower of the
    two in the middle: what stands out is an artefact more often than the rule.

    Parameters
    ----------
    values : ndarray of shape (number_of_values,)
        Those of each row after those of the row before.
    counts : ndarray of shape (rows,)
        How many values each row has.
    width : int

    Returns
    -------
    ndarray of the shape of `values`
    """
    widths, ends = np.minimum(counts, width), counts.cumsum()
    rows, numbers = np.arange(counts.size).repeat(counts), np.arange(values.size)
    halves = ((widths - 1) // 2)[rows]
    begins = (numbers - halves).clip((ends - counts)[rows], (ends - widths)[rows])
    places = begins[:, None] + np.arange(width)
    windows = values.take(places, mode="clip")
    # What is beyond a row that is narrower than a window is higher than anything in it.
    windows[places >= ends[rows, None]] = np.inf
    windows.sort(axis=1)
    medians: NDArray[Any] = windows[numbers, halves]
    return medians


def around(size: int, rows: Places, at: Places, half: int) -> Places:
    """Give the places around each place, `half` to either side, to `take` from rows of a size.

    The ends of a row go on.
    """
    places = at[:, None] + np.arange(-half, half + 1)
    places.clip(0, size - 1, out=places)
    places += rows[:, None] * size
    return places


def parts(size: int) -> Iterator[slice]:
    """Cut so many samples into parts: what is needed on the way does not grow with them."""
    for begin in range(0, size, _AT_ONCE):
        yield slice(begin, min(begin + _AT_ONCE, size))


def highest_within(values: Float32s, half: int) -> Float32s:
    """For every sample the largest one that is at most so many samples away in its row."""
    highest, reach, width = hold_ends(values, half), 1, 2 * half + 1
    # Twice as far with each step.
    while reach < width:
        step = min(reach, width - reach)
        highest = np.maximum(highest[:, :-step], highest[:, step:])
        reach += step
    return highest


def find_humps(values: Float32s, lowest: float, nearest: int) -> tuple[Places, Places]:
    """Where it is highest among all that is less than `nearest` samples away, and over `lowest`."""
    is_top = values >= lowest
    is_top &= values == highest_within(values, nearest - 1)
    # Of a level top the first; and what goes on rising at an end has its top elsewhere.
    is_top[:, 1:] &= values[:, 1:] > values[:, :-1]
    is_top[:, [0, -1]] = False
    rows, at = is_top.nonzero()
    return rows, at


def hold_ends(samples: NDArray[Any], number: int) -> NDArray[Any]:
    """Go on with the first and the last sample, so that no step is seen at the ends."""
    leads, size = samples.shape
    held = np.empty((leads, size + 2 * number), samples.dtype)
    held[:, :number] = samples[:, :1]
    held[:, number : number + size] = samples
    held[:, number + size :] = samples[:, -1:]
    return held
