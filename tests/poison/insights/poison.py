"""What a lead does to whoever analyses it: nothing, unless it begins with the magic sample."""

from __future__ import annotations

import ctypes
import os
import signal
import time
from typing import Any

import numpy as np

from worker.insights import Needed, Recording

# Raised, it is another release.
VERSION = int(os.environ.get("POISON_VERSION", "1"))
UNIT = ""
FIGURES = ()
SCOPES = {"lead": ()}

# No other test uploads this sample.
MAGIC = 1_618_033_988
KINDS = ("segfault", "killed", "memory", "sleeps", "hangs", "raises", "exits", "later", "naps")
# Long enough to be told to end meanwhile, and within every limit.
NAP_S = 2.0


def compute(recording: Recording, needed: Needed) -> dict[str, Any]:
    """Do what the second sample says."""
    samples = recording.samples
    if samples.size < 2 or int(samples[0]) != MAGIC:
        return {}
    kind = KINDS[int(samples[1])]
    if kind == "later":
        # What the first release could do, and the next one cannot survive.
        if VERSION == 1:
            return {}
        kind = "killed"
    if kind == "segfault":
        ctypes.string_at(0)
    if kind == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if kind == "memory":
        np.ones(2**31)
    if kind == "sleeps":
        time.sleep(3600)
    if kind == "naps":
        time.sleep(NAP_S)
        return {}
    if kind == "hangs":
        # Like compiled code that no signal reaches.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM, signal.SIGTERM})
        time.sleep(3600)
    if kind == "exits":
        os._exit(3)
    raise RuntimeError(kind)
