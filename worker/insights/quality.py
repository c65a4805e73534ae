"""How far a lead can be trusted to show its beats, from 0, worthless, to 1.

`value` is the mean over stretches of 1.5 s. A stretch is worth nothing where the lead is flat or
disconnected; elsewhere as much as the beats stand out over what lies between them, times how sure
its beats are, squared, less what is clipped and what hums. The other figures say of what share of
the stretches, 0 to 1, something is wrong, and why:

- `flat`: a part of the stretch lies in a run of two seconds or more of one and the same value;
- `disconnected`: two stretches or more in a row in which next to nothing is left of the signal,
  less than a fifth of the beats around or a twentieth of what three stretches of four stay under;
- `clipped`: samples rest at the end of the range;
- `noise`: what lies between beats rises to more than half of their height, or the beats are not
  like their neighbours;
- `mains`: hum of 50 or 60 Hz has a quarter of what beats have in their band; left out where the
  sampling rate is too low to tell, at 133 Hz or less.

Limits
------
- Needs a sampling rate of 100 to 10,000 Hz and two seconds of samples.
- It is about seeing beats, from which filters take hum: a lead that hums three times as high as its
  beats is worth a fifth. A lead of quality 1 may still be unfit to measure its finer waves.
- A rhythm whose beats all differ counts as noisy.
- A lead that is off for less than some three seconds is not noticed, as a slow heart is as silent;
  R peaks of the whole ECG are then another lead's.
- A lead that is disconnected and hums or hisses louder than that counts as noisy; so does one that
  is disconnected for more than three quarters of the recording, as nothing shows what it could be.

Sources
-------
- Beats against what lies between them: after the noise estimate of Pan & Tompkins, IEEE Trans
  Biomed Eng 32:230 (1985), doi 10.1109/TBME.1985.325532.
- Likeness to the neighbours: after Orphanidou et al., IEEE J Biomed Health Inform 19:832 (2015),
  doi 10.1109/JBHI.2014.2338351.
"""

from __future__ import annotations

from typing import Any

from worker.detection.faults import tells_mains
from worker.insights import Needed, Recording

VERSION = 2
UNIT = "0 to 1"
_REASONS = ("flat", "disconnected", "clipped", "noise", "mains")
FIGURES = ("value", *_REASONS)
SCOPES = {"lead": ()}


def compute(recording: Recording, needed: Needed) -> dict[str, Any]:
    """Read the lead, and keep what was read for those who want to see it.

    Returns
    -------
    dict
        The figures, of the reasons all that can be told; and for others what was read, `_reading`.
    """
    reading = recording.reading
    quality = reading.quality
    return {
        "value": round(quality.value, 4),
        **{
            name: round(quality.reasons.get(name, 0.0), 4)
            for name in _REASONS
            if name != "mains" or tells_mains(recording.sampling_rate_hz)
        },
        "_reading": reading,
    }
