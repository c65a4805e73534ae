"""How many beats there are in a minute: on the whole, and where they are rarest and densest.

From the intervals of `rr` between 200 and 3,000 ms, those of ectopic beats among them: they are
beats, too. `mean_bpm` is 60 s divided by their mean. `minimum_bpm` and `maximum_bpm` are the lowest
and the highest of the rates over any 8 such intervals in a row, 480 s divided by the time from the
first beat of the eight intervals to the last, and of the mean itself: in a recording of few
seconds, or where no 8 follow each other, that may be the more extreme one. `intervals` says how
many there are in all.

Limits
------
- Needs what `rr` needs, and intervals of 200 to 3,000 ms that cover a quarter of the time from the
  first beat to the last: of beats here and there nothing is said.
- A pause of more than 3 s counts as a beat that was missed, and in no rate; so does every interval
  of a heart that beats less than 20 times a minute.
- A rate over 8 intervals is steadier than the shortest and the longest interval would suggest.

Sources
-------
- The window is our own; that it be stated is asked for by ANSI/AAMI EC13 and IEC 60601-2-27.
"""

from __future__ import annotations

from typing import Any

from shared.errors import NotComputable
from worker.insights import Needed, Recording
from worker.intervals import heart_rates, plausible

VERSION = 2
UNIT = "beats per minute"
FIGURES = ("mean_bpm", "minimum_bpm", "maximum_bpm", "intervals")
SCOPES = {"ecg": ("ecg.rr",)}

LEAST_COVERED = 0.25


def compute(recording: Recording, needed: Needed) -> dict[str, Any]:
    """Take rates of the intervals that can be such.

    Returns
    -------
    dict
        The figures.
    """
    intervals_s = needed["ecg.rr"]["_intervals_s"]
    rates = heart_rates(intervals_s)
    if rates is None:
        raise NotComputable("needs two beats that are 200 to 3,000 ms from each other")
    counted = plausible(intervals_s)
    if intervals_s[counted].sum() < LEAST_COVERED * intervals_s.sum():
        raise NotComputable(
            "needs intervals of 200 to 3,000 ms that cover a quarter of the time between beats"
        )
    return {**dict(zip(FIGURES, rates, strict=False)), "intervals": int(counted.sum())}
