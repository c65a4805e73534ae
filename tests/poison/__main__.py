"""Start the poisoned worker, with the arguments of the real one: `python -m tests.poison`."""

from __future__ import annotations

import os
import runpy
from pathlib import Path

from shared import jobs

if __name__ == "__main__":
    # Less patience than production has, so that five attempts fit into a test.
    jobs.TIME_LIMIT_S = 8
    jobs.LEASE_S = float(os.environ.get("POISON_LEASE_S", jobs.LEASE_S))
    # Only now: they read the lease when they are imported.
    from worker import insights as bench
    from worker import tasks

    tasks.COMPUTE_WITHIN_S = 3.0
    bench.__path__.append(str(Path(__file__).parent / "insights"))
    runpy.run_module("worker", run_name="__main__", alter_sys=True)
