"""Where the heart beats: the R peaks of a lead, and those of all leads together.

`samples` are the indices of the R peaks (the first sample of the recording is 0): of each QRS,
within 60 ms of its middle, the point farthest from its isoline, upwards or downwards, whichever
most beats of the lead have; the other way where that is farther by half as much again.
`count` is how many there are, and `confidence` the mean of how sure they are, 0 to 1; it is left
out when there are none.

Of the whole ECG they are found in all leads at once: where to look is decided by the energy of all
leads, each weighted by its `quality` there, and whether something is a beat by the evidence that
each of them has for or against it. A lead that is worthless has no say; of three leads or more the
weights are squared, so that many that one electrode spoils do not outvote a good one. Each R peak
is then that of the best lead: of those that are worth more than 0.1 at that beat, and show it, the
one whose `quality`, summed over the recording, is highest; where some are as good as that but for a
tenth, the first of them.

Limits
------
- Needs a sampling rate of 100 to 10,000 Hz, two seconds of samples, and a lead that is worth
  something somewhere: not flat, and connected.
- An R peak is a place in one lead: in another one, or where its polarity turns, the same beat has
  it up to some 60 ms earlier or later. Of QRS that reach about as far down as up, the sampling rate
  may decide which end is taken.
- Hum moves it: as high as the beats by up to some 10 ms, three times as high by up to 60 ms.
- More than some 240 beats in a minute cannot be told from what lies between beats; fewer than some
  20 are not found reliably.
- Where high beats and beats of two fifths of their height or less take turns, every second one may
  be missed.
- P waves that no QRS follows, and nothing else in the recording, are taken for beats.
- Spikes of a pacemaker are filtered out from 200 Hz on, and where they last no more than 2.5 ms in
  the recording; others, from some 5 mV on, are taken for beats or hide them.
- Leads of one ECG are taken to begin at the same moment.
- A beat is a beat, wherever in the heart it begins; what kind of beat it is is not said.
- Ventricular flutter has no beats that could be told apart; there the indices mean little.
- How often beats are missed or found in vain is measured: see the tables of accuracy.

Sources
-------
- The energy of a QRS against that of what lies between, and half the threshold where one is missed:
  after Pan & Tompkins, IEEE Trans Biomed Eng 32:230 (1985), doi 10.1109/TBME.1985.325532.
- The band of the QRS: Thakor, Webster & Tompkins, IEEE Trans Biomed Eng 31:702 (1984), doi
  10.1109/TBME.1984.325393.
- How long a T wave may last at a rate: Bazett, Heart 7:353 (1920).
- The best series of beats as a whole, by dynamic programming: Bellman, Bull Amer Math Soc 60:503
  (1954), doi 10.1090/S0002-9904-1954-09848-8; what its steps are worth is our own.
- What counts as found, missed or found in vain in the tables: ANSI/AAMI EC57.
"""

from __future__ import annotations

from typing import Any

from worker.detection.fusion import fuse
from worker.insights import Needed, Recording

VERSION = 2
UNIT = "beats"
FIGURES = ("count", "confidence")
SCOPES = {"lead": ("lead.quality",), "ecg": ("lead.quality",)}


def compute(recording: Recording, needed: Needed) -> dict[str, Any]:
    """Take the beats of a lead as its quality was judged by them, or look at all leads together.

    Returns
    -------
    dict
        The figures, `samples`, and those as `_samples`, an int64 array, for others.
    """
    of_leads = needed["lead.quality"]
    if recording.scope == "lead":
        beats = of_leads["_reading"].credible_beats()
    else:
        beats = fuse([one["_reading"] for one in of_leads if one is not None])
    sure = {"confidence": round(float(beats.confidence.mean()), 4)} if beats.samples.size else {}
    return {
        "count": int(beats.samples.size),
        **sure,
        "samples": beats.samples.tolist(),
        "_samples": beats.samples,
    }
