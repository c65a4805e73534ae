"""One series of beats from all leads, each trusted as far as it goes, from stretch to stretch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from shared.errors import NotComputable
from worker.detection.beats import Beats, r_peaks
from worker.detection.decisions import RULE, Rule, View, decide
from worker.detection.energy import Energy, between_middles, normalise
from worker.detection.quality import WORTHLESS, Quality, credible
from worker.detection.traces import Trace

# A beat counts for so much in one lead; an artefact must not outvote the others.
_HIGHEST = 2.0


def fuse(
    traces: Sequence[Trace],
    beats: Sequence[Beats | None],
    qualities: Sequence[Quality],
    rule: Rule = RULE,
) -> Beats:
    """Find the beats of an ECG, by what all its leads say together.

    Where to look is decided on the energy of all leads, each weighted by its quality there; whether
    a hump is a beat, by the weighted mean of the evidence that each lead has for or against it. R
    peaks are those of the best lead that is worth something at that moment.

    Parameters
    ----------
    traces : sequence of Trace
        Of leads that were recorded together, at one sampling rate; they may end at different times.
    beats, qualities : sequences as long
        Of the same leads; beats are None where there are none.
    rule : Rule

    Returns
    -------
    Beats

    Raises
    ------
    NotComputable
        No lead is worth anything anywhere.
    """
    usable = [n for n, quality in enumerate(qualities) if quality.is_usable and beats[n]]
    if not usable:
        raise NotComputable("needs a lead whose quality allows to see beats")
    if len(usable) == 1 and (only := beats[usable[0]]) is not None:
        return credible(only, traces[usable[0]], qualities[usable[0]])
    # The best lead first.
    usable.sort(key=lambda n: -float(qualities[n].by_stretch.sum()))
    longest = max((traces[n] for n in usable), key=lambda trace: trace.signal.size)
    views = [_view(traces[n], qualities[n], longest) for n in usable]
    rate_hz, middles = longest.rate_hz, longest.energy.middles
    total = np.zeros(longest.signal.size, np.float32)
    given = np.full(longest.signal.size, 1e-9, np.float32)
    for view in views:
        weight = between_middles(view.weights, middles, total.size)
        total += weight * np.minimum(view.energy.height, _HIGHEST) ** 2
        given += weight
    total /= given
    verdict = decide(normalise(np.sqrt(total, out=total), rate_hz), views, rate_hz, rule)
    samples = np.full(verdict.positions.size, -1, np.int64)
    for n, view in zip(usable, views, strict=True):
        (open_ones,) = (samples < 0).nonzero()
        if not open_ones.size:
            break
        positions = verdict.positions[open_ones]
        theirs = np.interp(positions, middles, view.weights) > WORTHLESS
        theirs &= positions < traces[n].signal.size
        samples[open_ones[theirs]] = r_peaks(traces[n], positions[theirs])
    nobodys = samples < 0
    samples[nobodys] = verdict.positions[nobodys] * longest.factor
    # Two leads may see the R peaks of neighbours in one place.
    samples, kept = np.unique(samples, return_index=True)
    return Beats(samples, verdict.confidence[kept])


def _view(trace: Trace, quality: Quality, longest: Trace) -> View:
    """Look at a lead as long as the longest one, and give nothing on it after its end."""
    weights = quality.by_stretch
    missing = longest.signal.size - trace.signal.size
    if missing == 0:
        return View(trace.signal, trace.energy, weights)
    after = (0, longest.energy.level.size - weights.size)
    energy = Energy(
        np.pad(trace.energy.height, (0, missing)),
        np.pad(trace.energy.level, after, mode="edge"),
        np.pad(trace.energy.top, after),
        np.pad(trace.energy.noise, after, mode="edge"),
        longest.energy.middles,
    )
    return View(np.pad(trace.signal, (0, missing)), energy, np.pad(weights, after))
