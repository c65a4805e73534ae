"""How cost grows: with the samples of an ECG, and with the lines of a batch."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import Any

from bench import bulk, singles
from bench.cases import Case, make_body, open_isoline

SAMPLES = (10**2, 10**3, 10**4, 10**5, 10**6, 10**7)
LINES = (10**2, 10**3, 10**4)
# Processor time is counted in hundredths of a second.
TIMES = {samples: 50 if samples <= 10**5 else 9 for samples in SAMPLES}


async def by_samples() -> list[dict[str, Any]]:
    """One lead of more and more samples, on an idle system, until its insights are there."""
    rows = []
    with (
        tempfile.TemporaryDirectory(prefix="isoline-bench-") as folder,
        open_isoline(Path(folder)) as stand,
    ):
        for samples in SAMPLES:
            case = Case(str(samples), "", [make_body(1, samples, 1)])
            # The first ones find nothing warm.
            await singles.idle(stand, case, 3, prefer="wait=20")
            times = TIMES[samples]
            before = stand.cpu_s()
            took = await singles.idle(stand, case, times, prefer="wait=20")
            after = stand.cpu_s()
            rows.append(
                {
                    "samples": samples,
                    "body": len(case.bodies[0]),
                    "upload to insights, median ms": round(singles.quantile(took, 0.5), 1),
                    "ns a sample": round(1e6 * singles.quantile(took, 0.5) / samples, 1),
                    "api CPU ms": round(1e3 * (after["api"] - before["api"]) / times, 1),
                    "worker CPU ms": round(1e3 * (after["worker"] - before["worker"]) / times, 1),
                }
            )
    return rows


def by_lines(case: Case) -> list[dict[str, Any]]:
    """Batches of more and more lines, and the rate of single uploads in the same run."""
    rows = []
    with (
        tempfile.TemporaryDirectory(prefix="isoline-bench-") as folder,
        open_isoline(Path(folder)) as stand,
    ):
        for lines in LINES:
            single = asyncio.run(singles.rate(stand, case, 8, 2.0))
            batch = bulk.rate(stand, case, lines)
            row: dict[str, Any] = {
                "lines": lines,
                "lines/s to finished": round(batch.a_second),
                "single/s": round(single.a_second),
                "× single": round(batch.a_second / single.a_second, 1),
            }
            for part in ("api", "bulk"):
                row[f"{part} CPU ms a line"] = round(batch.cpu_ms[part], 2)
            rows.append(row)
    return rows
