"""The beats of each lead by itself."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from worker.detection.decisions import RULE, Rule, View, decide
from worker.detection.rows import Float32s, Places, around
from worker.detection.traces import Trace

# From the middle of a QRS its R peak is so far away, at most; and the other polarity is the
# greater one of this beat if it is greater by half.
_R_WITHIN_S = 0.06
_GREATER = 1.5


@dataclass(frozen=True)
class Beats:
    """R peaks: `samples` (int64, ascending) are indices into the samples as they were recorded.

    `confidence` (float64, one for each) is the probability that it is one, from 0 to 1.
    """

    samples: NDArray[np.int64]
    confidence: NDArray[np.float64]


def find_beats(trace: Trace, rule: Rule = RULE) -> list[Beats | None]:
    """Find the R peaks of each lead, as if there were no other.

    Parameters
    ----------
    trace : Trace
        From `condition`.
    rule : Rule

    Returns
    -------
    list
        The beats of each lead; None of a lead that is flat.
    """
    energy = trace.energy
    view = View(trace.signal, energy, np.ones(energy.level.shape))
    verdict = decide(energy, [view], trace.rate_hz, rule)
    samples = r_peaks(trace, verdict.rows, verdict.positions)
    bounds = verdict.rows.searchsorted(np.arange(len(trace.signal) + 1)).tolist()
    highest = energy.height.max(axis=1)
    return [
        Beats(samples[begin:end], verdict.confidence[begin:end]) if top > 0 else None
        for top, (begin, end) in zip(highest, itertools.pairwise(bounds), strict=True)
    ]


def r_peaks(trace: Trace, rows: Places, positions: Places) -> NDArray[np.int64]:
    """Find the R peak of each QRS: its farthest point from the isoline, between samples.

    That point is looked for on the side where most beats of this lead have it, unless one stands
    out by half as much again on the other.

    Parameters
    ----------
    trace : Trace
    rows, positions : ndarrays of shape (number_of_beats,)
        Of each QRS the lead, and its middle in samples of the trace.

    Returns
    -------
    ndarray of shape (number_of_beats,), int64
        In samples as they were recorded.
    """
    half = int(np.ceil(_R_WITHIN_S * trace.rate_hz))
    cut = trace.signal.take(around(trace.signal.shape[1], rows, positions, half + 1))
    inner = cut[:, 1:-1]
    up, down = inner.max(axis=1, initial=0), -inner.min(axis=1, initial=0)
    is_upward = 2 * np.bincount(rows, up >= down) >= np.bincount(rows)
    upward = np.where(is_upward[rows], up * _GREATER >= down, up > down * _GREATER)
    cut = np.where(upward[:, None], cut, -cut)
    return _between_samples(trace, positions - half, cut)


def _between_samples(trace: Trace, begins: Places, cut: Float32s) -> NDArray[np.int64]:
    """Lay a parabola through the highest sample and its neighbours."""
    top = cut[:, 1:-1].argmax(axis=1)
    rows = np.arange(len(cut))
    before, here, after = (cut[rows, top + offset] for offset in range(3))
    bend = before - 2 * here + after
    with np.errstate(divide="ignore", invalid="ignore"):
        shift = np.where(bend < 0, np.clip(0.5 * (before - after) / bend, -0.5, 0.5), 0)
    found: NDArray[np.int64] = np.rint((begins + top + shift) * trace.factor).astype(np.int64)
    return found.clip(0, trace.number_of_samples - 1)
