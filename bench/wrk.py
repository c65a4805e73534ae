"""wrk, where it is installed: it eats less of the machine it measures than a client in Python.

For what leaves nothing behind. Uploads are made by the bundled client (`bench.load`) all the same:
wrk hangs up on whatever is on its way when the time is over, and nobody would know what became of
those.
"""

from __future__ import annotations

import json
import os
import shutil
import struct
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

_SCRIPT = """
local requests, number = {}, 0
local file = io.open(os.getenv("BENCH_REQUESTS"), "rb")
while true do
  local size = file:read(4)
  if not size then break end
  local a, b, c, d = size:byte(1, 4)
  requests[#requests + 1] = file:read(((a * 256 + b) * 256 + c) * 256 + d)
end
request = function()
  number = number + 1
  return requests[(number - 1) % #requests + 1]
end
local threads = {}
function setup(thread)
  threads[#threads + 1] = thread
  thread:set("wrong", 0)
end
function response(status)
  if status ~= tonumber(os.getenv("BENCH_STATUS")) then wrong = wrong + 1 end
end
function done(summary, latency)
  local others = 0
  for _, thread in ipairs(threads) do others = others + thread:get("wrong") end
  local errors = summary.errors
  print(string.format(
    '\\n{"requests": %d, "us": %d, "p50_us": %d, "p99_us": %d, "wrong": %d}',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
    others + errors.connect + errors.read + errors.write + errors.timeout
  ))
end
"""


def is_installed() -> bool:
    """Whether there is one on the path."""
    return shutil.which("wrk") is not None


def closed_loop(
    port: int, number: int, seconds: float, requests: Sequence[bytes], status: int
) -> tuple[int, float, float, float]:
    """Send these again and again over so many connections.

    Returns
    -------
    How many answers, how many a second, and the milliseconds of the median and of p99.

    Raises
    ------
    AssertionError : an answer had another status, or there was none.
    """
    with tempfile.TemporaryDirectory(prefix="isoline-bench-") as folder:
        script, raw = Path(folder) / "script.lua", Path(folder) / "requests"
        script.write_text(_SCRIPT)
        raw.write_bytes(b"".join(struct.pack(">I", len(one)) + one for one in requests))
        ran = subprocess.run(
            [
                *("wrk", "--threads=1", f"--connections={number}", "--timeout=60s"),
                f"--duration={max(1, round(seconds))}s",
                *(f"--script={script}", f"http://127.0.0.1:{port}/"),
            ],
            env={**os.environ, "BENCH_REQUESTS": str(raw), "BENCH_STATUS": str(status)},
            capture_output=True,
            text=True,
            check=True,
        )
    found = json.loads(ran.stdout.rstrip().rpartition("\n")[2])
    assert found["wrong"] == 0, ran.stdout
    answers = int(found["requests"])
    return answers, 1e6 * answers / found["us"], found["p50_us"] / 1e3, found["p99_us"] / 1e3
