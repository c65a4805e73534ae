"""How cost grows: with the samples of an ECG, and with the lines of a batch."""

from __future__ import annotations

import asyncio
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx

from bench import singles
from bench.cases import Case, make_body, open_isoline

SAMPLES = (10**2, 10**3, 10**4, 10**5, 10**6, 10**7)
LINES = (10**2, 10**3, 10**4)
TIMES = 9


async def by_samples() -> list[dict[str, Any]]:
    """One lead of more and more samples, on an idle system, until its insights are there."""
    rows = []
    with (
        tempfile.TemporaryDirectory(prefix="isoline-bench-") as folder,
        open_isoline(Path(folder)) as stand,
    ):
        for samples in SAMPLES:
            case = Case(str(samples), "", [make_body(1, samples, 1)])
            before = stand.cpu_s()
            took = await singles.idle(stand, case, TIMES, prefer="wait=20")
            after = stand.cpu_s()
            rows.append(
                {
                    "samples": samples,
                    "body": len(case.bodies[0]),
                    "upload to insights, median ms": round(singles.quantile(took, 0.5), 1),
                    "ns a sample": round(1e6 * singles.quantile(took, 0.5) / samples, 1),
                    "api CPU ms": round(1e3 * (after["api"] - before["api"]) / TIMES, 1),
                    "worker CPU ms": round(1e3 * (after["worker"] - before["worker"]) / TIMES, 1),
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
            before = stand.cpu_s()
            a_second = _submit(stand.port, stand.headers, case, lines)
            after = stand.cpu_s()
            row: dict[str, Any] = {
                "lines": lines,
                "lines/s to finished": round(a_second),
                "single/s": round(single.a_second),
                "× single": round(a_second / single.a_second, 1),
            }
            for part in ("api", "bulk"):
                row[f"{part} CPU ms a line"] = round(1e3 * (after[part] - before[part]) / lines, 2)
            rows.append(row)
    return rows


def _submit(port: int, headers: dict[str, str], case: Case, lines: int) -> float:
    body = [b'{"custom_id":"%d",' % n + case.body(n)[1:] + b"\n" for n in range(lines)]
    kind = {"Content-Type": "application/x-ndjson"}
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=120) as http:
        began_s = time.perf_counter()
        answer = http.post("/batches", content=iter(body), headers=kind)
        assert answer.status_code == 202, answer.text
        batch = answer.json()
        while batch["status"] != "finished":
            batch = http.get(f"/batches/{batch['id']}", headers={"Prefer": "wait=20"}).json()
        assert batch["counts"]["finished"] == lines
        return lines / (time.perf_counter() - began_s)
