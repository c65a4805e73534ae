"""Start the poisoned worker or relay, with the arguments of the real one.

`python -m tests.poison worker --bulk`, for example.
"""

from __future__ import annotations

import os
import runpy
import sys
from pathlib import Path

from shared import jobs

if __name__ == "__main__":
    # Less patience than production has, so that five attempts fit into a test.
    is_hasty = "POISON_PATIENTLY" not in os.environ
    jobs.TIME_LIMIT_S = 5
    if is_hasty:
        jobs.LEASE_S = 10.0
    # Only now: they read the lease when they are imported.
    from worker import endings, tasks
    from worker import insights as bench

    tasks.COMPUTE_WITHIN_S = 3.0
    if is_hasty:
        endings.FIRST_PAUSE_S = 0.2
    bench.__path__.append(str(Path(__file__).parent / "insights"))
    module = sys.argv.pop(1)
    runpy.run_module(module, run_name="__main__", alter_sys=True)
