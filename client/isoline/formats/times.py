"""Columns of times: whether they go up evenly, and how many there are in a second."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isoline.errors import UnreadableFile
from isoline.formats.layouts import TIME
from isoline.formats.rates import EXACT, AnotherRate, agreed

# How much steps may differ from each other, as a part of one.
_JITTER = 0.01
_MOST_DIGITS = 9
_UNITS_S = {"m": 1e-3, "u": 1e-6, "µ": 1e-6, "μ": 1e-6, "n": 1e-9, "s": 1.0}
# Slower is no ECG: what has no unit is then something else than seconds.
_LONGEST_STEP_S = 0.1
# How often a lead may go up and never down; and how often where it stands as times often do: first
# of several, and not in whole numbers.
_MOST_RISES = 14
_MOST_RISES_OF_FIRST = 2


@dataclass(frozen=True)
class Steps:
    """Times that go up evenly.

    mean : from one to the next.
    blur : how far off that may be, because times are rounded when they are written.
    """

    mean: float
    blur: float

    def rate(self, unit_s: float, given_hz: float | None) -> float | None:
        """How many there are in a second: the one whole number that it may be, if there is one.

        Parameters
        ----------
        given_hz : the rate that was given for files that state none; of those that the times may
            mean it is the one.

        Raises
        ------
        UnreadableFile : too few times, too coarsely rounded, to say.
        AnotherRate : they say another rate than the given one.
        """
        rate_hz = 1 / (self.mean * unit_s)
        off_hz = rate_hz * self.blur / self.mean
        if given_hz is not None and abs(given_hz - rate_hz) <= off_hz:
            return given_hz
        if given_hz is None and self.blur > EXACT * self.mean:
            raise UnreadableFile("Its times are too coarse to tell the sampling rate: give --fs.")
        whole = round(rate_hz)
        is_the_only_one = off_hz < 0.5 and abs(whole - rate_hz) <= off_hz
        stated_hz = float(whole) if is_the_only_one else float(f"{rate_hz:.6g}")
        return agreed(stated_hz, given_hz)


def even_steps(times: NDArray[np.float64]) -> Steps | None:
    """The steps of times that always go up by as much, as far as they are written."""
    steps = np.diff(times)
    mean = float(times[-1] - times[0]) / steps.size
    if not (math.isfinite(mean) and mean > 0):
        return None
    off = float(np.abs(steps - mean).max())
    exact = float(np.spacing(np.abs(times).max())) / steps.size
    if off <= _JITTER * mean:
        return Steps(mean, min(max(off / steps.size, exact), EXACT * mean))
    digit = _last_digit(times - times[0])
    # Where a step is two digits at least, one that is left out is seen.
    if digit is None or mean < 2 * digit or off > digit * (1 + _JITTER):
        return None
    return Steps(mean, digit / steps.size)


def find_times(
    names: list[str] | None, columns: list[NDArray[Any]], given_hz: float | None
) -> tuple[float | None, int]:
    """The sampling rate, where the first column is one of times, and how many columns that takes.

    Parameters
    ----------
    names : of the columns; None where they have none, and the first of several is one of times when
        it goes up in steps that are all the same and no whole numbers.
    columns : of arrays, each of shape (number_of_samples,)
    given_hz : the rate that was given for files that state none.
    """
    times = columns[0].astype(np.float64)
    named = TIME.match(names[0]) if names else None
    if (names and named is None) or len(columns) < 2 or times.size < 2:
        return given_hz, 1 if named else 0
    steps = even_steps(times)
    if named is None:
        if steps is None or steps.mean.is_integer():
            return given_hz, 0
        if steps.mean > _LONGEST_STEP_S:
            raise UnreadableFile(
                f"Column 1 goes up in steps of {steps.mean:g}, and nothing says what it is."
            )
        return steps.rate(1.0, given_hz), 1
    if steps is None:
        raise UnreadableFile(f"The times in {named.string} do not go up evenly.")
    if named["unit"] is None and steps.mean > _LONGEST_STEP_S:
        return _rate_without_unit(named.string, steps, given_hz), 1
    return steps.rate(_UNITS_S[(named["unit"] or "s").lower()[0]], given_hz), 1


def _rate_without_unit(name: str, steps: Steps, given_hz: float | None) -> float | None:
    """The given rate, if there is a unit in which the steps are those of it."""
    for unit_s in _UNITS_S.values() if given_hz is not None else ():
        try:
            return steps.rate(unit_s, given_hz)
        except AnotherRate:
            continue
    what = "" if given_hz is None else f" that are {given_hz:g} Hz in none"
    raise UnreadableFile(
        f"{name} has no unit, and steps of {steps.mean:g}{what}: call it 'time_ms', for instance."
    )


def seem_times(samples: NDArray[Any], *, is_first_of_several: bool) -> bool:
    """Whether a column that is not called so is one of times or of numbers of rows: it never goes
    down, and up more often than a lead may.
    """
    before, after = samples[:-1], samples[1:]
    is_where_times_are = is_first_of_several and bool((samples % 1 != 0).any())
    most = _MOST_RISES_OF_FIRST if is_where_times_are else _MOST_RISES
    return bool((after >= before).all() and np.count_nonzero(after > before) > most)


def _last_digit(times: NDArray[np.float64]) -> float | None:
    """What the last digit stands for that times are written with: 0.001 for 0.003."""
    for digits in range(_MOST_DIGITS + 1):
        scaled = times * 10.0**digits
        if (np.abs(scaled - np.round(scaled)) < 1e-4).all():
            return 10.0**-digits
    return None
