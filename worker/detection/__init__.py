"""Where the beats of an ECG are, and how far its leads can be trusted; numpy alone.

`traces.condition` reads a lead once; `beats.find_beats`, `quality.assess_quality` and
`fusion.fuse` go on from its trace.
"""
