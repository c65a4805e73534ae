"""Start the poisoned worker, with the arguments of the real one: `python -m tests.poison`."""

from __future__ import annotations

import runpy
from pathlib import Path

import worker.insights as bench

if __name__ == "__main__":
    bench.__path__.append(str(Path(__file__).parent / "insights"))
    runpy.run_module("worker", run_name="__main__", alter_sys=True)
