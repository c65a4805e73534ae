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
from importlib.util import find_spec
from operator import itemgetter
from pathlib import Path
from typing import Any

import bench.polls
from bench import curves, databases, rates, singles, wrk
from bench.budget import budget
from bench.cases import Case, Stand, cases, open_isoline, open_memory, open_tutorial
from bench.limits import limits
from bench.locks import waits
from bench.tables import print_table

PARTS = (
    *("limits", "budget", "rates", "databases", "idle", "open", "polls", "curves"),
    "locks",
)
IDLE_UPLOADS = 50
OPEN_LOOP_SHARES = (0.25, 0.5, 0.75)
OPEN_LOOP_ROUNDS = 3
OPEN_LOOP = (
    "P12 at fixed rates (open loop), uploads alone: all at 25, 50 and 75 % of what Isoline brings "
    "to its end in a closed loop, and each of the others at half of what it does itself. Where "
    "more is asked for than a program can do, its times say how long it was asked, and no more. Of "
    f"{OPEN_LOOP_ROUNDS} rounds in turn the one in the middle by p50"
)


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
    stands: Sequence[Stand], case: Case, seconds: float
) -> list[dict[str, Any]]:
    """Uploads at fixed rates: the same for all, and for each half of what it can do by itself."""
    can = [(await singles.rate(stand, case, 8, seconds / 2)).a_second for stand in stands]
    asked = [(share * can[0], stand) for share in OPEN_LOOP_SHARES for stand in stands]
    asked += [(of / 2, stand) for of, stand in zip(can[1:], stands[1:], strict=True)]
    rounds: list[list[dict[str, Any]]] = [[] for _ in asked]
    for _ in range(OPEN_LOOP_ROUNDS):
        for (a_second, stand), met in zip(asked, rounds, strict=True):
            met.append(await singles.at_a_rate(stand, case, a_second, seconds))
            # Whoever has taken in more than he can work off does so before others are measured.
            await singles.settle(stand, case)
    return [sorted(met, key=itemgetter("p50_ms"))[len(met) // 2] for met in rounds]


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
    parser.add_argument("--cases", nargs="*", help="only these, of " + " ".join(rates.CONNECTIONS))
    parser.add_argument(
        "--parts",
        nargs="*",
        default=PARTS,
        help="only these: " + " ".join(PARTS),
    )
    parser.add_argument("--stored", nargs="*", type=int, default=bench.polls.STORED)
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
            runs = asyncio.run(
                rates.measure(stands, chosen, rates.CONNECTIONS, asked.rounds, asked.seconds)
            )
            found["runs"] = [run.as_json() for run in runs]
            served = f"(memory: {memory_serves_with()})"
            show("rates", f"Uploads to finished {served}. {rates.RULE}", rates.table(runs))
            show("costs", f"What an ECG takes {served}", rates.costs(runs))
        if "idle" in asked.parts:
            for name in ("P12", "P12all"):
                idle = asyncio.run(measure_idle(stands, all_cases[name]))
                show(f"idle {name}", f"{name} on an idle system", idle)
        if "open" in asked.parts:
            rows = asyncio.run(measure_open_loop(stands, all_cases["P12"], 4.0))
            show("open", OPEN_LOOP, rows)
    if "databases" in asked.parts:
        runs = databases.measure(all_cases, asked.rounds, asked.seconds)
        found["runs on databases"] = [run.as_json() for run in runs]
        show("rates by database", f"{databases.TITLE}. {rates.RULE}", rates.table(runs))
        show("costs by database", databases.TITLE_OF_COSTS, rates.costs(runs))
    if "polls" in asked.parts:
        show(
            "polls",
            f"{bench.polls.TITLE} (memory: {memory_serves_with()})",
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
        stored = curves.by_stored(all_cases["P12"], asked.stored)
        show("by stored", curves.TITLE_OF_STORED, stored)
    if "locks" in asked.parts:
        show("locks", "SQLite's write lock, P12, 8 connections", waits(all_cases["P12"]))
    print(f"\nAll figures are in {asked.to}.")


if __name__ == "__main__":
    main()
