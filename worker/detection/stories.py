"""The best story of beats that humps can tell, by dynamic programming.

It is worth the sum of the evidence of its humps, less what is unlikely about the times between
them: beats where the T wave of the one before must be, and gaps in which a beat is missing.
"""

from __future__ import annotations

import itertools
import math
from array import array
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from worker.detection.rows import Places

# Ventricles do not beat again sooner; 0.4 s times the root of the RR interval is about how long a
# T wave lasts (QT, Bazett 1920); a gap is unusual from one and a half intervals on, and each
# interval more is worth the evidence of one beat that stands out.
REFRACTORY_S = 0.2
_QT_S = 0.4
_LONG_GAP = 1.5
_MISSED = 2.0
_LOOKED_BACK = 12


def best_stories(
    times_s: NDArray[np.float64],
    evidence: NDArray[np.float64],
    usual_s: NDArray[np.float64],
    bounds: Places,
    t_wave_costs: float,
) -> Places:
    """Choose humps so that their evidence, less the cost of the times between, is largest.

    Parameters
    ----------
    times_s, evidence, usual_s : ndarrays of shape (humps,)
        When each hump is, what speaks for its being a beat, and the usual interval there.
    bounds : ndarray of shape (rows + 1,)
        The humps of a row, which make a story of their own, are those from its bound to the next.
    t_wave_costs : float
        What it costs to believe in a beat right after the refractory time.

    Returns
    -------
    ndarray of shape (beats,)
        Of the humps that are beats the numbers, ascending.
    """
    t_waves_s = np.maximum(_QT_S * np.sqrt(usual_s), REFRACTORY_S + 1e-3)
    late = _MISSED * np.maximum(0.0, (times_s - usual_s / 2) / usual_s - _LONG_GAP)
    # Python's arrays: numpy's take ten times as long to loop over, lists four times the memory.
    humps = [array("d", of.tobytes()) for of in (times_s, evidence, usual_s, t_waves_s, late)]
    stories = [
        np.array(_best_story([of[begin:end] for of in humps], t_wave_costs), np.intp) + begin
        for begin, end in itertools.pairwise(bounds.tolist())
    ]
    return np.concatenate(stories)


def _best_story(humps: Sequence[array[float]], t_wave_costs: float) -> list[int]:
    times, _, usuals, _, _ = humps
    worth, highest_so_far, came_from = array("d"), array("d"), array("l")
    highest = -math.inf
    for number, (at, gain, usual, t_wave, late) in enumerate(zip(*humps, strict=True)):
        # A story may begin with any of the first humps, and ends with any of the last: it pays for
        # what it leaves out as for a gap.
        best, best_from = -late if number < _LOOKED_BACK else -1e9, -1
        for before in range(number - 1, max(-1, number - 1 - _LOOKED_BACK), -1):
            # None of the earlier ones can be worth more.
            if highest_so_far[before] <= best:
                break
            gap = at - times[before]
            if gap < REFRACTORY_S:
                continue
            value = worth[before]
            if gap < t_wave:
                value -= t_wave_costs * (t_wave - gap) / (t_wave - REFRACTORY_S)
            elif gap > _LONG_GAP * usual:
                value -= _missed(gap, usual)
            if value > best:
                best, best_from = value, before
        value = gain + best
        if value > highest:
            highest = value
        worth.append(value)
        highest_so_far.append(highest)
        came_from.append(best_from)
    best, last = -math.inf, -1
    for number in range(len(worth) - 1, max(-1, len(worth) - 1 - _LOOKED_BACK), -1):
        if highest_so_far[number] < best:
            break
        value = worth[number] - _missed(at - times[number], usuals[number])
        if value >= best:
            best, last = value, number
    story = []
    while last >= 0:
        story.append(last)
        last = came_from[last]
    return story[::-1]


def _missed(gap_s: float, usual_s: float) -> float:
    """What a gap costs, in which beats must have been missed if it is long."""
    return _MISSED * max(0.0, gap_s / usual_s - _LONG_GAP)
