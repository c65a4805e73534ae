"""Isoline on SQLite and on PostgreSQL, in turn: `python -m bench.databases`.

What an ECG takes, with the processor time of PostgreSQL itself and what it has stored: from these
docs/scale.md is computed.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
from contextlib import ExitStack
from pathlib import Path

from bench import rates
from bench.cases import Case, cases, open_isoline
from bench.singles import Run
from bench.tables import print_table
from tests.databases import another_database, open_postgresql

CONNECTIONS = {"P12": (8,), "P12all": (8,)}
TITLE = "Isoline on SQLite and on PostgreSQL"
TITLE_OF_COSTS = "What an ECG takes, PostgreSQL itself included"


def measure(all_cases: dict[str, Case], rounds: int, seconds: float) -> list[Run]:
    """Single uploads and batches on both, round by round."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="isoline-bench-")))
        url = another_database(stack.enter_context(open_postgresql()), "bench")
        stands = [
            stack.enter_context(open_isoline(folder / "sqlite")),
            stack.enter_context(open_isoline(folder / "postgresql", url)),
        ]
        chosen = {name: all_cases[name] for name in CONNECTIONS}
        return asyncio.run(rates.measure(stands, chosen, CONNECTIONS, rounds, seconds))


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.databases", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2.0, help="of uploading, a round")
    asked = parser.parse_args()
    runs = measure(cases(), asked.rounds, asked.seconds)
    print_table(f"{TITLE}. {rates.RULE}", rates.table(runs))
    print_table(TITLE_OF_COSTS, rates.costs(runs))


if __name__ == "__main__":
    main()
