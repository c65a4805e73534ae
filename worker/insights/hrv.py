"""How much the intervals between beats vary, by the accepted intervals of `rr` (NN) alone.

In the time domain, from a minute of accepted intervals on:

- `mean_nn_ms`: their mean;
- `sdnn_ms`: their standard deviation, with n - 1 in the denominator;
- `rmssd_ms`: the root of the mean square of the differences between neighbours, both accepted;
- `pnn50_percent`: how many of these differences are greater than 50 ms, in percent of the number of
  accepted intervals;
- `sd1_ms`, `sd2_ms`: the standard deviations (n - 1) across and along the line of identity, when
  each interval is drawn over the one before it.

In the frequency domain, from five minutes on: `lf_ms2` and `hf_ms2`, the power from 0.04 to 0.15 Hz
and from 0.15 to 0.40 Hz, and `lf_hf`, the one divided by the other. They are sums over Lomb's
periodogram of the accepted intervals, each at the time of the beat that ends it and less their
mean, at the multiples of 1/300 Hz, so that a sine of amplitude a has the power a²/2; nothing is
interpolated. The periodogram is that of windows of 300 s, one after the other, of which accepted
intervals cover at least 80 %; the powers are the means over these, and `windows` says how many
there are. Where there is none, `no_spectrum` says so. A recording of five minutes holds a little
less between its first beat and its last: a window that is 3 s short at its end counts.

Beats sample what moves them, and tell nothing that is quicker than half their rate. HF, and the
ratio, are those of the windows alone in which that reaches 0.40 Hz, the mean of the accepted
intervals being 1,250 ms at most (48 a minute); `hf_windows` says how many there are. Where there is
none, `no_hf` says so.

`nn_s` is how many seconds the accepted intervals last together.

Limits
------
- Needs 60 s of accepted intervals, and half of all intervals accepted. The Task Force asks for 5
  minutes; what comes from fewer is to be compared only with what is as long.
- SDNN grows with the length of the recording.
- The differences are as coarse as the samples: at 250 Hz in steps of 4 ms.
- A drift of the intervals over a window is not taken out, and counts in LF.
- LF and HF of a Lomb periodogram differ by some percent from those of Welch's method on intervals
  that were interpolated, which smooths what is quick; by more where intervals were not accepted.
- A breath of more than 0.40 Hz (24 a minute), or of more than half the heart rate, has its power
  elsewhere.
- It says nothing of what moves the intervals: posture, breath, age, medicines and beats that were
  found wrongly all do.

Sources
-------
- Task Force of the ESC and NASPE, Circulation 93:1043 (1996), doi 10.1161/01.CIR.93.5.1043.
- Half the mean rate as the end of what intervals can tell: Laguna, Moody & Mark, IEEE Trans Biomed
  Eng 45:698 (1998), doi 10.1109/10.678605.
- SD1 and SD2: Brennan et al., IEEE Trans Biomed Eng 48:1342 (2001), doi 10.1109/10.959330.
- The spectrum of what is unevenly spaced: Lomb, Astrophys Space Sci 39:447 (1976), and for
  intervals Clifford & Tarassenko, IEEE Trans Biomed Eng 52:630 (2005), doi
  10.1109/TBME.2005.844028.
"""

from __future__ import annotations

from typing import Any

from shared.errors import NotComputable
from worker.insights import Needed, Recording
from worker.intervals import frequency_domain, time_domain

VERSION = 2
UNIT = "ms, ms², percent"
FIGURES = (
    *("mean_nn_ms", "sdnn_ms", "rmssd_ms", "pnn50_percent", "sd1_ms", "sd2_ms", "nn_s"),
    *("lf_ms2", "hf_ms2", "lf_hf", "windows", "hf_windows"),
    *("no_spectrum", "no_hf"),
)
SCOPES = {"ecg": ("ecg.rr",)}

SHORTEST_S = 60.0
NO_SPECTRUM = "needs five minutes in a row of which accepted intervals cover 80 %"
NO_HF = "needs five minutes with a mean of accepted intervals of 1,250 ms at most"


def compute(recording: Recording, needed: Needed) -> dict[str, Any]:
    """Measure the accepted intervals, if there are enough of them.

    Returns
    -------
    dict
        The figures of the time domain, and those of the frequency domain, or why there are none.
    """
    rr = needed["ecg.rr"]
    intervals_s, accepted = rr["_intervals_s"], rr["_accepted"]
    nn_s = float(intervals_s[accepted].sum())
    if nn_s < SHORTEST_S:
        raise NotComputable("needs 60 s of accepted intervals between beats")
    if 2 * accepted.sum() < accepted.size:
        raise NotComputable("needs half of the intervals between beats to be accepted")
    if (accepted[:-1] & accepted[1:]).sum() < 2:
        raise NotComputable("needs accepted intervals that follow one another")
    spectrum: dict[str, Any] | None = frequency_domain(intervals_s, accepted)
    if spectrum is None:
        spectrum = {"no_spectrum": NO_SPECTRUM}
    elif "hf_ms2" not in spectrum:
        spectrum["no_hf"] = NO_HF
    return {**time_domain(intervals_s, accepted), "nn_s": nn_s, **spectrum}
