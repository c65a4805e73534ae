"""Side by side in one run: Isoline, a service in memory, and a tutorial's pipeline: `make bench`.

Rounds are interleaved, so that whatever else the machine does meets all alike; what is printed are
medians, and how many times the others'. All figures go into bench.json as well. Everything, the
clients included, runs on this machine.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import bench.polls
from bench import bulk, curves, singles, wrk
from bench.budget import budget
from bench.cases import Case, Stand, cases, open_isoline, open_memory, open_tutorial
from bench.limits import limits
from bench.locks import waits
from bench.tables import print_table

CONNECTIONS = {
    "S": (1, 8, 64),
    "P12": (1, 8, 64),
    "F12": (8,),
    "P12gz": (8,),
    "H2": (1, 4),
    "P12all": (1, 8),
    "H2all": (1,),
}
# Batches, one at a time, beside single uploads over so many connections.
BULK_OF = {"P12 bulk": "P12", "P12all bulk": "P12all"}
BULK_LINES = 2_000
BULK_BESIDE = 8
PARTS = ("limits", "budget", "rates", "idle", "open", "polls", "curves", "locks")
IDLE_UPLOADS = 50
OPEN_LOOP_SHARES = (0.25, 0.5, 0.75)


async def measure_rates(
    stands: Sequence[Stand], all_cases: dict[str, Case], rounds: int, seconds: float
) -> list[singles.Run]:
    """Uploads in a closed loop, to finished: every case, every program, round by round."""
    for case in all_cases.values():
        await singles.right([one for one in stands if one.reads_gzip or not case.is_gzip], case)
    runs = []
    for name, case in all_cases.items():
        for _ in range(rounds):
            for number in CONNECTIONS[name]:
                for stand in stands:
                    if case.is_gzip and not stand.reads_gzip:
                        continue
                    await singles.forget(stand)
                    runs.append(await singles.rate(stand, case, number, seconds))
            if name in BULK_OF.values():
                runs.append(bulk.rate(stands[0], replace(case, name=f"{name} bulk"), BULK_LINES))
    return runs


def table_of_rates(runs: Sequence[singles.Run]) -> list[dict[str, Any]]:
    """One row for each case and number of connections."""
    rows = []
    for case, number in dict.fromkeys((run.case, run.connections) for run in runs):
        middle = middle_of(runs, case, number)
        mine = middle["isoline"]
        if case in BULK_OF:
            # The peers have no batches: what they can do is single uploads, of the same run.
            middle = {**middle_of(runs, BULK_OF[case], BULK_BESIDE), "isoline": mine}
        row: dict[str, Any] = {"case": case, "connections": number}
        for stand, run in middle.items():
            row[f"{stand} ECG/s"] = round(run.a_second, 1 if run.a_second < 10 else 0)
        for stand, run in middle.items():
            if stand != "isoline":
                row[f"× {stand}"] = round(mine.a_second / run.a_second, 1)
        rows.append(row)
    return rows


def table_of_costs(runs: Sequence[singles.Run]) -> list[dict[str, Any]]:
    """One row for each case, number of connections and program: what an ECG takes."""
    rows = []
    for case, number in dict.fromkeys((run.case, run.connections) for run in runs):
        for stand, run in middle_of(runs, case, number).items():
            row: dict[str, Any] = {"case": case, "connections": number, "program": stand}
            row["upload p50 / p99 ms"] = f"{run.upload_p50_ms:.1f} / {run.upload_p99_ms:.1f}"
            row["CPU ms"] = round(sum(run.cpu_ms.values()), 2)
            row["of which"] = {part: round(ms, 2) for part, ms in run.cpu_ms.items() if ms >= 0.005}
            row["bytes stored"] = round(run.stored_bytes)
            rows.append(row)
    return rows


def middle_of(runs: Sequence[singles.Run], case: str, number: int) -> dict[str, singles.Run]:
    """The run in the middle of each program that was measured with that."""
    alike = [run for run in runs if (run.case, run.connections) == (case, number)]
    return {
        stand: singles.median_of([run for run in alike if run.stand == stand])
        for stand in dict.fromkeys(run.stand for run in alike)
    }


async def measure_idle(stands: Sequence[Stand], case: Case) -> list[dict[str, Any]]:
    """One upload after the other on an idle system, until its insights are there."""
    took: dict[str, list[float]] = {}
    for _ in range(2):
        for stand in stands:
            took.setdefault(stand.name, []).extend(await singles.idle(stand, case, IDLE_UPLOADS))
        mine = stands[0]
        took.setdefault("isoline, Prefer: wait", []).extend(
            await singles.idle(mine, case, IDLE_UPLOADS, prefer="wait=20")
        )
    return [
        {
            "upload to insights, idle": name,
            "p50 ms": round(singles.quantile(of, 0.5), 1),
            "p99 ms": round(singles.quantile(of, 0.99), 1),
        }
        for name, of in took.items()
    ]


async def measure_open_loop(
    stands: Sequence[Stand], case: Case, capacity: float, seconds: float
) -> list[dict[str, Any]]:
    """Uploads at fixed rates, given as shares of what Isoline managed in a closed loop."""
    rows = []
    for share in OPEN_LOOP_SHARES:
        for stand in stands:
            rows.append(await singles.at_a_rate(stand, case, share * capacity, seconds))
            await singles.settle(stand)
    return rows


def machine() -> dict[str, Any]:
    """What it ran on."""
    return {
        "processors": os.cpu_count(),
        "system": platform.system(),
        "machine": platform.machine(),
        "python": platform.python_version(),
        "load generator": "bundled asyncio client (bench/load.py)"
        + (", wrk for polls" if wrk.is_installed() else "")
        + ", on the same processors",
    }


def memory_serves_with() -> str:
    """What uvicorn serves the peer in memory with: it takes these where they are installed."""
    faster = [name for name in ("uvloop", "httptools") if find_spec(name)]
    return "uvicorn" + (f" with {' and '.join(faster)}" if faster else "")


def main() -> None:
    """Measure, print tables, write the file."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2.0, help="of uploading, a round")
    parser.add_argument("--cases", nargs="*", help="only these, of " + " ".join(CONNECTIONS))
    parser.add_argument(
        "--parts",
        nargs="*",
        default=PARTS,
        help="only these: " + " ".join(PARTS),
    )
    parser.add_argument("--stored", nargs="*", type=int, default=[10**3, 10**4, 10**5, 10**6])
    parser.add_argument("--to", type=Path, default=Path("bench.json"))
    asked = parser.parse_args()
    found: dict[str, Any] = {"machine": machine()}
    print(", ".join(f"{what}: {it}" for what, it in found["machine"].items()))

    def show(name: str, title: str, rows: Sequence[dict[str, Any]]) -> None:
        found[name] = print_table(title, rows)
        # At once: what is measured later may fail.
        asked.to.write_text(json.dumps(found, indent=1) + "\n")

    all_cases = cases()
    chosen = {name: all_cases[name] for name in asked.cases or all_cases}
    if "limits" in asked.parts:
        show("limits", "The floor on this machine", limits())
    if "budget" in asked.parts:
        for name in ("P12", "P12all"):
            show(
                f"budget {name}",
                f"The budget of {name}",
                budget(all_cases[name], asked.seconds),
            )
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="isoline-bench-")))
        stands = [
            stack.enter_context(open_isoline(folder / "isoline")),
            stack.enter_context(open_memory()),
            stack.enter_context(open_tutorial(folder / "tutorial")),
        ]
        if "rates" in asked.parts:
            runs = asyncio.run(measure_rates(stands, chosen, asked.rounds, asked.seconds))
            found["runs"] = [run.as_json() for run in runs]
            served = f"(memory: {memory_serves_with()})"
            show("rates", f"Uploads to finished {served}", table_of_rates(runs))
            show("costs", f"What an ECG takes {served}", table_of_costs(runs))
        if "idle" in asked.parts:
            for name in ("P12", "P12all"):
                idle = asyncio.run(measure_idle(stands, all_cases[name]))
                show(f"idle {name}", f"{name} on an idle system", idle)
        if "open" in asked.parts:
            at_once = asyncio.run(singles.rate(stands[0], all_cases["P12"], 8, asked.seconds))
            rows = asyncio.run(
                measure_open_loop(stands[:2], all_cases["P12"], at_once.a_second, 5.0)
            )
            show("open", "P12 at fixed rates (open loop), uploads alone", rows)
    if "polls" in asked.parts:
        show(
            "polls",
            f"Polls, 8 connections (memory: {memory_serves_with()})",
            bench.polls.measure(asked.stored, asked.seconds),
        )
    if "curves" in asked.parts:
        show("curves", "Cost by samples", asyncio.run(curves.by_samples()))
        for name in ("P12", "P12all"):
            show(
                f"batches {name}",
                f"Cost by lines of a batch ({name})",
                curves.by_lines(all_cases[name]),
            )
    if "locks" in asked.parts:
        show("locks", "SQLite's write lock, P12, 8 connections", waits(all_cases["P12"]))
    print(f"\nAll figures are in {asked.to}.")


if __name__ == "__main__":
    main()
