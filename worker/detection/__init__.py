"""Where the beats of an ECG are, and how far its leads can be trusted; numpy alone.

`traces.condition` reads leads of one length once, a row each, so that what numpy costs a call it
costs once; `beats.find_beats` and `quality.assess_quality` go on from their trace, each row by
itself. `readings` says which leads are read together, `fusion.fuse` what all of them say.
"""
