"""One series of beats from all leads, each trusted as far as it goes, from stretch to stretch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from shared.errors import NotComputable
from worker.detection.beats import Beats, r_peaks
from worker.detection.decisions import RULE, Rule, View, decide
from worker.detection.energy import Energy, between_middles, normalise
from worker.detection.quality import WORTHLESS
from worker.detection.readings import NO_BEATS, Reading
from worker.detection.rows import Float32s, Places, around, parts
from worker.detection.traces import Trace

# A beat counts for so much in one lead; an artefact must not outvote the others.
_HIGHEST = 2.0
# Of leads that are so nearly as good as the best, the first one shows the R peaks: which of them
# is the better one by a hair may change with the sampling rate.
_AS_GOOD = 0.9
# A lead shows a beat where it rises to a fifth of what its beats do, so near.
_SHOWN = 0.2
_SHOWN_WITHIN_S = 0.05
# From so many leads on, an electrode that several of them have in common could outvote the others.
_MANY = 3


def fuse(readings: Sequence[Reading], rule: Rule = RULE) -> Beats:
    """Find the beats of an ECG, by what all its leads say together.

    Where to look is decided on the energy of all leads, each weighted by its quality there; whether
    a hump is a beat, by the weighted mean of the evidence that each lead has for or against it. Of
    three leads or more a good one counts for more than several bad ones: what one electrode spoils,
    it spoils in many of them. R peaks are those of the best lead that is worth something at that
    moment and shows the beat.

    Parameters
    ----------
    readings : sequence of Reading
        Of leads that were recorded together, at one sampling rate; they may end at different times.
    rule : Rule

    Returns
    -------
    Beats

    Raises
    ------
    NotComputable
        No lead is worth anything anywhere.
    """
    usable = [one for one in readings if one.shows_beats]
    if not usable:
        raise NotComputable(NO_BEATS)
    if len(usable) == 1:
        return usable[0].credible_beats()
    usable = _best_first(usable)
    longest = max((one.trace for one in usable), key=lambda trace: trace.signal.size)
    views = [_view(one, longest, len(usable) >= _MANY) for one in usable]
    energy = normalise(_envelope_of_all(views), longest.rate_hz)
    verdict = decide(energy, views, longest.rate_hz, rule)
    samples = _r_peaks_of_the_best(usable, verdict.positions)
    nobodys = samples < 0
    samples[nobodys] = verdict.positions[nobodys] * longest.factor
    # Two leads may see the R peaks of neighbours in one place.
    samples, kept = np.unique(samples, return_index=True)
    return Beats(samples, verdict.confidence[kept])


def _best_first(usable: Sequence[Reading]) -> list[Reading]:
    """Order leads by what they are worth over the recording; those as good as the best by place."""
    worth = {n: float(one.quality.by_stretch.sum()) for n, one in enumerate(usable)}
    ordered: list[Reading] = []
    while worth:
        best = max(worth.values())
        first = next(n for n in worth if worth[n] >= _AS_GOOD * best)
        ordered.append(usable[first])
        del worth[first]
    return ordered


def _envelope_of_all(views: Sequence[View]) -> Float32s:
    """The root of the mean square of what all views show, by their weights; a single row."""
    middles = views[0].energy.middles
    weights = np.concatenate([view.weights for view in views])
    envelope = np.empty_like(views[0].energy.height)
    for part in parts(envelope.size):
        weight = between_middles(weights, middles, part)
        heights = np.concatenate([view.energy.height[:, part] for view in views])
        total = (weight * np.minimum(heights, _HIGHEST) ** 2).sum(axis=0)
        np.sqrt(total / weight.sum(axis=0, initial=1e-9), out=envelope[0, part])
    return envelope


def _r_peaks_of_the_best(usable: Sequence[Reading], positions: Places) -> NDArray[np.int64]:
    """Take each R peak from the first lead that is worth something there and shows the beat.

    One that no lead shows is taken from the first that is worth something; where none is, it is -1.
    """
    samples = np.full(positions.size, -1, np.int64)
    for must_show in (True, False):
        for one in usable:
            trace, by_stretch = one.trace, one.quality.by_stretch
            (open_ones,) = (samples < 0).nonzero()
            if not open_ones.size:
                return samples
            theirs = open_ones[positions[open_ones] < trace.signal.size]
            at = positions[theirs]
            counts = np.interp(at, trace.energy.middles, by_stretch) > WORTHLESS
            rows = np.zeros_like(at)
            if must_show:
                near = around(trace.signal.size, rows, at, int(_SHOWN_WITHIN_S * trace.rate_hz))
                counts &= trace.energy.height.take(near).max(axis=1) > _SHOWN
            samples[theirs[counts]] = r_peaks(trace, rows[counts], at[counts])
    return samples


def _view(reading: Reading, longest: Trace, are_many: bool) -> View:
    """Look at a lead as long as the longest one, and give nothing on it after its end."""
    trace, weights = reading.trace, reading.quality.by_stretch[None] ** (2 if are_many else 1)
    missing = longest.signal.size - trace.signal.size
    if missing == 0:
        return View(trace.signal, trace.energy, weights)
    samples = ((0, 0), (0, missing))
    stretches = ((0, 0), (0, longest.energy.middles.size - trace.energy.middles.size))
    energy = Energy(
        np.pad(trace.energy.height, samples),
        np.pad(trace.energy.level, stretches, mode="edge"),
        np.pad(trace.energy.top, stretches),
        np.pad(trace.energy.noise, stretches, mode="edge"),
        longest.energy.middles,
    )
    return View(np.pad(trace.signal, samples), energy, np.pad(weights, stretches))
