"""How far a lead can be trusted, stretch by stretch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from worker.detection.beats import Beats
from worker.detection.energy import LOWEST_SHARE, usual_top
from worker.detection.traces import Trace

# Under a fifth of what its beats reach, for two stretches together, nothing is connected; however
# long that lasts, under a twentieth of what the lead shows otherwise.
_PRESENT = 0.2
# Between beats it rises to more than half of their height.
_NOISY = 0.5
# The hum is a quarter of what a QRS has in its band.
_HUMMING = 0.25
# Hum as high as the beats costs little, as filters take it out; where there is nothing else, all.
_HUM_COSTS = 0.4
# A lead that is worth less than this is no witness.
WORTHLESS = 0.1
# Where it is worth no more, so sure a beat must be to be said; and where it is worth nothing, what
# is found is as regular as hum, and no beat.
GUESSED = 0.6
_NOTHING = 0.002


@dataclass(frozen=True)
class Quality:
    """From 0, worthless, to 1, for the lead and for each of its stretches (float64).

    `stretch_s` is how long (s) a stretch is; the last one takes what is left over.
    `reasons` says what share of the lead is flat, clipped, disconnected, noisy (`noise`) or hums
    (`mains`); a reason that applies nowhere is left out.
    """

    value: float
    by_stretch: NDArray[np.float64]
    stretch_s: float
    reasons: dict[str, float]

    @property
    def is_usable(self) -> bool:
        """Whether there is a stretch that is worth something."""
        return bool((self.by_stretch > WORTHLESS).any())


def assess_quality(trace: Trace, beats: Sequence[Beats | None]) -> list[Quality]:
    """Say how far each lead can be trusted, and what is wrong with it.

    A stretch of 1.5 s is worth nothing where it is flat or disconnected. Elsewhere it is worth what
    the beats stand out over what lies between them (the ratio of heights in the band of the QRS,
    after the noise estimate of Pan & Tompkins 1985, doi 10.1109/TBME.1985.325532), times how sure
    its beats are (their likeness to their neighbours among it, after Orphanidou et al. 2015, doi
    10.1109/JBHI.2014.2338351), squared, less what is clipped and what hums. Under 0.4 every other
    beat may be wrong, over 0.8 one in a thousand: `make accuracy` has the table.

    Parameters
    ----------
    trace : Trace
        From `condition`.
    beats : sequence of Beats or None
        Of each lead of the trace; None where there are none.

    Returns
    -------
    list of Quality
        Of each lead.
    """
    energy, faults = trace.energy, trace.faults
    tops = energy.top * energy.level
    quiet = (energy.top < _PRESENT) | (tops < LOWEST_SHARE * usual_top(tops)[:, None])
    disconnected = quiet & (_beside(quiet) | (quiet.shape[1] == 1))
    # Whole stretches: where a lead goes flat and where it comes back there are steps.
    flat = faults.flat > 0
    hum = faults.hum / np.maximum(energy.level, 1e-12)
    sure = _sureness(trace, beats)
    by_stretch = np.square((1 - energy.noise.astype(np.float64)) * sure)
    by_stretch *= (1 - 0.5 * faults.clipped) / (1 + _HUM_COSTS * hum)
    by_stretch[flat | disconnected] = 0
    marks = {
        "flat": flat,
        "clipped": faults.clipped > 0,
        "disconnected": disconnected & ~flat,
        "noise": ((energy.noise > _NOISY) | (sure < 0.5)) & ~flat & ~disconnected,
        "mains": (hum > _HUMMING) & ~flat,
    }
    stretch_s = float(2 * energy.middles[0] / trace.rate_hz)
    values = by_stretch.mean(axis=1).tolist()
    shares = np.array(list(marks.values())).mean(axis=2).T.tolist()
    return [
        Quality(
            value, worth, stretch_s, {name: one for name, one in zip(marks, of, strict=True) if one}
        )
        for value, worth, of in zip(values, by_stretch, shares, strict=True)
    ]


def credible(beats: Beats, trace: Trace, quality: Quality) -> Beats:
    """Leave out the beats that are hardly surer than a guess where the lead is worth nothing.

    Of MIT-BIH's first leads that takes 4 of 57,577 true beats; of a lead that is open, nearly all
    that are found in its noise.
    """
    worth = np.interp(beats.samples / trace.factor, trace.energy.middles, quality.by_stretch)
    kept = (worth > WORTHLESS) | ((worth > _NOTHING) & (beats.confidence > GUESSED))
    return Beats(beats.samples[kept], beats.confidence[kept])


def _sureness(trace: Trace, beats: Sequence[Beats | None]) -> NDArray[np.float64]:
    """The mean confidence of the beats in and next to each stretch; where there are none, 1/2."""
    leads, number = trace.energy.level.shape
    found = [(lead, of) for lead, of in enumerate(beats) if of is not None and of.samples.size]
    sure = np.zeros((leads, number))
    if not found:
        return sure
    samples = np.concatenate([of.samples for _, of in found])
    confidence = np.concatenate([of.confidence for _, of in found])
    rows = np.repeat([lead for lead, _ in found], [of.samples.size for _, of in found])
    length = 2 * trace.energy.middles[0] * trace.factor
    where = np.minimum((samples / length).astype(np.intp), number - 1)
    # As if all leads were one, with an empty stretch at either end of each.
    where += rows * (number + 2) + 1
    sums, counts = (
        np.convolve(np.bincount(where, weights, leads * (number + 2)), np.ones(3), "same").reshape(
            leads, -1
        )[:, 1:-1]
        for weights in (confidence, None)
    )
    those = [lead for lead, _ in found]
    sure[those] = np.where(counts > 0, sums / np.maximum(counts, 1), 0.5)[those]
    return sure


def _beside(marks: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Whether the stretch before or after is marked."""
    beside = np.zeros(marks.shape, np.bool_)
    beside[:, 1:] |= marks[:, :-1]
    beside[:, :-1] |= marks[:, 1:]
    return beside
