"""Start the poisoned worker, with the arguments of the real one: `python -m tests.poison`."""

from __future__ import annotations

import runpy
from pathlib import Path

import worker.insights as bench
from shared import jobs
from worker import tasks

if __name__ == "__main__":
    # Less patience than production has, so that five attempts fit into a test.
    tasks.COMPUTE_WITHIN_S = 3.0
    jobs.TIME_LIMIT_S = 8
    bench.__path__.append(str(Path(__file__).parent / "insights"))
    runpy.run_module("worker", run_name="__main__", alter_sys=True)
