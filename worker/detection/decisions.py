"""Which of the humps in the energy are beats: the best story as a whole, found in one pass.

Every hump has a weight of evidence: how far it rises over a threshold between what lies between
beats and the beats themselves, and how much it looks like its neighbours, which counts the more,
the less heights alone can tell. A story of beats is worth the sum of their evidence, less what is
unlikely about the times between them: beats where the T wave of the one before must be, and gaps
in which a beat is missing. The best story is found by dynamic programming, so that a weak beat in a
gap is recovered, and a strong T wave left out, by the same rule.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from worker.detection.energy import Energy
from worker.detection.filters import (
    Float32s,
    cut_around,
    find_humps,
    highest_within,
    running_median,
)


@dataclass(frozen=True)
class Rule:
    """The constants that were tuned; all others are physiology. `make accuracy` validates them."""

    # The threshold, as a share of a beat: `lowest` where it is silent between beats.
    lowest: float = 0.18
    slope: float = 0.9
    # The evidence of looking exactly like its neighbours, where heights say nothing.
    resemblance: float = 2.0
    # What it takes to believe in a beat that begins right after the refractory time.
    t_wave: float = 3.5


RULE = Rule()

# Ventricles do not beat again sooner; 0.4 s times the root of the RR interval is about how long a
# T wave lasts (QT, Bazett 1920); a gap is unusual from one and a half intervals on, and each
# interval more is worth the evidence of one beat that stands out.
REFRACTORY_S = 0.2
_QT_S = 0.4
_LONG_GAP = 1.5
_MISSED = 2.0
# However long the gap: under half the threshold nothing is taken for a beat (Pan & Tompkins 1985).
_LEAST = -2 * math.log(2)
_RR_AROUND = 15
_RR_S = (0.3, 2.0)
# Lower humps are no beats; nearer ones belong to the same QRS.
_LOWEST_HUMP = 0.12
_NEAREST_HUMP_S = 0.12
# Leads see the same beat so far apart.
_SLACK_S = 0.05
_HALF_SHAPE_S = 0.1
_NEIGHBOURS = 8
_AT_ONCE = 1 << 15
# Three others: of fewer nothing is said.
_FEWEST = 4
_ALIKE = 0.75
_LOOKED_BACK = 12
_EVIDENCE = (-3.0, 2.0)


@dataclass(frozen=True)
class View:
    """What one lead has to say: its signal in units of its beats, its energy, and its weights.

    `weights` (one for each stretch) are how much is given on it, relative to the other leads.
    """

    signal: Float32s
    energy: Energy
    weights: NDArray[np.float64]


@dataclass(frozen=True)
class Verdict:
    """The beats, in samples of the trace (int64), and the confidence in each (float64, 0 to 1)."""

    positions: NDArray[np.int64]
    confidence: NDArray[np.float64]


def decide(energy: Energy, views: Sequence[View], rate_hz: float, rule: Rule = RULE) -> Verdict:
    """Find the beats among the humps of an energy.

    Parameters
    ----------
    energy : Energy
        Where to look for humps: that of the one lead, or of all together.
    views : sequence of View
        Whose evidence counts; at least one.
    rate_hz : float
        Of the traces.
    rule : Rule

    Returns
    -------
    Verdict
        No position twice, in their order; none where there is no hump.
    """
    humps = find_humps(energy.height, _LOWEST_HUMP, int(_NEAREST_HUMP_S * rate_hz))
    if humps.size == 0:
        return Verdict(humps, np.zeros(0))
    weights = np.stack([np.interp(humps, energy.middles, view.weights) for view in views])
    weights /= np.maximum(weights.sum(0), 1e-9)
    evidence = np.zeros(humps.size)
    for view, weight in zip(views, weights, strict=True):
        evidence += weight * _rise(view.energy, humps, rate_hz, rule)
    noise = energy.noise_at(humps)
    at_stake = rule.resemblance * np.clip(2.5 * noise - 0.5, 0.2, 1)
    likely = np.flatnonzero(evidence > 0)
    times_s = humps / rate_hz
    usual_s = _usual_intervals(times_s, likely)
    likely = likely[_best_story(times_s[likely], evidence[likely], usual_s[likely], rule)]
    shapes = np.concatenate(
        [
            _shapes(view, humps, rate_hz) * np.sqrt(weight, dtype=np.float32)[:, None]
            for view, weight in zip(views, weights, strict=True)
        ],
        axis=1,
    )
    alike = (_resemblance(shapes, likely) - _ALIKE) / (1 - _ALIKE)
    evidence += at_stake * np.clip(alike, -1.5, 1)
    likely_s = _usual_intervals(times_s, likely)
    open_to = np.flatnonzero(evidence > _LEAST)
    chosen = open_to[_best_story(times_s[open_to], evidence[open_to], likely_s[open_to], rule)]
    confidence = _confidence(evidence[chosen], noise[chosen])
    return Verdict(humps[chosen].astype(np.int64), confidence)


def _confidence(evidence: NDArray[np.float64], noise: NDArray[np.float64]) -> NDArray[np.float64]:
    """How many in a hundred such humps are beats, over a hundred.

    A logistic regression on ten records with the noise of moving electrodes at six levels; the more
    noise, the less evidence proves. `make accuracy` shows how well it fits.
    """
    log_odds = evidence * np.maximum(3 - 7.5 * noise, 0) + 3.5 * noise - 1.2
    return 1 / (1 + np.exp(-log_odds))


def _rise(
    energy: Energy, positions: NDArray[np.intp], rate_hz: float, rule: Rule
) -> NDArray[np.float64]:
    """The evidence of height: twice the logarithm of how many times the threshold it is."""
    height = highest_within(energy.height, int(_SLACK_S * rate_hz))[positions]
    threshold = rule.lowest + rule.slope * np.clip(energy.noise_at(positions), 0.05, 0.8)
    rise: NDArray[np.float64] = 2 * np.log(np.maximum(height, 1e-4) / threshold)
    return rise.clip(*_EVIDENCE)


def _usual_intervals(times_s: NDArray[np.float64], beats: NDArray[np.intp]) -> NDArray[np.float64]:
    """For each hump the median of the fifteen RR intervals around it."""
    if beats.size < 3:
        return np.full(times_s.size, 0.8)
    at = times_s[beats]
    intervals_s = running_median(at[1:] - at[:-1], _RR_AROUND).clip(*_RR_S)
    usual_s: NDArray[np.float64] = np.interp(times_s, (at[1:] + at[:-1]) / 2, intervals_s)
    return usual_s


def _shapes(view: View, positions: NDArray[np.intp], rate_hz: float) -> Float32s:
    """Cut the signal around each hump, in units of the beats around it."""
    cut = cut_around(view.signal, positions, int(_HALF_SHAPE_S * rate_hz))
    cut -= cut.mean(axis=1, keepdims=True)
    level = np.interp(positions, view.energy.middles, view.energy.level)
    cut /= level.astype(np.float32)[:, None]
    return cut


def _resemblance(shapes: Float32s, beats: NDArray[np.intp]) -> NDArray[np.float64]:
    """How much each hump is like the third most similar of the beats around it, from -1 to 1.

    Like in shape (correlation) and in size. The third, as two may be like each other by chance; not
    the mean of all, since ectopic beats have their likes too.
    """
    third = np.full(len(shapes), _ALIKE)
    if beats.size < _FEWEST:
        return third
    sizes = np.maximum(np.sqrt(np.einsum("ij,ij->i", shapes, shapes)), np.float32(1e-9))
    directions = shapes / sizes[:, None]
    first = np.searchsorted(beats, np.arange(len(shapes))) - _NEIGHBOURS
    offsets = np.arange(2 * _NEIGHBOURS + 1)
    # In parts, as each hump meets many.
    at_once = max(1, _AT_ONCE // shapes.shape[1])
    for begin in range(0, len(shapes), at_once):
        part = np.arange(begin, min(begin + at_once, len(shapes)))
        places = first[part, None] + offsets
        others = beats.take(places, mode="clip")
        like = np.einsum("ij,ikj->ik", directions[part], directions[others])
        ratio = sizes[part, None] / sizes[others]
        like *= (2 * ratio / (1 + ratio * ratio)) ** 2
        # Not with itself, nor with the first or the last one again and again.
        like[(places < 0) | (places >= beats.size) | (others == part[:, None])] = -1
        third[part] = np.partition(like, -3, axis=1)[:, -3]
    return third


def _best_story(
    times_s: NDArray[np.float64],
    evidence: NDArray[np.float64],
    usual_s: NDArray[np.float64],
    rule: Rule,
) -> NDArray[np.intp]:
    """Choose humps so that their evidence, less the cost of the times between, is largest."""
    # Python's arrays: numpy's take ten times as long to loop over, lists four times the memory.
    worth, highest_so_far, came_from = array("d"), array("d"), array("l")
    t_waves_s = np.maximum(_QT_S * np.sqrt(usual_s), REFRACTORY_S + 1e-3)
    times, gains, usuals, t_waves = (
        array("d", numbers.tobytes()) for numbers in (times_s, evidence, usual_s, t_waves_s)
    )
    humps = zip(times, gains, usuals, t_waves, strict=True)
    highest = -math.inf
    for number, (at, gain, usual, t_wave) in enumerate(humps):
        # A story may begin with any of the first humps, and ends with any of the last: it pays for
        # what it leaves out as for a gap.
        begins = number < _LOOKED_BACK
        best, best_from = -_missed(at - usual / 2, usual) if begins else -1e9, -1
        for before in range(number - 1, max(-1, number - 1 - _LOOKED_BACK), -1):
            # None of the earlier ones can be worth more.
            if highest_so_far[before] <= best:
                break
            gap = at - times[before]
            if gap < REFRACTORY_S:
                continue
            value = worth[before]
            if gap < t_wave:
                value -= rule.t_wave * (t_wave - gap) / (t_wave - REFRACTORY_S)
            elif gap > _LONG_GAP * usual:
                value -= _missed(gap, usual)
            if value > best:
                best, best_from = value, before
        worth.append(gain + best)
        came_from.append(best_from)
        highest = max(highest, gain + best)
        highest_so_far.append(highest)
    if not worth:
        return np.zeros(0, np.intp)
    last = max(
        range(max(0, len(worth) - _LOOKED_BACK), len(worth)),
        key=lambda number: worth[number] - _missed(times[-1] - times[number], usuals[number]),
    )
    story = []
    while last >= 0:
        story.append(last)
        last = came_from[last]
    return np.array(story[::-1], np.intp)


def _missed(gap_s: float, usual_s: float) -> float:
    """What a gap costs, in which beats must have been missed if it is long."""
    return _MISSED * max(0.0, gap_s / usual_s - _LONG_GAP)
