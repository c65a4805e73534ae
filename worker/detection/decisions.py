"""Which of the humps in the energy are beats: the best story as a whole.

Every hump has a weight of evidence: how far it rises over a threshold between what lies between
beats and the beats themselves, and how much it looks like its neighbours, which counts the more,
the less heights alone can tell. A story of beats is worth the sum of their evidence, less what is
unlikely about the times between them. The best one is taken, so that a weak beat in a gap is
recovered, and a strong T wave left out, by the same rule.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from worker.detection.energy import Energy, at_places
from worker.detection.rows import Float32s, Places, around, find_humps, running_median
from worker.detection.stories import best_stories


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
_EVIDENCE = (-3.0, 2.0)


@dataclass(frozen=True)
class View:
    """What one lead has to say: its signal in units of its beats, its energy, and its weights.

    `weights` (one for each stretch) are how much is given on it, relative to the other leads. Each
    has a row for each row of the energy that is decided on.
    """

    signal: Float32s
    energy: Energy
    weights: NDArray[np.float64]


@dataclass(frozen=True)
class Verdict:
    """The beats, row after row: in which row, where in samples of the trace, and how sure.

    `confidence` (float64) is 0 to 1.
    """

    rows: Places
    positions: Places
    confidence: NDArray[np.float64]


def decide(energy: Energy, views: Sequence[View], rate_hz: float, rule: Rule = RULE) -> Verdict:
    """Find the beats among the humps of each row of an energy, which knows nothing of the others.

    Parameters
    ----------
    energy : Energy
        Where to look for humps: that of each lead by itself, or that of all leads together.
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
    rows, at = find_humps(energy.height, _LOWEST_HUMP, int(_NEAREST_HUMP_S * rate_hz))
    if at.size == 0:
        return Verdict(rows, at, np.zeros(0))
    humps = _look(energy, views, rows, at, rate_hz)
    evidence = (humps.weights * _rise(views, humps, rate_hz, rule)).sum(axis=0)
    at_stake = rule.resemblance * (2.5 * humps.noise - 0.5).clip(0.2, 1)
    (likely,) = (evidence > 0).nonzero()
    likely = _best_stories(humps, evidence, _usual_intervals(humps, likely), likely, rule)
    shapes = _shapes(views, humps, rate_hz)
    alike = (_resemblance(shapes, humps, likely) - _ALIKE) / (1 - _ALIKE)
    evidence += at_stake * alike.clip(-1.5, 1)
    (open_to,) = (evidence > _LEAST).nonzero()
    chosen = _best_stories(humps, evidence, _usual_intervals(humps, likely), open_to, rule)
    confidence = _confidence(evidence[chosen], humps.noise[chosen])
    return Verdict(rows[chosen], at[chosen], confidence)


def _confidence(evidence: NDArray[np.float64], noise: NDArray[np.float64]) -> NDArray[np.float64]:
    """How many in a hundred such humps are beats, over a hundred.

    A logistic regression on ten records with the noise of moving electrodes at six levels; the more
    noise, the less evidence proves. `make accuracy` shows how well it fits.
    """
    log_odds = evidence * np.maximum(3 - 7.5 * noise, 0) + 3.5 * noise - 1.2
    return 1 / (1 + np.exp(-log_odds))


@dataclass(frozen=True)
class _Humps:
    """Humps of all rows, those of each from its bound to the next, and what is known of each.

    Where they are (`rows`, `at`) and when; the `noise` of the energy there; and, of shape (views,
    humps), the noise and the level of each view, and its weight: these add up to 1.
    """

    rows: Places
    at: Places
    bounds: Places
    times_s: NDArray[np.float64]
    noise: NDArray[np.float64]
    noises: NDArray[np.float64]
    levels: NDArray[np.float64]
    weights: NDArray[np.float64]


def _look(
    energy: Energy, views: Sequence[View], rows: Places, at: Places, rate_hz: float
) -> _Humps:
    leads = len(energy.height)
    stretches: list[NDArray[Any]] = [
        energy.noise,
        *(view.energy.noise for view in views),
        *(view.energy.level for view in views),
        *(view.weights for view in views),
    ]
    numbers = rows + leads * np.arange(len(stretches))[:, None]
    there = at_places(np.concatenate(stretches), energy.middles, numbers, at)
    noises, levels, weights = there[1:].reshape(3, len(views), -1)
    weights /= np.maximum(weights.sum(axis=0), 1e-9)
    bounds = rows.searchsorted(np.arange(leads + 1))
    return _Humps(rows, at, bounds, at / rate_hz, there[0], noises, levels, weights)


