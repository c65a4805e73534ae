"""How often a lead changes sides of its isoline, the zero line once the baseline is subtracted.

Take the samples in order, leave out those that are exactly zero (-0.0 is zero), and count the
neighbours of opposite sign: from above the line to below it, or from below to above.

- A run of zeros between samples of opposite sign is one crossing, however long it is.
- A touch is not a crossing: a run of zeros between samples of equal sign counts in `touches`.
- Zeros before the first and after the last sample that is not zero count in neither.
- A lead without samples, with one sample, or with nothing but zeros has 0 crossings.

`rate_hz` is the count times the sampling rate, divided by the number of samples: the crossings in a
second of recording. It is left out when the sampling rate is unknown or the lead has no samples.

For example [1, 0, -1, 0, 1, 0, 0, 1] has 2 crossings and 1 touch.

Limits
------
- Nothing is filtered and there is no threshold: noise about the line counts like anything else.
- A baseline other than the recording's true zero gives other numbers.

Sources
-------
- The definition, that of touches above all, is our own.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from worker.insights import Needed, Recording

VERSION = 1
UNIT = "crossings"
FIGURES = ("count", "touches", "rate_hz")
SCOPES = {"lead": ()}

# Samples looked at in one go: memory grows with the changes of sign, not with the samples.
_BLOCK = 1 << 16


def compute(recording: Recording, needed: Needed) -> dict[str, int | float]:
    """Count crossings and touches by signs alone, which is exact for samples of every size.

    Returns
    -------
    dict
        `count` and `touches`, and `rate_hz` where it can be said.
    """
    samples, sampling_rate_hz = recording.samples, recording.sampling_rate_hz
    blocks = range(0, samples.size, _BLOCK)
    runs_of_blocks = [_runs(_signs(samples[start : start + _BLOCK])) for start in blocks]
    # Once more over all: a run may go on from one block into the next.
    runs = _runs(np.concatenate([np.zeros(0, np.int8), *runs_of_blocks]))
    # Neighbouring runs differ, so that a zero run has a positive or negative one on either side.
    sides = runs[runs != 0]
    crossings = int(np.count_nonzero(sides[1:] != sides[:-1]))
    touches = int(np.count_nonzero((runs[1:-1] == 0) & (runs[:-2] == runs[2:])))

    result: dict[str, int | float] = {"count": crossings, "touches": touches}
    if sampling_rate_hz is not None and samples.size:
        result["rate_hz"] = crossings * sampling_rate_hz / samples.size
    return result


def _signs(samples: NDArray[Any]) -> NDArray[np.int8]:
    """Give -1, 0 or 1 for each sample; no type has a value whose sign this misses."""
    return (samples > 0).view(np.int8) - (samples < 0).view(np.int8)


def _runs(signs: NDArray[np.int8]) -> NDArray[np.int8]:
    """Keep one sign of every run of equal ones."""
    begins = np.ones(signs.size, np.bool_)
    np.not_equal(signs[1:], signs[:-1], out=begins[1:])
    return signs[begins]
