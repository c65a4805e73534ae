"""What is said of the intervals between beats: which to trust, and rates and variability of those.

Everything takes seconds in float64, in the order of the beats, and is linear in their number.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

Seconds = NDArray[np.float64]
Mask = NDArray[np.bool_]

# 300 and 20 beats a minute.
SHORTEST_S, LONGEST_S = 0.2, 3.0
# An interval is compared with so many on either side, and may differ from them by so much.
NEIGHBOURS = 20
MOST_DEVIATION = 0.2
# A rate is taken over so many intervals in a row.
RATE_INTERVALS = 8
# The Task Force's five minutes; its bands, in Hz; and how much of a window has to be accepted.
WINDOW_S = 300.0
LF_HZ, HF_HZ = (0.04, 0.15), (0.15, 0.4)
LEAST_COVERED = 0.8


def plausible(intervals_s: Seconds) -> Mask:
    """Say which intervals can be those between two beats that were found rightly."""
    mask: Mask = (intervals_s >= SHORTEST_S) & (intervals_s <= LONGEST_S)
    return mask


def accept(intervals_s: Seconds) -> Mask:
    """Say which intervals are plausible and no more than a fifth away from those around them.

    Compared with the median of the 20 plausible intervals before it and the 20 after it; at both
    ends they are mirrored. The fifth is that of Malik et al. 1989; the surroundings instead of the
    interval before, so that one odd interval does not spoil its successor, those of PhysioNet's HRV
    toolkit, with a median instead of the mean.
    """
    mask = plausible(intervals_s)
    candidates = intervals_s[mask]
    if candidates.size:
        # Mirrored at the ends; and without the interval itself, which would be the casting vote
        # where two kinds of beats take turns.
        steps = np.concatenate([np.arange(-NEIGHBOURS, 0), np.arange(1, NEIGHBOURS + 1)])
        places = (np.arange(candidates.size)[:, None] + steps) % (2 * candidates.size)
        others = candidates[np.minimum(places, 2 * candidates.size - 1 - places)]
        others.partition([NEIGHBOURS - 1, NEIGHBOURS], axis=1)
        around = others[:, NEIGHBOURS - 1 : NEIGHBOURS + 1].mean(axis=1)
        mask[mask] = np.abs(candidates - around) <= MOST_DEVIATION * around
    return mask


def heart_rates(intervals_s: Seconds) -> tuple[float, float, float] | None:
    """Give the mean, lowest and highest rate in bpm; None when no interval is plausible.

    The mean is over all plausible intervals, the extremes over every eight in a row that are, and
    over all: intervals near the ends and near gaps are in fewer eights, and weigh less there.
    """
    mask = plausible(intervals_s)
    if not mask.any():
        return None
    mean = 60.0 / float(intervals_s[mask].mean())
    if intervals_s.size < RATE_INTERVALS:
        return mean, mean, mean
    is_whole = sliding_window_view(mask, RATE_INTERVALS).all(axis=1)
    windows = sliding_window_view(intervals_s, RATE_INTERVALS)
    rates = 60.0 * RATE_INTERVALS / windows.sum(axis=1)[is_whole]
    return mean, float(rates.min(initial=mean)), float(rates.max(initial=mean))


def time_domain(intervals_s: Seconds, accepted: Mask) -> dict[str, float]:
    """Give what the Task Force (1996) calls statistical methods, and the Poincaré plot's axes.

    Parameters
    ----------
    intervals_s : all intervals.
    accepted : which of them count; of those at least two must be neighbours, twice.

    Returns
    -------
    dict
        `mean_nn_ms`, `sdnn_ms` (n - 1 in the denominator), `rmssd_ms`, `pnn50_percent` (of all
        accepted intervals), `sd1_ms` and `sd2_ms` (of the neighbours, n - 1 again).
    """
    nn_ms = 1e3 * intervals_s
    are_neighbours = accepted[:-1] & accepted[1:]
    before, after = nn_ms[:-1][are_neighbours], nn_ms[1:][are_neighbours]
    steps = after - before
    nn_ms = nn_ms[accepted]
    return {
        "mean_nn_ms": float(nn_ms.mean()),
        "sdnn_ms": float(nn_ms.std(ddof=1)),
        "rmssd_ms": math.sqrt(float((steps**2).mean())),
        # Steps are whole samples: one of 50 ms exactly must not count for its rounding.
        "pnn50_percent": 100.0 * int((np.abs(steps) > 50.0 + 1e-6).sum()) / nn_ms.size,
        "sd1_ms": float((steps / math.sqrt(2)).std(ddof=1)),
        "sd2_ms": float(((after + before) / math.sqrt(2)).std(ddof=1)),
    }


def frequency_domain(intervals_s: Seconds, accepted: Mask) -> dict[str, float] | None:
    """Give the power in the bands LF and HF; None when no five minutes are good enough.

    Lomb's periodogram of the accepted intervals, each at the time of the beat that ends it, less
    their mean, in windows of 300 s one after the other, at the multiples of 1/300 Hz: nothing is
    put in the place of what is not accepted, and nothing is sampled again. A sine of amplitude a
    has the power a²/2. Only windows of which 80 % are covered by accepted intervals count; the
    powers are the means over those. Beats sample what moves them: HF is that of the windows alone
    of which half the mean rate reaches its end, as what is quicker looks like something slower.

    Returns
    -------
    dict or None
        `lf_ms2` and `windows`; where HF can be told `hf_ms2`, `hf_windows`, and `lf_hf` of these
        windows (left out when there is no power in HF).
    """
    ends_s = np.cumsum(intervals_s)
    bins_hz = np.arange(math.ceil(LF_HZ[0] * WINDOW_S), round(HF_HZ[1] * WINDOW_S)) / WINDOW_S
    is_lf = bins_hz < LF_HZ[1]
    lf_ms2, hf_ms2, tells_hf = [], [], []
    # A recording of five minutes holds a little less between its first beat and its last.
    for number in range(int((ends_s[-1] + LONGEST_S) / WINDOW_S) if ends_s.size else 0):
        first, last = np.searchsorted(ends_s, [number * WINDOW_S, (number + 1) * WINDOW_S])
        some = accepted[first:last]
        nn_s = intervals_s[first:last][some]
        if nn_s.sum() < LEAST_COVERED * WINDOW_S:
            continue
        nn_ms = 1e3 * (nn_s - nn_s.mean())
        spectrum = 2.0 / nn_ms.size * lomb(ends_s[first:last][some], nn_ms, bins_hz)
        lf_ms2.append(spectrum[is_lf].sum())
        hf_ms2.append(spectrum[~is_lf].sum())
        tells_hf.append(bool(2.0 * HF_HZ[1] * nn_s.mean() <= 1.0))
    if not lf_ms2:
        return None
    said = {"lf_ms2": float(np.mean(lf_ms2)), "windows": len(lf_ms2)}
    if not any(tells_hf):
        return said
    lf, hf = (float(np.mean(np.array(power)[tells_hf])) for power in (lf_ms2, hf_ms2))
    ratio = {"lf_hf": lf / hf} if hf > 0 else {}
    return {**said, "hf_ms2": hf, **ratio, "hf_windows": sum(tells_hf)}


def lomb(times_s: Seconds, values: NDArray[np.float64], bins_hz: Seconds) -> NDArray[np.float64]:
    """Give Lomb's periodogram, not normalised: a sine of amplitude a over n samples has n·a²/4.

    Written down here (Lomb 1976, doi:10.1007/BF00648343; equation 13.8.4 of Numerical Recipes,
    times the variance) because importing scipy for it takes each worker most of a second.

    Parameters
    ----------
    times_s : shape (n,), in any distances.
    values : shape (n,), of mean zero.
    bins_hz : shape (bins,), above zero.

    Returns
    -------
    ndarray of shape (bins,)
        In the square of the values' unit.
    """
    phases = 2 * np.pi * np.outer(bins_hz, times_s)
    shifts = 0.5 * np.arctan2(np.sin(2 * phases).sum(axis=1), np.cos(2 * phases).sum(axis=1))
    phases -= shifts[:, np.newaxis]
    power = np.zeros(bins_hz.size)
    for wave in (np.cos(phases), np.sin(phases)):
        weight = (wave**2).sum(axis=1)
        # A wave that is zero wherever there is a value says nothing of them.
        is_seen = weight > 1e-9 * times_s.size
        power[is_seen] += 0.5 * (wave @ values)[is_seen] ** 2 / weight[is_seen]
    return power
