"""The intervals from each beat to the next, and which of them are accepted for further use.

`intervals_ms` has one less than there are beats of the whole ECG, in their order. `not_accepted`
are the indices, from 0, of those that are left out of the variability:

- an interval shorter than 200 ms or longer than 3,000 ms is taken for a beat that was found in vain
  or missed (`implausible` says how many);
- one that differs by more than 20 % from the median of the 20 plausible intervals before it and
  the 20 after it (mirrored at both ends) is taken for one that begins or ends with an ectopic beat,
  or for the same mistake (`deviating`).

`count` is how many there are, `accepted` how many of them are accepted, and `median_ms` the median
of the accepted ones.

Noise has intervals too. They are said where the `confidence` of the beats is 0.8 or more on the
mean; and where it is less, as it is of wide beats that hardly stand out, if the rhythm bears them
out: at least 5 accepted intervals that cover nine tenths of the time from the first beat to the
last.

Limits
------
- Needs two beats, and either of these conditions. Of strips of ten seconds in which an electrode
  moves and nothing else is seen, some still meet them.
- The accuracy of an interval is that of two R peaks: one sample, at best. Where another lead
  becomes the best one, R peaks move by as much as the leads differ, and so does one interval.
- A rhythm that is irregular by nature loses many of its intervals, which are right all the same;
  and a beat that comes less than 20 % too early is kept.

Sources
-------
- Which beats are sure enough is our own, chosen by what noise alone and the wide beats of real
  recordings have.
- The 20 %: Malik et al., Eur Heart J 10:1060 (1989).
- Compared with what is around it, and not with the one interval before: the filter of PhysioNet's
  HRV toolkit, 20 intervals on either side; here with the median instead of their mean, so that
  what is to be left out does not move what it is compared with.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from shared.errors import NotComputable
from worker.insights import Needed, Recording
from worker.intervals import accept, plausible

VERSION = 2
UNIT = "ms"
FIGURES = ("count", "accepted", "implausible", "deviating", "median_ms")
SCOPES = {"ecg": ("ecg.beats",)}

# What is said of less sure beats must be borne out by so many intervals, over such a share of time.
SURE = 0.8
FEWEST, LEAST_COVERED = 5, 0.9


def compute(recording: Recording, needed: Needed) -> dict[str, Any]:
    """Subtract neighbours, and judge what comes of it.

    Returns
    -------
    dict
        The figures (no median where none is accepted) and both lists; for others the intervals in
        seconds as `_intervals_s`, and `_accepted`, one bool for each.
    """
    beats = needed["ecg.beats"]
    samples = beats["_samples"]
    if samples.size < 2:
        raise NotComputable("needs two beats")
    intervals_s = np.diff(samples) / recording.sampling_rate_hz
    accepted = accept(intervals_s)
    covered_s = float(intervals_s[accepted].sum())
    is_steady = accepted.sum() >= FEWEST and covered_s >= LEAST_COVERED * intervals_s.sum()
    if beats["confidence"] < SURE and not is_steady:
        raise NotComputable("needs beats that are surer, or a rhythm that bears them out")
    number = int(plausible(intervals_s).sum())
    median = {"median_ms": 1e3 * float(np.median(intervals_s[accepted]))} if accepted.any() else {}
    return {
        "count": intervals_s.size,
        "accepted": int(accepted.sum()),
        "implausible": intervals_s.size - number,
        "deviating": number - int(accepted.sum()),
        **median,
        "intervals_ms": np.round(1e3 * intervals_s, 3).tolist(),
        "not_accepted": np.flatnonzero(~accepted).tolist(),
        "_intervals_s": intervals_s,
        "_accepted": accepted,
    }
