"""One series of beats from all leads, each trusted as far as it goes, from stretch to stretch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from shared.errors import NotComputable
from worker.detection.beats import Beats, r_peaks
from worker.detection.decisions import RULE, Rule, View, decide
from worker.detection.energy import Energy, between_middles, normalise
from worker.detection.filters import cut_around
from worker.detection.quality import WORTHLESS, Quality, credible
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


def fuse(
    traces: Sequence[Trace],
    beats: Sequence[Beats | None],
    qualities: Sequence[Quality],
    rule: Rule = RULE,
) -> Beats:
    """Find the beats of an ECG, by what all its leads say together.

    Where to look is decided on the energy of all leads, each weighted by its quality there; whether
    a hump is a beat, by the weighted mean of the evidence that each lead has for or against it. Of
    three leads or more a good one counts for more than several bad ones: what one electrode spoils,
    it spoils in many of them. R peaks are those of the best lead that is worth something at that
    moment and shows the beat.

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
    usable = _best_first(usable, qualities)
    longest = max((traces[n] for n in usable), key=lambda trace: trace.signal.size)
    views = [_view(traces[n], qualities[n], longest, len(usable) >= _MANY) for n in usable]
    rate_hz, middles = longest.rate_hz, longest.energy.middles
    total = np.zeros(longest.signal.size, np.float32)
    given = np.full(longest.signal.size, 1e-9, np.float32)
    for view in views:
        weight = between_middles(view.weights, middles, total.size)
        total += weight * np.minimum(view.energy.height, _HIGHEST) ** 2
        given += weight
    total /= given
    verdict = decide(normalise(np.sqrt(total, out=total), rate_hz), views, rate_hz, rule)
    del total, given
    samples = _r_peaks_of_the_best(
        [traces[n] for n in usable], [qualities[n] for n in usable], verdict.positions
    )
    nobodys = samples < 0
    samples[nobodys] = verdict.positions[nobodys] * longest.factor
    # Two leads may see the R peaks of neighbours in one place.
    samples, kept = np.unique(samples, return_index=True)
    return Beats(samples, verdict.confidence[kept])


def _best_first(usable: Sequence[int], qualities: Sequence[Quality]) -> list[int]:
    """Order leads by what they are worth over the recording; those as good as the best by place."""
    worth = {n: float(qualities[n].by_stretch.sum()) for n in usable}
    ordered: list[int] = []
    while worth:
        best = max(worth.values())
        ordered.append(next(n for n in worth if worth[n] >= _AS_GOOD * best))
        del worth[ordered[-1]]
    return ordered


def _r_peaks_of_the_best(
    traces: Sequence[Trace], qualities: Sequence[Quality], positions: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Take each R peak from the first lead that is worth something there and shows the beat.

    One that no lead shows is taken from the first that is worth something; where none is, it is -1.
    """
    samples = np.full(positions.size, -1, np.int64)
    for must_show in (True, False):
        for trace, quality in zip(traces, qualities, strict=True):
            (open_ones,) = (samples < 0).nonzero()
            if not open_ones.size:
                return samples
            theirs = open_ones[positions[open_ones] < trace.signal.size]
            at = positions[theirs]
            counts = np.interp(at, trace.energy.middles, quality.by_stretch) > WORTHLESS
            if must_show:
                half = int(_SHOWN_WITHIN_S * trace.rate_hz)
                counts &= cut_around(trace.energy.height, at, half).max(axis=1) > _SHOWN
            samples[theirs[counts]] = r_peaks(trace, at[counts])
    return samples


def _view(trace: Trace, quality: Quality, longest: Trace, are_many: bool) -> View:
    """Look at a lead as long as the longest one, and give nothing on it after its end."""
    weights = quality.by_stretch**2 if are_many else quality.by_stretch
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