def _rise(views: Sequence[View], humps: _Humps, rate_hz: float, rule: Rule) -> NDArray[np.float64]:
    """The evidence of height: twice the logarithm of how many times the threshold it is."""
    near = around(views[0].signal.shape[1], humps.rows, humps.at, int(_SLACK_S * rate_hz))
    heights = np.array([view.energy.height.take(near).max(axis=1) for view in views])
    thresholds = rule.lowest + rule.slope * humps.noises.clip(0.05, 0.8)
    rise: NDArray[np.float64] = 2 * np.log(np.maximum(heights, 1e-4) / thresholds)
    return rise.clip(*_EVIDENCE)


def _best_stories(
    humps: _Humps,
    evidence: NDArray[np.float64],
    usual_s: NDArray[np.float64],
    open_to: Places,
    rule: Rule,
) -> Places:
    """Choose among the humps that are open to it, in each row for itself."""
    bounds = open_to.searchsorted(humps.bounds)
    times_s, evidence, usual_s = (of[open_to] for of in (humps.times_s, evidence, usual_s))
    return open_to[best_stories(times_s, evidence, usual_s, bounds, rule.t_wave)]


def _usual_intervals(humps: _Humps, beats: Places) -> NDArray[np.float64]:
    """For each hump the median of the fifteen RR intervals around it; of fewer than two, 0.8 s."""
    usual_s = np.full(humps.times_s.size, 0.8)
    bounds = beats.searchsorted(humps.bounds)
    # From the last beat of a row to the first one of the next there is no interval.
    is_interval = np.ones(beats.size + 1, np.bool_)
    is_interval[bounds] = False
    at_s = humps.times_s[beats]
    before_s, after_s = at_s[:-1][is_interval[1:-1]], at_s[1:][is_interval[1:-1]]
    counts = (np.diff(bounds) - 1).clip(0)
    intervals_s = running_median(after_s - before_s, counts, _RR_AROUND).clip(*_RR_S)
    middles_s = (after_s + before_s) / 2
    begin = 0
    for row, count in enumerate(counts.tolist()):
        if count > 1:
            theirs, some = slice(*humps.bounds[row : row + 2]), slice(begin, begin + count)
            usual_s[theirs] = np.interp(humps.times_s[theirs], middles_s[some], intervals_s[some])
        begin += count
    return usual_s


def _shapes(views: Sequence[View], humps: _Humps, rate_hz: float) -> Float32s:
    """The signal around each hump in units of the beats around it, that of all views in a row."""
    places = around(views[0].signal.shape[1], humps.rows, humps.at, int(_HALF_SHAPE_S * rate_hz))
    shapes = np.empty((len(places), len(views), places.shape[1]), np.float32)
    for number, view in enumerate(views):
        view.signal.take(places, out=shapes[:, number], mode="clip")
    shapes -= shapes.mean(axis=2, keepdims=True)
    shapes /= humps.levels.T.astype(np.float32)[:, :, None]
    shapes *= np.sqrt(humps.weights.T, dtype=np.float32)[:, :, None]
    return shapes.reshape(len(shapes), -1)


def _resemblance(shapes: Float32s, humps: _Humps, beats: Places) -> NDArray[np.float64]:
    """How much each hump is like the third most similar of the beats around it, from -1 to 1.

    Like in shape (correlation) and in size. The third, as two may be like each other by chance; not
    the mean of all, since ectopic beats have their likes too. The shapes are overwritten.
    """
    third = np.full(len(shapes), _ALIKE)
    if beats.size < _FEWEST:
        return third
    sizes = np.maximum(np.sqrt(np.einsum("ij,ij->i", shapes, shapes)), np.float32(1e-9))
    directions = np.divide(shapes, sizes[:, None], out=shapes)
    # The beats of a row, too, are those from its bound to the next.
    bounds = beats.searchsorted(humps.bounds)
    first = beats.searchsorted(np.arange(len(shapes))) - _NEIGHBOURS
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
        # Not with itself, nor with those of another row.
        begins, ends = bounds[humps.rows[part]], bounds[humps.rows[part] + 1]
        is_none = (places < begins[:, None]) | (places >= ends[:, None])
        like[is_none | (others == part[:, None])] = -1
        best = np.partition(like, -3, axis=1)[:, -3]
        third[part] = np.where(ends - begins < _FEWEST, _ALIKE, best)
    return third
