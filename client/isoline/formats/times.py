"""Columns of times: whether they go up evenly, and how many there are in a second."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from isoline.errors import UnreadableFile

# How much steps may differ from each other, as a part of one.
_JITTER = 0.01
# How exactly the rate must be known, as a part of it.
_EXACT = 0.001
_MOST_DIGITS = 9
# Without a fraction it may as well be hours and minutes.
_ELAPSED = r"^(?:(?P<h>\d+):)?(?P<m>\d+):(?P<s>[0-5]?\d\.\d+)$"


@dataclass(frozen=True)
class Steps:
    """Times that go up evenly.

    mean : from one to the next.
    blur : how far off that may be, because times are rounded when they are written.
    """

    mean: float
    blur: float

    def rate(self, unit_s: float) -> float:
        """How many there are in a second: the one whole number that it may be, if there is one.

        Raises
        ------
        UnreadableFile : too few times, too coarsely rounded, to say.
        """
        rate_hz = 1 / (self.mean * unit_s)
        off_hz = rate_hz * self.blur / self.mean
        if self.blur > _EXACT * self.mean:
            raise UnreadableFile("Its times are too coarse to tell the sampling rate: give --fs.")
        whole = round(rate_hz)
        is_the_only_one = off_hz < 0.5 and abs(whole - rate_hz) <= off_hz
        return float(whole) if is_the_only_one else float(f"{rate_hz:.6g}")


def even_steps(times: NDArray[np.float64]) -> Steps | None:
    """The steps of times that always go up by as much, as far as they are written."""
    steps = np.diff(times)
    mean = float(times[-1] - times[0]) / steps.size
    if not (math.isfinite(mean) and mean > 0):
        return None
    off = float(np.abs(steps - mean).max())
    exact = float(np.spacing(np.abs(times).max())) / steps.size
    if off <= _JITTER * mean:
        return Steps(mean, min(max(off / steps.size, exact), _EXACT * mean))
    digit = _last_digit(times - times[0])
    # Where a step is two digits at least, one that is left out is seen.
    if digit is None or mean < 2 * digit or off > digit * (1 + _JITTER):
        return None
    return Steps(mean, digit / steps.size)


def is_ramp(samples: NDArray[Any], most: int) -> bool:
    """Whether a column that is not called so is one of times or of numbers of rows: it never goes
    down, and up more often than a lead may.
    """
    before, after = samples[:-1], samples[1:]
    return bool((after >= before).all() and np.count_nonzero(after > before) > most)


def clock(column: NDArray[Any], name: str) -> tuple[NDArray[np.float64], datetime | None]:
    """Times of day and date (ISO 8601) as seconds since the first, and the first; or times like
    `'1:02:03.450'`, as the WFDB tools write them, as seconds.

    Raises
    ------
    UnreadableFile : some are no such times.
    """
    elapsed = pd.Series(column, dtype=str).str.strip().str.strip("'").str.extract(_ELAPSED)
    if elapsed["s"].notna().all():
        parts = elapsed.fillna("0").astype(float)
        return (3600 * parts["h"] + 60 * parts["m"] + parts["s"]).to_numpy(), None
    try:
        # Where no time zone is named, it is UTC, as in the other formats.
        moments = pd.Series(pd.to_datetime(column, format="ISO8601", utc=True))
    except (ValueError, TypeError):
        raise UnreadableFile(f"Column {name} holds something that is not a number.") from None
    if moments.isna().any():
        raise UnreadableFile(f"Column {name} has gaps, and nothing stands for those.")
    first = moments.iloc[0]
    return (moments - first).dt.total_seconds().to_numpy(), first.to_pydatetime()


def _last_digit(times: NDArray[np.float64]) -> float | None:
    """What the last digit stands for that times are written with: 0.001 for 0.003."""
    for digits in range(_MOST_DIGITS + 1):
        scaled = times * 10.0**digits
        if (np.abs(scaled - np.round(scaled)) < 1e-4).all():
            return 10.0**-digits
    return None
