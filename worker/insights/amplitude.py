"""How far a lead goes from its isoline, the zero line once the baseline is subtracted.

`minimum`, `maximum`, `mean` and `standard_deviation` of all samples (the root of their mean squared
distance from the mean), and `peak_to_peak`, the maximum less the minimum: in millivolts (`…_mv`)
where the gain is known or the samples are in volts of some kind, otherwise in the unit in which the
samples were sent (`…_adc`). A gain goes before a unit: whoever sends both has sent counts of the
converter, as in the headers of WFDB, where 200/mV is a gain with its unit.

`clipped` is the share of samples, 0 to 1, at which the recording seems to have met the end of its
range: those in runs of at least 5 equal samples at the lead's minimum or its maximum. A lead that
is flat from its first sample to its last is not clipped but flat: 0.

For example [0, 1, 2, 2, 2, 2, 2, 1, 0, 1] has its maximum at 2, and half of it is clipped.

Limits
------
- Nothing is filtered: wander of the baseline, spikes of a pacemaker and artefacts count.
- A baseline other than the recording's true zero moves minimum, maximum and mean.
- The range of the converter is not known: what is clipped is guessed from the samples, so that a
  signal that rests at its lowest value, and not a converter that is driven too far, may count, and
  clipping that was smoothed by a filter afterwards does not.
- A figure that no floating-point number can hold is left out.

Sources
-------
- The definitions of clipping and of the figures are our own.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shared.errors import NotComputable
from worker.insights import Needed, Recording

VERSION = 1
UNIT = "mV, or the unit of the samples"
_OF_ALL = ("minimum", "maximum", "mean", "standard_deviation", "peak_to_peak")
FIGURES = (*(f"{name}_{unit}" for unit in ("mv", "adc") for name in _OF_ALL), "clipped")
SCOPES = {"lead": ()}

SHORTEST_CLIPPED = 5
# Samples looked at in one go: memory does not grow with the lead.
_BLOCK = 1 << 16


def compute(recording: Recording, needed: Needed) -> dict[str, Any]:
    """Look at every sample three times: for the extremes, the mean, and what is left of it.

    Returns
    -------
    dict
        Each of `FIGURES` in one of the two units, as float, where it is finite.
    """
    samples = recording.samples
    if not samples.size:
        raise NotComputable("needs samples")
    counts = recording.counts_per_mv
    unit, scale = ("adc", 1.0) if counts is None else ("mv", counts)
    lowest, highest = samples.min(), samples.max()
    # Python's own numbers: a difference of int64 may need 65 bits.
    low, high = lowest.item(), highest.item()
    mean, deviation = _moments(samples, max(abs(low), abs(high)))
    values = (low, high, mean, deviation, high - low)
    with np.errstate(over="ignore"):
        figures = {
            f"{n}_{unit}": float(np.float64(v) / scale)
            for n, v in zip(_OF_ALL, values, strict=True)
        }
    clipped = 0 if low == high else sum(_in_runs(samples, end) for end in (lowest, highest))
    return {
        **{name: figure for name, figure in figures.items() if math.isfinite(figure)},
        "clipped": clipped / samples.size,
    }


def _moments(samples: NDArray[Any], largest: float) -> tuple[float, float]:
    """Mean and standard deviation, of samples that are first brought between -1 and 1."""
    unity = float(largest) or 1.0
    blocks = [slice(start, start + _BLOCK) for start in range(0, samples.size, _BLOCK)]
    mean = math.fsum(float((samples[block] / unity).sum()) for block in blocks) / samples.size
    squares = math.fsum(float(((samples[block] / unity - mean) ** 2).sum()) for block in blocks)
    return mean * unity, math.sqrt(squares / samples.size) * unity


def _in_runs(samples: NDArray[Any], end: Any) -> int:
    """How many samples lie in long runs of this value."""
    (at,) = (samples == end).nonzero()
    if at.size < SHORTEST_CLIPPED:
        return 0
    edges = np.flatnonzero(np.diff(at) > 1) + 1
    lengths = np.diff(np.concatenate([[0], edges, [at.size]]))
    return int(lengths[lengths >= SHORTEST_CLIPPED].sum())
